//! Claims: what is taken, what is not, and when to ask again.

use super::*;

on_every_store! {
    binds_jobs_to_slots,
    takes_each_job_once,
    takes_known_names_only,
    takes_served_queues_only,
    leaves_jobs_of_nodes_to_who_names_them,
    keeps_to_the_concurrency_over_supervisors,
    concurrency_zero_is_bounded_by_slots,
    delays_are_promoted_in_time,
    pauses_are_obeyed,
    needs_an_open_row,
    without_slots_it_only_says_when,
    an_end_makes_room_for_the_claim_after_it,
    a_job_of_a_newer_build_is_left_to_that_for_a_while,
}

fn binds_jobs_to_slots(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent = [job("A"), job("A")];
    for job in &sent {
        accept(store, job.clone());
    }
    let supervisor = open(store);
    let mut wanted = request(supervisor, &["A"], 0);
    wanted.slots = vec![5, 2, 7];
    let claim = store.claim(&wanted).unwrap();
    let [first, second] = &claim.jobs[..] else {
        panic!("{claim:?}");
    };
    assert_eq!((first.slot, second.slot), (5, 2));
    assert_eq!(first.job, sent[0].id);
    assert_eq!(first.payload, sent[0].payload);
    assert_eq!(first.options, sent[0].options);
    assert_eq!(first.dispatcher, "A");
    assert_eq!(first.counters.attempt, 1);
    assert_eq!(first.counters.failures, 0);
    assert_eq!(first.snoozes, 0);
    let shown = show(store, first.job);
    assert_eq!(shown.supervisor, Some((supervisor, 5)));
    assert_eq!(shown.summary.state, JobState::Running);
    assert_eq!(shown.summary.started_at, Some(START));
    assert_eq!(shown.summary.counters, first.counters);
    check_counters(store);
}

fn takes_each_job_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    for _ in 0..5 {
        accept(store, job("A"));
    }
    let other = &mut *fixture.store();
    let (one, two) = (open(store), open(other));
    let mut taken = ids(&claim(store, one, &["A"], 2));
    taken.extend(ids(&claim(other, two, &["A"], 2)));
    taken.extend(ids(&claim(store, one, &["A"], 2)));
    taken.extend(ids(&claim(other, two, &["A"], 2)));
    assert_eq!(taken.len(), 5);
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 5);
}

fn takes_known_names_only(fixture: &Fixture) {
    let store = &mut *fixture.store();
    accept(store, job("Stranger"));
    let known = accept(store, job("A"));
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A", "B"], 5)), [known]);
}

fn takes_served_queues_only(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let labelled = |queue: &str| job_with("A", |job| job.options.queue = queue.to_owned());
    let slow = accept(store, labelled("slow"));
    let fast = accept(store, labelled("fast"));
    let default = accept(store, job("A"));
    let supervisor = open(store);
    let mut wanted = request(supervisor, &["A"], 5);
    wanted.serves.queues = vec!["fast".to_owned(), "absent".to_owned()];
    assert_eq!(ids(&store.claim(&wanted).unwrap().jobs), [fast]);
    wanted.serves.queues = Vec::new();
    assert_eq!(ids(&store.claim(&wanted).unwrap().jobs), [slow, default]);
}

/// Everybody else leaves them alone, whatever else they serve.
fn leaves_jobs_of_nodes_to_who_names_them(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let labelled = |queue: &str| job_with("A", |job| job.options.queue = queue.to_owned());
    let here = accept(store, labelled("@here"));
    let there = accept(store, labelled("@there"));
    let mail = accept(store, labelled("mail"));
    let default = accept(store, job("A"));
    let supervisor = open(store);
    let mut wanted = request(supervisor, &["A"], 1);
    let mut claim = |labels: &[&str]| {
        wanted.serves.queues = labels.iter().map(|it| (*it).to_owned()).collect();
        ids(&store.claim(&wanted).unwrap().jobs)
    };
    assert_eq!(claim(&["mail"]), [mail]);
    assert_eq!(claim(&[]), [default]);
    assert_eq!(claim(&[]), []);
    assert_eq!(claim(&["mail"]), []);
    assert_eq!(claim(&["@there"]), [there]);
    assert_eq!(claim(&["mail", "@here"]), [here]);
    let store = &mut *fixture.store();
    let other = accept(store, job("A"));
    let mut wanted = request(supervisor, &["A"], 1);
    wanted.serves.queues = vec!["@here".to_owned()];
    assert_eq!(ids(&store.claim(&wanted).unwrap().jobs), [other]);
}

fn keeps_to_the_concurrency_over_supervisors(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let two = row("A", |options| options.concurrency = 2);
    store.register(&[two]).unwrap();
    for _ in 0..4 {
        accept(store, job("A"));
    }
    let (one, two) = (open(store), open(store));
    let first = claim(store, one, &["A"], 1);
    let second = claim(store, two, &["A"], 5);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(claim(store, one, &["A"], 5).is_empty());
    end(store, &second[0], Next::Succeed);
    assert_eq!(claim(store, one, &["A"], 5).len(), 1);
}

fn concurrency_zero_is_bounded_by_slots(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    for _ in 0..20 {
        accept(store, job("A"));
    }
    let (one, two) = (open(store), open(store));
    assert_eq!(claim(store, one, &["A"], 8).len(), 8);
    assert_eq!(claim(store, two, &["A"], 8).len(), 8);
}

fn delays_are_promoted_in_time(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let delayed = |delay| job_with("A", |job| job.options.delay = Some(seconds(delay)));
    let late = accept(store, delayed(60));
    let soon = accept(store, delayed(10));
    assert_eq!(show(store, late).summary.run_at, Some(START + 60_000));
    let supervisor = open(store);
    let wanted = request(supervisor, &["A"], 5);
    let empty = store.claim(&wanted).unwrap();
    assert!(empty.jobs.is_empty());
    assert_eq!(empty.next_due, Some(seconds(10)));
    fixture.advance(Duration::from_millis(9_999));
    let empty = store.claim(&wanted).unwrap();
    assert!(empty.jobs.is_empty());
    assert_eq!(empty.next_due, Some(Duration::from_millis(1)));
    fixture.advance(Duration::from_millis(1));
    let due = store.claim(&wanted).unwrap();
    assert_eq!(ids(&due.jobs), [soon]);
    assert_eq!(due.next_due, Some(seconds(50)));
    fixture.advance(seconds(50));
    let due = store.claim(&wanted).unwrap();
    assert_eq!(ids(&due.jobs), [late]);
    assert_eq!(due.next_due, None);
    check_counters(store);
}

fn an_end_makes_room_for_the_claim_after_it(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let alone = row("A", |options| options.concurrency = 1);
    store.register(&[alone]).unwrap();
    let sent = [accept(store, job("A")), accept(store, job("A"))];
    let supervisor = open(store);
    let wanted = request(supervisor, &["A"], 1);
    let mut held = store.claim(&wanted).unwrap().jobs;
    for next in [sent[1], sent[0]] {
        assert!(store.claim(&wanted).unwrap().jobs.is_empty(), "it is busy");
        // The first job goes behind the second one, then ends like that.
        let after = Duration::ZERO;
        let again = if next == sent[1] {
            Next::Retry { after }
        } else {
            Next::Succeed
        };
        let (recorded, claim) = store
            .record_and_claim(&[ending(&held[0], again)], &wanted)
            .unwrap();
        assert!(matches!(recorded[..], [Recorded::Applied(_)]));
        assert_eq!(ids(&claim.jobs), [next]);
        held = claim.jobs;
        check_counters(store);
    }
    let (_, claim) = store
        .record_and_claim(&[ending(&held[0], Next::Succeed)], &wanted)
        .unwrap();
    assert!(claim.jobs.is_empty());
    let (fenced, _) = store
        .record_and_claim(&[ending(&held[0], Next::Succeed)], &wanted)
        .unwrap();
    assert_eq!(fenced, [Recorded::Fenced]);
    check_counters(store);
}

fn pauses_are_obeyed(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("A"));
    assert!(store.set_paused("A", Pause::Paused).unwrap());
    assert!(!store.set_paused("Nobody", Pause::Paused).unwrap());
    assert!(store.dispatchers().unwrap()[0].paused);
    let supervisor = open(store);
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    accept(store, job("A"));
    assert!(
        store.dispatchers().unwrap()[0].paused,
        "a submission does not resume"
    );
    assert!(store.set_paused("A", Pause::Running).unwrap());
    assert_eq!(claim(store, supervisor, &["A"], 5).len(), 2);
}

fn needs_an_open_row(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("A"));
    let supervisor = open(store);
    store.close_supervisor(supervisor).unwrap();
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    assert!(claim(store, SupervisorId(999), &["A"], 5).is_empty());
}

fn without_slots_it_only_says_when(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(
        store,
        job_with("A", |job| job.options.delay = Some(seconds(3))),
    );
    let supervisor = open(store);
    let claim = store.claim(&request(supervisor, &["A"], 0)).unwrap();
    assert!(claim.jobs.is_empty());
    assert_eq!(claim.next_due, Some(seconds(3)));
}

fn a_job_of_a_newer_build_is_left_to_that_for_a_while(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let unlimited = row("A", |options| options.concurrency = 0);
    store.register(&[unlimited]).unwrap();
    let open_build = |store: &mut dyn Store, number| {
        let new = NewSupervisor {
            build: build(number),
            ..new_supervisor("shop")
        };
        store.open_supervisor(&new).unwrap()
    };
    let [older, newer] = [2, 3].map(|number| open_build(store, number));
    let sent = |store: &mut dyn Store, number| {
        accept(store, job_with("A", |job| job.build = build(number)))
    };
    let of_older = sent(store, 2);
    assert_eq!(ids(&claim(store, newer, &["A"], 1)), [of_older]);
    let _of_newer = sent(store, 3);
    fixture.advance(seconds(9));
    assert!(claim(store, older, &["A"], 1).is_empty());
    fixture.advance(seconds(1));
    // The newer one was taken back: better run by the older than never.
    assert_eq!(claim(store, older, &["A"], 1).len(), 1);
    let next = sent(store, 3);
    assert_eq!(ids(&claim(store, newer, &["A"], 1)), [next]);
}
