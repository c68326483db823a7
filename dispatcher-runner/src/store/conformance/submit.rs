//! Submission: groups are all or nothing, and the queue's limit holds.

use super::*;

on_every_store! {
    keeps_everything_as_sent,
    refuses_beyond_the_limit_and_leaves_nothing,
    groups_stand_and_fall_alone,
    limit_counts_running_ones_and_frees_at_the_end,
    unknown_dispatchers_get_the_defaults,
    answers_with_open_supervisors,
    a_known_id_fails_its_group_only,
    no_groups_no_answers,
    the_longest_times_do_not_overflow,
}

fn keeps_everything_as_sent(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let origin = accept(store, job("A"));
    let sent = job_with("A", |job| {
        job.payload = "{\"text\":\"spaces  'quotes' \\\"\\n* 😀\"}".to_owned();
        job.options.priority = -7;
        job.options.queue = "slow".to_owned();
        job.options.retries = 3;
        job.options.timeout = None;
        job.options.env = dispatcher_core::EnvPolicy::Only(vec!["HOME".to_owned()]);
        job.retry_of = Some(origin);
        job.origin = "pid 7 (test)".to_owned();
    });
    accept(store, sent.clone());
    let shown = show(store, sent.id);
    assert_eq!(shown.summary.payload, sent.payload);
    assert_eq!(shown.summary.priority, -7);
    assert_eq!(shown.summary.queue, "slow");
    assert_eq!(shown.summary.state, JobState::Queued);
    assert_eq!(shown.summary.submitted_at, START);
    assert_eq!(shown.summary.run_at, Some(START));
    assert_eq!(shown.options, sent.options);
    assert_eq!(shown.identity, sent.identity);
    assert_eq!(shown.summary.origin, sent.origin);
    assert_eq!(shown.build, sent.build);
    assert_eq!(shown.retry_of, Some(origin));
    assert!(shown.attempts.is_empty());
}

fn refuses_beyond_the_limit_and_leaves_nothing(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let limited = row("A", |options| {
        options.max_queue = 2;
        options.concurrency = 3;
    });
    let newer = DispatcherRow {
        build: build(2),
        about: "newer".to_owned(),
        ..limited.clone()
    };
    store.register(&[limited]).unwrap();
    accept(store, job("A"));
    let refused = Submission {
        jobs: vec![job("A"), job("B"), job("A")],
        dispatchers: vec![newer],
        ..Submission::default()
    };
    let answers = store.submit(std::slice::from_ref(&refused));
    match &answers[..] {
        [
            Err(SubmitError::QueueFull {
                dispatcher,
                max_queue: 2,
                unfinished: 2,
                concurrency: 3,
                mean_run: None,
            }),
        ] => assert_eq!(dispatcher, "A"),
        other => panic!("{other:?}"),
    }
    for job in refused.jobs {
        assert_eq!(store.state(job.id).unwrap(), None);
    }
    let dispatchers = store.dispatchers().unwrap();
    assert_eq!(dispatchers.len(), 1, "B was not added");
    assert_eq!(dispatchers[0].row.about, "{}", "A was not refreshed");
    assert_eq!(dispatchers[0].waiting, 1);
    accept(store, job("A"));
    check_counters(store);
}

fn groups_stand_and_fall_alone(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let limited = row("A", |options| options.max_queue = 2);
    store.register(&[limited]).unwrap();
    let groups: Vec<_> = [1, 2, 1, 1]
        .into_iter()
        .map(|size| group((0..size).map(|_| job("A")).collect()))
        .collect();
    let answers = store.submit(&groups);
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, true, false]);
    check_counters(store);
}

fn limit_counts_running_ones_and_frees_at_the_end(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let limited = row("A", |options| options.max_queue = 1);
    store.register(&[limited]).unwrap();
    accept(store, job("A"));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1);
    assert!(submit(store, job("A")).is_err(), "it runs");
    end(store, &claimed[0], Next::Succeed);
    let next = accept(store, job("A"));
    match submit(store, job("A")) {
        Err(SubmitError::QueueFull { mean_run, .. }) => {
            assert_eq!(mean_run, Some(Duration::from_millis(5)));
        }
        other => panic!("{other:?}"),
    }
    store.cancel(&[next], "me").unwrap();
    accept(store, job("A"));
}

fn unknown_dispatchers_get_the_defaults(fixture: &Fixture) {
    let store = &mut *fixture.store();
    for _ in 0..DispatcherOptions::default().max_queue {
        accept(store, job("Unheard"));
    }
    assert!(submit(store, job("Unheard")).is_err());
    register(store, "Unheard");
    accept(store, job("Unheard"));
}

fn answers_with_open_supervisors(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let first = open(store);
    let second = open(store);
    store.close_supervisor(first).unwrap();
    let submitted = store.submit(&[group(vec![job("A")])]).remove(0).unwrap();
    let [row] = &submitted.supervisors[..] else {
        panic!("{submitted:?}");
    };
    assert_eq!(row.id, second);
    assert_eq!(row.directory, PathBuf::from("/run/test"));
    assert_eq!(row.serves, ["A"]);
    assert!(row.open);
}

fn a_known_id_fails_its_group_only(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let known = accept(store, job("A"));
    let groups = [
        group(vec![job("A")]),
        group(vec![job("A"), job_with("A", |job| job.id = known)]),
        group(vec![job("A")]),
    ];
    let answers = store.submit(&groups);
    assert!(answers[0].is_ok());
    assert!(matches!(
        answers[1],
        Err(SubmitError::Store(StoreError::Database { .. }))
    ));
    assert!(answers[2].is_ok());
    assert_eq!(store.jobs(&all()).unwrap().len(), 3);
    check_counters(store);
}

fn no_groups_no_answers(fixture: &Fixture) {
    let store = &mut *fixture.store();
    assert!(store.submit(&[]).is_empty());
    let answers = store.submit(&[group(Vec::new())]);
    assert!(answers[0].as_ref().is_ok_and(|one| one.jobs.is_empty()));
}

fn the_longest_times_do_not_overflow(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    for longest in [Duration::MAX, Duration::from_millis(i64::MAX as u64)] {
        let sent = job_with("A", |job| {
            job.options.delay = Some(longest);
            job.options.expires = Some(longest);
        });
        accept(store, sent);
    }
    let supervisor = open(store);
    assert!(claim(store, supervisor, &["A"], 2).is_empty());
    let sent = accept(store, job("A"));
    let claimed = claim(store, supervisor, &["A"], 2).remove(0);
    let after = Duration::from_millis(i64::MAX as u64);
    end(store, &claimed, Next::Snooze { after });
    assert_eq!(state(store, sent), JobState::Queued);
    assert!(claim(store, supervisor, &["A"], 2).is_empty());
}
