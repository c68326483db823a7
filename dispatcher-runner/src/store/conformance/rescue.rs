//! Rescue: what a dead supervisor held runs again, or ends, as its job says.

use dispatcher_core::OnLost;
use dispatcher_core::limits::LOST_RERUNS_MAX;

use super::*;

on_every_store! {
    reruns_without_using_a_retry,
    keeps_the_place_in_the_queue,
    gives_up_after_the_limit,
    fails_what_must_not_repeat,
    honours_acknowledged_cancellations,
    a_late_record_is_fenced,
    leaves_others_alone,
    held_duplicates_move_on,
}

fn reruns_without_using_a_retry(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let dead = open(store);
    let claimed = claim(store, dead, &["A"], 1).remove(0);
    fixture.advance(seconds(2));
    let rescued = store.rescue(dead).unwrap();
    let expected = Rescued {
        requeued: vec![id],
        ..Rescued::default()
    };
    assert_eq!(rescued, expected);
    let shown = show(store, id);
    assert_eq!(shown.summary.state, JobState::Queued);
    assert_eq!(shown.summary.counters, claimed.counters);
    assert_eq!((shown.lost, shown.supervisor), (1, None));
    let [attempt] = &shown.attempts[..] else {
        panic!("{shown:?}");
    };
    assert_eq!(attempt.outcome, outcome(Cause::WorkerLost));
    assert_eq!(attempt.run_time, seconds(2));
    assert_eq!(attempt.build, "build-1");
    assert!(store.supervisors().unwrap().is_empty());
    check_counters(store);
    let next = open(store);
    assert!(next > dead, "an id is never used again");
    let again = claim(store, next, &["A"], 1).remove(0);
    assert_eq!(again.counters.attempt, 2);
    assert!(again.counters.token > claimed.counters.token);
}

fn keeps_the_place_in_the_queue(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..4).map(|_| accept(store, job("A"))).collect();
    let (dead, next) = (open(store), open(store));
    claim(store, dead, &["A"], 2);
    assert_eq!(store.rescue(dead).unwrap().requeued, sent[..2]);
    assert_eq!(ids(&claim(store, next, &["A"], 8)), sent);
}

fn gives_up_after_the_limit(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    for _ in 0..LOST_RERUNS_MAX {
        let dead = open(store);
        claim(store, dead, &["A"], 1);
        assert_eq!(store.rescue(dead).unwrap().requeued, [id]);
    }
    let dead = open(store);
    claim(store, dead, &["A"], 1);
    assert_eq!(store.rescue(dead).unwrap().failed, [id]);
    let shown = show(store, id);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::WorkerLost)));
    assert_eq!(shown.attempts.len(), LOST_RERUNS_MAX as usize + 1);
    check_counters(store);
}

fn fails_what_must_not_repeat(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let once = job_with("A", |job| job.options.on_lost = OnLost::Fail);
    let once = accept(store, once);
    let dead = open(store);
    claim(store, dead, &["A"], 1);
    assert_eq!(store.rescue(dead).unwrap().failed, [once]);
    assert_eq!(state(store, once), JobState::Failed);
}

fn honours_acknowledged_cancellations(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let dead = open(store);
    claim(store, dead, &["A"], 1);
    store.cancel(&[id], "me").unwrap();
    assert_eq!(store.rescue(dead).unwrap().cancelled, [id]);
    let shown = show(store, id);
    assert_eq!(shown.summary.state, JobState::Cancelled);
    let cause = Cause::Cancelled {
        by: "me".to_owned(),
    };
    assert_eq!(shown.summary.outcome, Some(outcome(cause)));
    assert_eq!(shown.attempts[0].outcome, outcome(Cause::WorkerLost));
}

fn a_late_record_is_fenced(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let dead = open(store);
    let claimed = claim(store, dead, &["A"], 1).remove(0);
    store.rescue(dead).unwrap();
    assert_eq!(end(store, &claimed, Next::Succeed), Recorded::Fenced);
    let next = open(store);
    claim(store, next, &["A"], 1);
    assert_eq!(end(store, &claimed, Next::Succeed), Recorded::Fenced);
    assert_eq!(state(store, id), JobState::Running);
    assert_eq!(show(store, id).attempts.len(), 1);
    assert!(claim(store, dead, &["A"], 1).is_empty());
}

fn leaves_others_alone(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..2).map(|_| accept(store, job("A"))).collect();
    let (dead, alive) = (open(store), open(store));
    claim(store, dead, &["A"], 1);
    claim(store, alive, &["A"], 1);
    store.rescue(dead).unwrap();
    assert_eq!(state(store, sent[1]), JobState::Running);
    let held = store.claims_of(alive).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(store.rescue(SupervisorId(999)).unwrap(), Rescued::default());
}

fn held_duplicates_move_on(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let serial = row("A", |options| {
        options.on_duplicate = dispatcher_core::OnDuplicate::Serial;
    });
    store.register(&[serial]).unwrap();
    let same = || {
        job_with("A", |job| {
            job.identity = "same".to_owned();
            job.options.on_lost = OnLost::Fail;
        })
    };
    accept(store, same());
    let second = accept(store, same());
    let dead = open(store);
    claim(store, dead, &["A"], 1);
    store.rescue(dead).unwrap();
    let next = open(store);
    assert_eq!(ids(&claim(store, next, &["A"], 8)), [second]);
    check_counters(store);
}
