//! Jobs that have waited longer than `expires` end, never silently.

use dispatcher_core::OnDuplicate;

use super::*;

on_every_store! {
    ends_as_expired,
    waiting_begins_when_it_may_start,
    each_wait_counts_anew,
    running_time_is_not_waiting_time,
    held_and_expired_together,
}

fn expiring(after: u64) -> NewJob {
    job_with("A", |job| job.options.expires = Some(seconds(after)))
}

fn ends_as_expired(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let doomed = accept(store, expiring(10));
    let patient = accept(store, expiring(20));
    let supervisor = open(store);
    let wanted = request(supervisor, &["B"], 5);
    assert_eq!(store.claim(&wanted).unwrap().next_due, Some(seconds(10)));
    fixture.advance(seconds(10));
    assert_eq!(store.claim(&wanted).unwrap().next_due, Some(seconds(10)));
    let shown = show(store, doomed);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::Expired)));
    assert_eq!(shown.summary.ended_at, Some(START + 10_000));
    assert!(shown.attempts.is_empty());
    assert_eq!(state(store, patient), JobState::Queued);
    check_counters(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [patient]);
}

fn waiting_begins_when_it_may_start(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let mut delayed = expiring(10);
    delayed.options.delay = Some(seconds(60));
    let delayed = accept(store, delayed);
    let supervisor = open(store);
    fixture.advance(seconds(60));
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [delayed]);
}

fn each_wait_counts_anew(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let patient = accept(store, expiring(10));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    let after = seconds(30);
    end(store, &claimed[0], Next::Retry { after });
    fixture.advance(seconds(39));
    let claimed = claim(store, supervisor, &["A"], 5);
    assert_eq!(ids(&claimed), [patient]);
    end(store, &claimed[0], Next::Retry { after });
    fixture.advance(seconds(40));
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    assert_eq!(state(store, patient), JobState::Failed);
}

fn running_time_is_not_waiting_time(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let patient = accept(store, expiring(10));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 5);
    fixture.advance(seconds(100));
    assert!(claim(store, supervisor, &["A"], 5).is_empty());
    end(store, &claimed[0], Next::Release);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [patient]);
}

/// The end of one releases the next, which ends in the same step.
fn held_and_expired_together(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let serial = row("A", |options| options.on_duplicate = OnDuplicate::Serial);
    store.register(&[serial]).unwrap();
    let same = |after| {
        let mut job = expiring(after);
        job.identity = "same".to_owned();
        job
    };
    let sent = [10, 10, 99].map(|after| accept(store, same(after)));
    fixture.advance(seconds(10));
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), sent[2..]);
    assert_eq!(state(store, sent[0]), JobState::Failed);
    assert_eq!(state(store, sent[1]), JobState::Failed);
    check_counters(store);
}
