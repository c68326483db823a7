//! Duplicates: all four policies, and the order in which held ones are let go.

use dispatcher_core::OnDuplicate;

use super::*;

on_every_store! {
    parallel_accepts,
    discard_answers_with_the_survivor,
    discard_accepts_after_the_end,
    serial_holds_in_order,
    serial_lets_others_pass,
    serial_waits_for_retries,
    serial_moves_on_after_a_cancellation,
    cancelling_a_held_one_releases_nothing,
    queue_one_holds_one_and_drops_more,
    unique_key_replaces_the_payload,
    duplicates_within_a_group,
    dropped_although_full,
    held_and_delayed,
    a_change_to_serial_counts_older_jobs,
    a_job_may_say_itself_what_it_does,
    what_a_job_says_replaces_the_dispatchers_word,
}

fn with_policy(fixture: &Fixture, policy: OnDuplicate) -> Box<dyn Store> {
    let mut store = fixture.store();
    let row = row("A", |options| options.on_duplicate = policy);
    store.register(&[row]).unwrap();
    store
}

fn same() -> NewJob {
    job_with("A", |job| job.identity = "same".to_owned())
}

fn duplicate_of(survivor: JobId) -> Accepted {
    Accepted {
        id: survivor,
        duplicate: true,
    }
}

fn parallel_accepts(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let sent = [accept(store, same()), accept(store, same())];
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), sent);
}

fn discard_answers_with_the_survivor(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let first = accept(store, same());
    let dropped = same();
    assert_eq!(submit(store, dropped.clone()).unwrap(), duplicate_of(first));
    assert_eq!(store.state(dropped.id).unwrap(), None);
    let supervisor = open(store);
    claim(store, supervisor, &["A"], 1);
    assert_eq!(
        submit(store, same()).unwrap(),
        duplicate_of(first),
        "running counts"
    );
    accept(store, job("A"));
    check_counters(store);
}

fn discard_accepts_after_the_end(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    accept(store, same());
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1);
    end(store, &claimed[0], Next::Fail);
    accept(store, same());
}

fn serial_holds_in_order(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let sent: Vec<_> = (0..4).map(|_| accept(store, same())).collect();
    let shown = show(store, sent[1]);
    assert_eq!(shown.summary.run_at, None, "held");
    let supervisor = open(store);
    for expected in &sent {
        let claimed = claim(store, supervisor, &["A"], 5);
        assert_eq!(ids(&claimed), [*expected]);
        check_counters(store);
        end(store, &claimed[0], Next::Succeed);
    }
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    check_counters(store);
}

fn serial_lets_others_pass(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let first = accept(store, same());
    accept(store, same());
    let other = accept(store, job("A"));
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [first, other]);
}

fn serial_waits_for_retries(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let first = accept(store, same());
    let second = accept(store, same());
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    let after = seconds(10);
    end(store, &claimed[0], Next::Retry { after });
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    fixture.advance(after);
    let claimed = claim(store, supervisor, &["A"], 5);
    assert_eq!(ids(&claimed), [first]);
    end(store, &claimed[0], Next::Fail);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [second]);
}

fn serial_moves_on_after_a_cancellation(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let sent: Vec<_> = (0..3).map(|_| accept(store, same())).collect();
    store.cancel(&sent[..2], "me").unwrap();
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), sent[2..]);
    check_counters(store);
}

fn cancelling_a_held_one_releases_nothing(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let sent: Vec<_> = (0..3).map(|_| accept(store, same())).collect();
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    store.cancel(&sent[1..2], "me").unwrap();
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    end(store, &claimed[0], Next::Succeed);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), sent[2..]);
}

fn queue_one_holds_one_and_drops_more(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    let first = accept(store, same());
    let claimed = claim(store, supervisor, &["A"], 5);
    let second = accept(store, same());
    assert_eq!(submit(store, same()).unwrap(), duplicate_of(second));
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    assert_eq!(ids(&claimed), [first]);
    end(store, &claimed[0], Next::Succeed);
    let third = accept(store, same());
    let claimed = claim(store, supervisor, &["A"], 5);
    assert_eq!(ids(&claimed), [second]);
    assert_eq!(submit(store, same()).unwrap(), duplicate_of(third));
    check_counters(store);
}

fn unique_key_replaces_the_payload(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let keyed = |key: &str| job_with("A", |job| job.options.unique_key = Some(key.to_owned()));
    let first = accept(store, keyed("k"));
    assert_eq!(submit(store, keyed("k")).unwrap(), duplicate_of(first));
    accept(store, keyed("other"));
    assert_eq!(show(store, first).identity, "key:k");
    let elsewhere = job_with("B", |job| job.options.unique_key = Some("k".to_owned()));
    accept(store, elsewhere);
}

fn duplicates_within_a_group(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let jobs = vec![same(), same(), job("A")];
    let first = jobs[0].id;
    let submitted = store.submit(&[group(jobs)]).remove(0).unwrap();
    let duplicates: Vec<_> = submitted.jobs.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [false, true, false]);
    assert_eq!(submitted.jobs[1].id, first);
}

fn dropped_although_full(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let row = row("A", |options| {
        options.max_queue = 1;
        options.on_duplicate = OnDuplicate::Discard;
    });
    store.register(&[row]).unwrap();
    let first = accept(store, same());
    assert_eq!(submit(store, same()).unwrap(), duplicate_of(first));
    assert!(submit(store, job("A")).is_err());
}

fn held_and_delayed(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    accept(store, same());
    let mut late = same();
    late.options.delay = Some(seconds(60));
    let late = accept(store, late);
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    end(store, &claimed[0], Next::Succeed);
    let again = store.claim(&request(supervisor, &["A"], 5)).unwrap();
    assert!(again.jobs.is_empty(), "released, but its delay goes on");
    assert_eq!(again.next_due, Some(seconds(60)));
    check_counters(store);
    fixture.advance(seconds(60));
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [late]);
}

fn a_change_to_serial_counts_older_jobs(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let sent = [accept(store, same()), accept(store, same())];
    let serial = row("A", |options| options.on_duplicate = OnDuplicate::Serial);
    store.register(&[serial]).unwrap();
    let third = accept(store, same());
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    assert_eq!(ids(&claimed), sent);
    end(store, &claimed[0], Next::Succeed);
    assert!(
        claim(store, supervisor, &["A"], 5).is_empty(),
        "one is left"
    );
    end(store, &claimed[1], Next::Succeed);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [third]);
}

/// Jobs that say it themselves find each other, whatever each of them says.
fn a_job_may_say_itself_what_it_does(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let saying = |policy: OnDuplicate| {
        job_with("A", |job| {
            job.identity = "same".to_owned();
            job.options.on_duplicate = Some(policy);
        })
    };
    let first = accept(store, saying(OnDuplicate::Parallel));
    let dropped = submit(store, saying(OnDuplicate::Discard)).unwrap();
    assert_eq!(dropped, duplicate_of(first));
    let second = accept(store, saying(OnDuplicate::Parallel));
    let held = accept(store, saying(OnDuplicate::Serial));
    assert_eq!(show(store, held).summary.run_at, None, "held");
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    assert_eq!(ids(&claimed), [first, second]);
    end(store, &claimed[0], Next::Succeed);
    assert_eq!(claim(store, supervisor, &["A"], 5), [], "another one runs");
    end(store, &claimed[1], Next::Succeed);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [held]);
    check_counters(store);
}

fn what_a_job_says_replaces_the_dispatchers_word(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let first = accept(store, same());
    let parallel = job_with("A", |job| {
        job.identity = "same".to_owned();
        job.options.on_duplicate = Some(OnDuplicate::Parallel);
    });
    let second = accept(store, parallel);
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [first, second]);
    let dropped = submit(store, same()).unwrap();
    assert!(dropped.duplicate);
}
