//! Waiting in all its forms: delay, expiry, back-off and snooze together, and at their ends.

use super::*;

on_every_store! {
    expires_shorter_than_the_delay,
    the_edges_of_an_expiry,
    zero_delay_is_none,
    zero_expiry_is_over_at_once,
    less_than_a_millisecond_is_waited_for,
    centuries_do_not_overflow,
    an_expired_one_uses_no_attempt_and_no_retry,
    a_snooze_longer_than_the_expiry,
    a_release_begins_the_wait_anew,
    a_rescue_begins_the_wait_anew,
    retries_and_snoozes_are_counted_apart,
    a_retry_keeps_its_priority,
    the_ends_of_priority_between_dispatchers,
    a_delay_through_clock_jumps,
    an_expiry_through_clock_jumps,
    a_paused_one_expires,
    many_expire_in_steps,
}

const NAMES: &[&str] = &["A"];

fn with(change: impl FnOnce(&mut Options)) -> NewJob {
    job_with("A", |job| change(&mut job.options))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A store with the dispatcher `A` and an open supervisor.
fn ready(fixture: &Fixture) -> (Box<dyn Store>, SupervisorId) {
    let mut store = fixture.store();
    register(&mut *store, "A");
    let supervisor = open(&mut *store);
    (store, supervisor)
}

fn next_due(store: &mut dyn Store, supervisor: SupervisorId) -> Option<Duration> {
    let claim = store.claim(&request(supervisor, &["Nobody"], 0)).unwrap();
    claim.next_due
}

fn expires_shorter_than_the_delay(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let both = || {
        with(|it| {
            it.delay = Some(seconds(60));
            it.expires = Some(seconds(5));
        })
    };
    let taken = accept(store, both());
    fixture.advance(seconds(59));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(
        state(store, taken),
        JobState::Queued,
        "it does not wait yet"
    );
    assert_eq!(next_due(store, supervisor), Some(seconds(1)));
    fixture.advance(millis(5_999));
    assert_eq!(ids(&claim(store, supervisor, NAMES, 5)), [taken]);
    let late = accept(store, both());
    fixture.advance(seconds(65));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    let shown = show(store, late);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::Expired)));
    assert_eq!(shown.summary.state, JobState::Failed);
}

fn the_edges_of_an_expiry(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let doomed = || with(|it| it.expires = Some(millis(1)));
    let now = accept(store, doomed());
    assert_eq!(ids(&claim(store, supervisor, NAMES, 5)), [now], "at once");
    let late = accept(store, doomed());
    fixture.advance(millis(1));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, late), JobState::Failed);
    check_counters(store);
}

fn zero_delay_is_none(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let first = accept(store, with(|it| it.delay = Some(Duration::ZERO)));
    let second = accept(store, job("A"));
    assert_eq!(show(store, first).summary.run_at, Some(START));
    assert_eq!(next_due(store, supervisor), None);
    assert_eq!(ids(&claim(store, supervisor, NAMES, 5)), [first, second]);
}

/// No client sends it; a store that is given it takes it at its word.
fn zero_expiry_is_over_at_once(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let doomed = accept(store, with(|it| it.expires = Some(Duration::ZERO)));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, doomed), JobState::Failed);
}

fn less_than_a_millisecond_is_waited_for(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let short = Duration::from_nanos(1);
    let id = accept(store, with(|it| it.delay = Some(short)));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    fixture.advance(millis(1));
    let claimed = claim(store, supervisor, NAMES, 5).remove(0);
    assert_eq!(claimed.job, id);
    end(store, &claimed, Next::Retry { after: short });
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    fixture.advance(millis(1));
    assert_eq!(claim(store, supervisor, NAMES, 5).len(), 1);
}

fn centuries_do_not_overflow(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let ages = [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        millis(u64::MAX),
        millis(i64::MAX as u64),
        seconds(1_000_000_000_000),
        seconds(36_500 * 86_400),
    ];
    let mut sent = Vec::new();
    for after in ages {
        sent.push(accept(store, with(|it| it.delay = Some(after))));
        sent.push(accept(store, with(|it| it.expires = Some(after))));
        let both = with(|it| {
            it.delay = Some(after);
            it.expires = Some(after);
            it.timeout = Some(after);
            it.grace = after;
        });
        sent.push(accept(store, both));
    }
    let claimed = claim(store, supervisor, NAMES, 8);
    assert_eq!(claimed.len(), ages.len(), "those without a delay");
    for (one, after) in claimed.iter().zip(ages) {
        for next in [Next::Retry { after }, Next::Snooze { after }] {
            let recorded = end(store, one, next);
            let expected = match next {
                Next::Retry { .. } => Recorded::Applied(JobState::Queued),
                _ => Recorded::Fenced,
            };
            assert_eq!(recorded, expected);
        }
    }
    fixture.advance(seconds(86_400));
    assert!(claim(store, supervisor, NAMES, 8).is_empty());
    let due = next_due(store, supervisor).unwrap();
    assert_eq!(due, seconds(36_499 * 86_400), "the nearest century");
    for id in &sent {
        let shown = show(store, *id);
        assert_eq!(shown.summary.state, JobState::Queued);
        assert!(shown.summary.run_at.is_some_and(|at| at >= START));
    }
    let replies = store.cancel(&sent, "me").unwrap();
    assert!(replies.iter().all(|reply| *reply == CancelReply::Cancelled));
    assert_eq!(next_due(store, supervisor), None);
    check_counters(store);
}

fn an_expired_one_uses_no_attempt_and_no_retry(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let doomed = with(|it| {
        it.expires = Some(seconds(1));
        it.retries = u32::MAX;
    });
    let doomed = accept(store, doomed);
    fixture.advance(seconds(100));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    let shown = show(store, doomed);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.summary.counters.attempt, 0);
    assert!(shown.attempts.is_empty());
    let replies = store.cancel(&[doomed], "me").unwrap();
    assert_eq!(replies, [CancelReply::Ended(JobState::Failed)]);
}

fn a_snooze_longer_than_the_expiry(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.expires = Some(seconds(5))));
    let claimed = claim(store, supervisor, NAMES, 5).remove(0);
    let after = seconds(600);
    end(store, &claimed, Next::Snooze { after });
    fixture.advance(millis(604_999));
    assert_eq!(ids(&claim(store, supervisor, NAMES, 5)), [id]);
}

fn a_release_begins_the_wait_anew(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.expires = Some(seconds(5))));
    fixture.advance(seconds(4));
    let claimed = claim(store, supervisor, NAMES, 5).remove(0);
    fixture.advance(seconds(100));
    end(store, &claimed, Next::Release);
    fixture.advance(millis(4_999));
    assert!(claim(store, supervisor, &["Nobody"], 5).is_empty());
    assert_eq!(state(store, id), JobState::Queued);
    fixture.advance(millis(1));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, id), JobState::Failed);
}

fn a_rescue_begins_the_wait_anew(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.expires = Some(seconds(5))));
    let dead = open(store);
    claim(store, dead, NAMES, 1);
    fixture.advance(seconds(100));
    store.rescue(dead).unwrap();
    fixture.advance(millis(4_999));
    assert_eq!(ids(&claim(store, supervisor, NAMES, 5)), [id]);
}

fn retries_and_snoozes_are_counted_apart(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, job("A"));
    let after = seconds(1);
    let retry = Next::Retry { after };
    let snooze = Next::Snooze { after };
    let mut counted = (0, 0);
    for next in [snooze, retry, retry, snooze, snooze, retry, Next::Release] {
        let claimed = claim(store, supervisor, NAMES, 5).remove(0);
        assert_eq!((claimed.counters.failures, claimed.snoozes), counted);
        end(store, &claimed, next);
        match next {
            Next::Retry { .. } => counted.0 += 1,
            Next::Snooze { .. } => counted.1 += 1,
            _ => {}
        }
        fixture.advance(after);
    }
    let claimed = claim(store, supervisor, NAMES, 5).remove(0);
    end(store, &claimed, Next::Fail);
    let shown = show(store, id);
    assert_eq!(shown.summary.counters.attempt, 8);
    assert_eq!((shown.summary.counters.failures, shown.snoozes), (3, 3));
    assert_eq!(shown.lost, 0);
    assert_eq!(shown.attempts.len(), 8);
}

/// It goes behind those of its priority, and before those of a lower one.
fn a_retry_keeps_its_priority(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let ranked = |priority| with(|it| it.priority = priority);
    let urgent = accept(store, ranked(7));
    let claimed = claim(store, supervisor, NAMES, 1).remove(0);
    let low = accept(store, ranked(0));
    let other = accept(store, ranked(7));
    let after = seconds(1);
    end(store, &claimed, Next::Retry { after });
    fixture.advance(after);
    let last = accept(store, ranked(7));
    let order = ids(&claim(store, supervisor, NAMES, 8));
    assert_eq!(order, [other, urgent, last, low]);
    assert_eq!(show(store, urgent).summary.priority, 7);
}

fn the_ends_of_priority_between_dispatchers(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    register(store, "B");
    register(store, "C");
    let ranked = |name: &str, priority| job_with(name, |job| job.options.priority = priority);
    let lowest = accept(store, ranked("A", i32::MIN));
    let highest = accept(store, ranked("B", i32::MAX));
    let middle = accept(store, ranked("C", 0));
    let names = ["A", "B", "C"];
    let order: Vec<_> = (0..3)
        .flat_map(|_| ids(&claim(store, supervisor, &names, 1)))
        .collect();
    assert_eq!(order, [highest, middle, lowest]);
}

/// Never before its time by the store's clock, and not a second time when that goes back.
fn a_delay_through_clock_jumps(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.delay = Some(seconds(60))));
    fixture.now.store(START - 3_600_000, Ordering::Relaxed);
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(next_due(store, supervisor), Some(seconds(3_660)));
    fixture.now.store(START + 86_400_000, Ordering::Relaxed);
    let claimed = claim(store, supervisor, NAMES, 5);
    assert_eq!(ids(&claimed), [id]);
    fixture.now.store(START, Ordering::Relaxed);
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    end(store, &claimed[0], Next::Succeed);
    assert_eq!(state(store, id), JobState::Succeeded);
}

fn an_expiry_through_clock_jumps(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.expires = Some(seconds(60))));
    fixture.now.store(START - 86_400_000, Ordering::Relaxed);
    assert!(claim(store, supervisor, &["Nobody"], 5).is_empty());
    assert_eq!(state(store, id), JobState::Queued);
    fixture.now.store(START + 60_000, Ordering::Relaxed);
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, id), JobState::Failed);
    // What has ended stays ended.
    fixture.now.store(START, Ordering::Relaxed);
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, id), JobState::Failed);
}

fn a_paused_one_expires(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let id = accept(store, with(|it| it.expires = Some(seconds(1))));
    store.set_paused("A", Pause::Paused).unwrap();
    fixture.advance(seconds(1));
    assert!(claim(store, supervisor, NAMES, 5).is_empty());
    assert_eq!(state(store, id), JobState::Failed);
}

/// More than one claim may end: none is forgotten, and the answer says that there are more.
fn many_expire_in_steps(fixture: &Fixture) {
    let (mut store, supervisor) = ready(fixture);
    let store = &mut *store;
    let count = rules::DUE_PER_CLAIM_MAX + 5;
    let jobs = (0..count).map(|_| with(|it| it.expires = Some(seconds(1))));
    store.submit(&[group(jobs.collect())]).remove(0).unwrap();
    fixture.advance(seconds(1));
    assert_eq!(next_due(store, supervisor), Some(Duration::ZERO), "more");
    assert_eq!(next_due(store, supervisor), None);
    let jobs = store.jobs(&all()).unwrap();
    assert!(jobs.iter().all(|job| job.state == JobState::Failed));
    assert_eq!(jobs.len(), count);
    check_counters(store);
}
