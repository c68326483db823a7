//! Cancellation: at once for waiting jobs, and final once acknowledged for running ones.

use super::*;

on_every_store! {
    waiting_jobs_end_at_once,
    delayed_jobs_end_at_once,
    running_jobs_are_stopped_by_their_supervisor,
    an_acknowledged_cancellation_wins_over_every_next,
    ended_and_unknown_jobs,
}

fn by(name: &str) -> Outcome {
    outcome(Cause::Cancelled {
        by: name.to_owned(),
    })
}

fn waiting_jobs_end_at_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let first = accept(store, job("A"));
    let second = accept(store, job("A"));
    let replies = store.cancel(&[first], "me").unwrap();
    assert_eq!(replies, [CancelReply::Cancelled]);
    let shown = show(store, first);
    assert_eq!(shown.summary.state, JobState::Cancelled);
    assert_eq!(shown.summary.outcome, Some(by("me")));
    assert_eq!(shown.summary.ended_at, Some(START));
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 5)), [second]);
    check_counters(store);
}

fn delayed_jobs_end_at_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let delayed = job_with("A", |job| job.options.delay = Some(seconds(9)));
    let delayed = accept(store, delayed);
    store.cancel(&[delayed], "me").unwrap();
    fixture.advance(seconds(9));
    let supervisor = open(store);
    let claim = store.claim(&request(supervisor, &["A"], 5)).unwrap();
    assert!(claim.jobs.is_empty());
    assert_eq!(claim.next_due, None);
    check_counters(store);
}

fn running_jobs_are_stopped_by_their_supervisor(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("A"));
    let (supervisor, other) = (open(store), open(store));
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(store.cancellations(supervisor).unwrap(), []);
    for name in ["first", "second"] {
        let replies = store.cancel(&[claimed.job], name).unwrap();
        assert_eq!(replies, [CancelReply::Stopping(supervisor)]);
    }
    let requested = Cancellation {
        job: claimed.job,
        token: claimed.counters.token,
        by: "first".to_owned(),
    };
    assert_eq!(store.cancellations(supervisor).unwrap(), [requested]);
    assert_eq!(store.cancellations(other).unwrap(), []);
    assert_eq!(state(store, claimed.job), JobState::Running);
    let shown = show(store, claimed.job);
    assert_eq!(shown.cancel_requested_by.as_deref(), Some("first"));
    end(store, &claimed, Next::Cancel);
    assert_eq!(store.cancellations(supervisor).unwrap(), []);
}

fn an_acknowledged_cancellation_wins_over_every_next(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let supervisor = open(store);
    let after = seconds(1);
    for next in [
        Next::Succeed,
        Next::Fail,
        Next::Cancel,
        Next::Retry { after },
        Next::Snooze { after },
        Next::Release,
    ] {
        accept(store, job("A"));
        let claimed = claim(store, supervisor, &["A"], 1).remove(0);
        store.cancel(&[claimed.job], "me").unwrap();
        let record = Record {
            output: Some("1".to_owned()),
            ..ending(&claimed, next)
        };
        let recorded = store.record(std::slice::from_ref(&record)).unwrap();
        assert_eq!(recorded, [Recorded::Applied(JobState::Cancelled)]);
        let shown = show(store, claimed.job);
        assert_eq!(shown.summary.outcome, Some(by("me")), "{next:?}");
        assert_eq!(shown.attempts[0].outcome, record.outcome, "{next:?}");
        assert_eq!(shown.output, None);
        assert_eq!(shown.summary.counters.failures, 0);
    }
    assert_eq!(store.latest_output("A").unwrap(), None);
    check_counters(store);
}

fn ended_and_unknown_jobs(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("A"));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    end(store, &claimed, Next::Succeed);
    let replies = store.cancel(&[claimed.job, new_id()], "me").unwrap();
    assert_eq!(
        replies,
        [
            CancelReply::Ended(JobState::Succeeded),
            CancelReply::Unknown
        ]
    );
    assert_eq!(state(store, claimed.job), JobState::Succeeded);
}
