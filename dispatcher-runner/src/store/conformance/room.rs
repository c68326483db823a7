//! How much may wait and run: `max_queue` and `concurrency` at their ends and when they change;
//! and what `on_lost` leaves of a job.

use dispatcher_core::OnLost;
use dispatcher_core::limits::LOST_RERUNS_MAX;

use super::*;

on_every_store! {
    a_queue_of_one,
    the_largest_queue_is_a_limit_like_any_other,
    zero_is_unbounded,
    a_queue_that_becomes_shorter_takes_nobody_until_there_is_room,
    delayed_and_retried_ones_count,
    a_group_fits_whole_or_not_at_all,
    a_concurrency_that_falls_lets_running_ones_end,
    a_concurrency_that_rises_counts_at_once,
    the_largest_concurrency_is_bounded_by_slots,
    concurrency_counts_over_queues,
    what_must_not_repeat_is_cancelled_if_that_was_promised,
    losses_of_both_kinds_are_counted_together,
    a_loss_uses_no_retry_and_forgets_none,
    what_must_not_repeat_may_still_be_retried,
}

const NAMES: &[&str] = &["A"];

fn limited(store: &mut dyn Store, change: impl FnOnce(&mut DispatcherOptions)) {
    store.register(&[row("A", change)]).unwrap();
}

fn is_full(store: &mut dyn Store) -> bool {
    match submit(store, job("A")) {
        Ok(_) => false,
        Err(SubmitError::QueueFull { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

fn a_queue_of_one(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = 1);
    let supervisor = open(store);
    for next in [Next::Succeed, Next::Fail, Next::Cancel] {
        accept(store, job("A"));
        assert!(is_full(store), "waiting");
        let claimed = claim(store, supervisor, NAMES, 5).remove(0);
        assert!(is_full(store), "running");
        end(store, &claimed, next);
    }
    check_counters(store);
}

fn the_largest_queue_is_a_limit_like_any_other(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = u32::MAX);
    for _ in 0..20 {
        accept(store, job("A"));
    }
    let kept = store.dispatchers().unwrap().remove(0);
    assert_eq!(kept.row.options.max_queue, u32::MAX);
}

fn zero_is_unbounded(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = 0);
    let jobs = (0..2_000).map(|_| job("A")).collect();
    store.submit(&[group(jobs)]).remove(0).unwrap();
    assert!(!is_full(store));
    check_counters(store);
}

fn a_queue_that_becomes_shorter_takes_nobody_until_there_is_room(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = 5);
    let sent: Vec<_> = (0..5).map(|_| accept(store, job("A"))).collect();
    limited(store, |options| options.max_queue = 2);
    store.cancel(&sent[..3], "me").unwrap();
    assert!(is_full(store), "two are left of two");
    store.cancel(&sent[3..4], "me").unwrap();
    accept(store, job("A"));
    assert!(is_full(store));
    limited(store, |options| options.max_queue = 3);
    accept(store, job("A"));
    assert!(is_full(store));
}

fn delayed_and_retried_ones_count(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = 2);
    let supervisor = open(store);
    accept(store, job("A"));
    let claimed = claim(store, supervisor, NAMES, 1).remove(0);
    let after = seconds(600);
    end(store, &claimed, Next::Retry { after });
    let delayed = job_with("A", |job| job.options.delay = Some(after));
    accept(store, delayed);
    assert!(is_full(store));
    check_counters(store);
}

fn a_group_fits_whole_or_not_at_all(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.max_queue = 3);
    let of = |size| group((0..size).map(|_| job("A")).collect());
    assert!(store.submit(&[of(4)])[0].is_err());
    assert_eq!(store.jobs(&all()).unwrap().len(), 0);
    assert!(store.submit(&[of(3)])[0].is_ok());
    assert!(store.submit(&[of(1)])[0].is_err());
    assert!(store.submit(&[of(0)])[0].is_ok(), "nothing always fits");
    check_counters(store);
}

fn a_concurrency_that_falls_lets_running_ones_end(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.concurrency = 3);
    let supervisor = open(store);
    for _ in 0..6 {
        accept(store, job("A"));
    }
    let running = claim(store, supervisor, NAMES, 8);
    assert_eq!(running.len(), 3);
    limited(store, |options| options.concurrency = 1);
    for one in &running[..2] {
        end(store, one, Next::Succeed);
        assert!(claim(store, supervisor, NAMES, 8).is_empty());
    }
    end(store, &running[2], Next::Succeed);
    assert_eq!(claim(store, supervisor, NAMES, 8).len(), 1);
}

fn a_concurrency_that_rises_counts_at_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.concurrency = 1);
    let supervisor = open(store);
    for _ in 0..4 {
        accept(store, job("A"));
    }
    assert_eq!(claim(store, supervisor, NAMES, 8).len(), 1);
    limited(store, |options| options.concurrency = 3);
    assert_eq!(claim(store, supervisor, NAMES, 8).len(), 2);
}

fn the_largest_concurrency_is_bounded_by_slots(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.concurrency = u32::MAX);
    let supervisor = open(store);
    for _ in 0..9 {
        accept(store, job("A"));
    }
    assert_eq!(claim(store, supervisor, NAMES, 4).len(), 4);
    assert_eq!(claim(store, supervisor, NAMES, 4).len(), 4);
    assert_eq!(claim(store, supervisor, NAMES, 4).len(), 1);
}

fn concurrency_counts_over_queues(fixture: &Fixture) {
    let store = &mut *fixture.store();
    limited(store, |options| options.concurrency = 1);
    for queue in ["a", "b"] {
        accept(
            store,
            job_with("A", |job| job.options.queue = queue.to_owned()),
        );
    }
    let serving = |store: &mut dyn Store, queue: &str| {
        let mut wanted = request(open(store), NAMES, 5);
        wanted.serves.queues = vec![queue.to_owned()];
        wanted
    };
    let (a, b) = (serving(store, "a"), serving(store, "b"));
    let first = store.claim(&b).unwrap().jobs;
    assert_eq!(first.len(), 1);
    assert!(store.claim(&a).unwrap().jobs.is_empty());
    end(store, &first[0], Next::Succeed);
    assert_eq!(store.claim(&a).unwrap().jobs.len(), 1);
}

fn fails_when_lost() -> NewJob {
    job_with("A", |job| job.options.on_lost = OnLost::Fail)
}

/// The acknowledgement counts more than `on_lost`, whoever tells of the loss.
fn what_must_not_repeat_is_cancelled_if_that_was_promised(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let rescued = accept(store, fails_when_lost());
    let dead = open(store);
    claim(store, dead, NAMES, 1);
    store.cancel(&[rescued], "me").unwrap();
    assert_eq!(store.rescue(dead).unwrap().cancelled, [rescued]);
    let supervisor = open(store);
    for on_lost in OnLost::ALL {
        let on_lost = *on_lost;
        accept(store, fails_when_lost());
        let claimed = claim(store, supervisor, NAMES, 1).remove(0);
        store.cancel(&[claimed.job], "me").unwrap();
        let recorded = end(store, &claimed, Next::Lost { on_lost });
        assert_eq!(recorded, Recorded::Applied(JobState::Cancelled));
    }
    check_counters(store);
}

fn losses_of_both_kinds_are_counted_together(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let lost = Next::Lost {
        on_lost: OnLost::Rerun,
    };
    for loss in 0..=LOST_RERUNS_MAX {
        let supervisor = open(store);
        let claimed = claim(store, supervisor, NAMES, 1).remove(0);
        assert_eq!(show(store, id).lost, loss);
        if loss % 2 == 0 {
            store.rescue(supervisor).unwrap();
        } else {
            end(store, &claimed, lost);
        }
    }
    let shown = show(store, id);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::WorkerLost)));
    assert_eq!(shown.summary.counters.failures, 0);
}

fn a_loss_uses_no_retry_and_forgets_none(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let supervisor = open(store);
    let after = Duration::ZERO;
    let claimed = claim(store, supervisor, NAMES, 1).remove(0);
    end(store, &claimed, Next::Retry { after });
    let dead = open(store);
    claim(store, dead, NAMES, 1);
    store.rescue(dead).unwrap();
    let claimed = claim(store, supervisor, NAMES, 1).remove(0);
    assert_eq!(claimed.counters.failures, 1);
    assert_eq!(claimed.counters.attempt, 3);
    assert_eq!(show(store, id).lost, 1);
}

fn what_must_not_repeat_may_still_be_retried(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, fails_when_lost());
    let supervisor = open(store);
    let after = Duration::ZERO;
    let claimed = claim(store, supervisor, NAMES, 1).remove(0);
    let recorded = end(store, &claimed, Next::Retry { after });
    assert_eq!(recorded, Recorded::Applied(JobState::Queued));
    let dead = open(store);
    claim(store, dead, NAMES, 1);
    assert_eq!(store.rescue(dead).unwrap().failed, [id]);
}
