//! Ends of attempts: each `Next`, the fence, and what stays on record.

use super::*;

on_every_store! {
    success_keeps_output_and_attempt,
    failure_keeps_no_output,
    retry_counts_a_failure,
    snooze_counts_a_snooze,
    release_counts_nothing,
    a_stale_token_changes_nothing,
    an_unknown_job_is_fenced,
    captures_are_kept_per_attempt,
    progress_lives_with_the_attempt,
    the_mean_follows_recent_runs,
    mixed_batches,
    sync_always_works,
}

/// One dispatcher, one claimed job.
fn started(fixture: &Fixture) -> (Box<dyn Store>, SupervisorId, Claimed) {
    let mut store = fixture.store();
    register(&mut *store, "A");
    accept(&mut *store, job("A"));
    let supervisor = open(&mut *store);
    let claimed = claim(&mut *store, supervisor, &["A"], 1).remove(0);
    (store, supervisor, claimed)
}

fn success_keeps_output_and_attempt(fixture: &Fixture) {
    let (mut store, _, claimed) = started(fixture);
    fixture.advance(seconds(3));
    let record = Record {
        output: Some("\"done\"".to_owned()),
        ..ending(&claimed, Next::Succeed)
    };
    let recorded = store.record(std::slice::from_ref(&record)).unwrap();
    assert_eq!(recorded, [Recorded::Applied(JobState::Succeeded)]);
    let shown = show(&mut *store, claimed.job);
    assert_eq!(shown.summary.state, JobState::Succeeded);
    assert_eq!(shown.summary.outcome, Some(record.outcome.clone()));
    assert_eq!(shown.summary.ended_at, Some(START + 3_000));
    assert_eq!(shown.output.as_deref(), Some("\"done\""));
    assert_eq!(shown.supervisor, None);
    let [attempt] = &shown.attempts[..] else {
        panic!("{shown:?}");
    };
    assert_eq!(attempt.attempt, 1);
    assert_eq!(attempt.started_at, record.started_at);
    assert_eq!(attempt.ended_at, record.ended_at);
    assert_eq!(attempt.run_time, record.run_time);
    assert_eq!(attempt.pid, Some(4242));
    assert_eq!(attempt.build, record.build);
    assert_eq!(attempt.outcome, record.outcome);
    let latest = store.latest_output("A").unwrap();
    assert_eq!(latest, Some((claimed.job, "\"done\"".to_owned())));
    check_counters(&mut *store);
}

fn failure_keeps_no_output(fixture: &Fixture) {
    let (mut store, _, claimed) = started(fixture);
    let record = Record {
        output: Some("1".to_owned()),
        ..ending(&claimed, Next::Fail)
    };
    store.record(&[record]).unwrap();
    let shown = show(&mut *store, claimed.job);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::TimedOut)));
    assert_eq!(shown.output, None);
    assert_eq!(store.latest_output("A").unwrap(), None);
}

fn retry_counts_a_failure(fixture: &Fixture) {
    let (mut store, supervisor, claimed) = started(fixture);
    let store = &mut *store;
    let after = seconds(7);
    let recorded = end(store, &claimed, Next::Retry { after });
    assert_eq!(recorded, Recorded::Applied(JobState::Queued));
    let shown = show(store, claimed.job);
    assert_eq!(shown.summary.counters.failures, 1);
    assert_eq!(shown.summary.run_at, Some(START + 7_000));
    assert_eq!(shown.summary.outcome, None);
    assert_eq!(shown.summary.started_at, None);
    assert_eq!(shown.attempts.len(), 1);
    assert!(claim(store, supervisor, &["A"], 1).is_empty());
    fixture.advance(after);
    let again = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(again.counters.attempt, 2);
    assert!(again.counters.token > claimed.counters.token);
    end(store, &again, Next::Succeed);
    let shown = show(store, claimed.job);
    let attempts: Vec<_> = shown.attempts.iter().map(|one| one.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    check_counters(store);
}

fn snooze_counts_a_snooze(fixture: &Fixture) {
    let (mut store, supervisor, claimed) = started(fixture);
    let store = &mut *store;
    let after = Duration::ZERO;
    end(store, &claimed, Next::Snooze { after });
    let again = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(again.snoozes, 1);
    assert_eq!(again.counters.failures, 0);
    assert_eq!(show(store, claimed.job).snoozes, 1);
}

fn release_counts_nothing(fixture: &Fixture) {
    let (mut store, _, claimed) = started(fixture);
    let recorded = end(&mut *store, &claimed, Next::Release);
    assert_eq!(recorded, Recorded::Applied(JobState::Queued));
    let shown = show(&mut *store, claimed.job);
    assert_eq!(shown.summary.counters, claimed.counters);
    assert_eq!((shown.snoozes, shown.lost), (0, 0));
    assert_eq!(shown.summary.run_at, Some(START));
    check_counters(&mut *store);
}

fn a_stale_token_changes_nothing(fixture: &Fixture) {
    let (mut store, supervisor, claimed) = started(fixture);
    let store = &mut *store;
    let after = Duration::ZERO;
    end(store, &claimed, Next::Retry { after });
    assert_eq!(end(store, &claimed, Next::Succeed), Recorded::Fenced);
    let again = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(end(store, &claimed, Next::Succeed), Recorded::Fenced);
    assert_eq!(state(store, claimed.job), JobState::Running);
    end(store, &again, Next::Fail);
    for next in [Next::Succeed, Next::Release, Next::Cancel] {
        assert_eq!(end(store, &again, next), Recorded::Fenced);
    }
    let shown = show(store, claimed.job);
    assert_eq!(shown.summary.state, JobState::Failed);
    assert_eq!(shown.attempts.len(), 2);
    check_counters(store);
}

fn an_unknown_job_is_fenced(fixture: &Fixture) {
    let (mut store, _, mut claimed) = started(fixture);
    claimed.job = new_id();
    assert_eq!(end(&mut *store, &claimed, Next::Succeed), Recorded::Fenced);
}

fn captures_are_kept_per_attempt(fixture: &Fixture) {
    let (mut store, _, claimed) = started(fixture);
    let mut record = ending(&claimed, Next::Succeed);
    record.capture = Capture {
        stdout: Stream {
            head: b"out\0\xff".to_vec(),
            tail: Vec::new(),
            dropped: 0,
        },
        stderr: Stream {
            head: vec![b'h'; 3000],
            tail: [vec![b't'; 3000], b"end".to_vec()].concat(),
            dropped: 17,
        },
    };
    store.record(std::slice::from_ref(&record)).unwrap();
    let capture = store.capture(claimed.job, 1).unwrap();
    assert_eq!(capture, Some(record.capture));
    assert_eq!(store.capture(claimed.job, 2).unwrap(), None);
    assert_eq!(store.capture(new_id(), 1).unwrap(), None);
    let shown = show(&mut *store, claimed.job);
    let last = &shown.attempts[0].stderr_end;
    assert_eq!(last.len(), 2048);
    assert!(last.ends_with(b"tttend"));

    let (mut store, _, silent) = started(fixture);
    end(&mut *store, &silent, Next::Succeed);
    let capture = store.capture(silent.job, 1).unwrap();
    assert_eq!(capture, Some(Capture::default()));
}

fn progress_lives_with_the_attempt(fixture: &Fixture) {
    let (mut store, supervisor, claimed) = started(fixture);
    let store = &mut *store;
    let note = |token, fraction| ProgressNote {
        job: claimed.job,
        token,
        fraction,
        text: "half".to_owned(),
    };
    let token = claimed.counters.token;
    store
        .note_progress(&[note(token, 0.25), note(token, 0.5), note(token + 1, 0.9)])
        .unwrap();
    let shown = show(store, claimed.job);
    assert_eq!(shown.summary.progress, Some((0.5, "half".to_owned())));
    let after = Duration::ZERO;
    end(store, &claimed, Next::Retry { after });
    assert_eq!(show(store, claimed.job).summary.progress, None);
    let again = claim(store, supervisor, &["A"], 1).remove(0);
    store
        .note_progress(&[note(again.counters.token, 1.0)])
        .unwrap();
    end(store, &again, Next::Succeed);
    assert_eq!(show(store, claimed.job).summary.progress, None);
}

fn the_mean_follows_recent_runs(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let supervisor = open(store);
    let run = |store: &mut dyn Store, started_at, run_time| {
        accept(store, job("A"));
        let claimed = claim(store, supervisor, &["A"], 1).remove(0);
        let record = Record {
            started_at,
            run_time,
            ..ending(&claimed, Next::Succeed)
        };
        store.record(&[record]).unwrap();
        store.dispatchers().unwrap()[0].mean_run
    };
    assert_eq!(run(store, None, seconds(9)), None, "never started");
    assert_eq!(run(store, Some(START), seconds(1)), Some(seconds(1)));
    let mean = run(store, Some(START), seconds(2)).unwrap();
    assert!(mean > seconds(1) && mean < seconds(2), "{mean:?}");
}

fn mixed_batches(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    register(store, "B");
    for _ in 0..4 {
        accept(store, job("A"));
        accept(store, job("B"));
    }
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A", "B"], 8);
    let after = seconds(1);
    let nexts = [
        Next::Succeed,
        Next::Fail,
        Next::Cancel,
        Next::Retry { after },
        Next::Snooze { after },
        Next::Release,
        Next::Succeed,
        Next::Succeed,
    ];
    let mut records: Vec<_> = claimed
        .iter()
        .zip(nexts)
        .map(|(claimed, next)| ending(claimed, next))
        .collect();
    records[7].token += 1;
    let recorded = store.record(&records).unwrap();
    use JobState::{Cancelled, Failed, Queued, Running, Succeeded};
    let expected = [
        Succeeded, Failed, Cancelled, Queued, Queued, Queued, Succeeded,
    ];
    for (answer, state) in recorded.iter().zip(expected) {
        assert_eq!(*answer, Recorded::Applied(state));
    }
    assert_eq!(recorded[7], Recorded::Fenced);
    assert_eq!(state(store, claimed[7].job), Running);
    check_counters(store);
}

fn sync_always_works(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store.sync().unwrap();
    register(store, "A");
    store.sync().unwrap();
    accept(store, job("A"));
    fixture.store().sync().unwrap();
    store.sync().unwrap();
}
