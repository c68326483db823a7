//! Plain commands: they say nothing, and their exit status is their answer.

use super::*;

/// A desk whose only worker is a command that runs.
fn command(options: Options) -> (Desk, WorkerId) {
    let mut desk = Desk::new(1);
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    let job = Assignment {
        link: LinkKind::ExitStatus,
        ..assignment(0, &options)
    };
    desk.tell(claimed(vec![job], None));
    let Effect::Spawn { worker, .. } = desk.next() else {
        panic!("a spawn")
    };
    desk.tell(Event::Spawned { worker });
    (desk, worker)
}

#[test]
fn a_command_owes_no_hello() {
    let (mut desk, worker) = command(Options {
        timeout: None,
        ..Options::default()
    });
    assert_eq!(desk.engine.poll_timeout(), None, "no timer of a hello runs");
    desk.monotonic = 100_000 * SECOND;
    let now = desk.now();
    desk.engine.handle_timeout(now);
    desk.collect();
    desk.quiet();
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
    assert_eq!(verdict.run_time, 100_000 * SECOND);
}

#[test]
fn the_exit_status_of_a_command_is_its_answer() {
    let signalled = Cause::Signalled {
        signal: 9,
        core: false,
        oom_suspected: false,
    };
    let cases = [
        (ExitStatus::Exited(0), Cause::Succeeded, Next::Succeed),
        (ExitStatus::Exited(1), Cause::Exited { code: 1 }, Next::Fail),
        (
            ExitStatus::Exited(127),
            Cause::Exited { code: 127 },
            Next::Fail,
        ),
        (killed(), signalled, Next::Fail),
    ];
    for (status, cause, next) in cases {
        let (mut desk, worker) = command(Options::default());
        let verdict = desk.end(worker, status);
        assert_eq!(verdict.outcome.cause, cause);
        assert_eq!(verdict.outcome.exit_status, Some(status));
        assert_eq!(verdict.next, next);
        assert!(!verdict.outcome.unclean_exit);
    }
}

#[test]
fn a_failed_command_is_retried_like_any_other_job() {
    let (mut desk, worker) = command(Options {
        retries: 1,
        ..Options::default()
    });
    let verdict = desk.end(worker, ExitStatus::Exited(3));
    assert!(matches!(verdict.next, Next::Retry { .. }));
}

#[test]
fn a_command_that_ends_before_its_start_was_reported_has_answered() {
    let mut desk = Desk::new(1);
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    let job = Assignment {
        link: LinkKind::ExitStatus,
        ..assignment(0, &Options::default())
    };
    desk.tell(claimed(vec![job], None));
    let Effect::Spawn { worker, .. } = desk.next() else {
        panic!("a spawn")
    };
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
}

#[test]
fn a_command_that_takes_too_long_climbs_the_ladder_whatever_its_status() {
    let (mut desk, worker) = command(Options {
        timeout: Some(3 * SECOND),
        grace: 2 * SECOND,
        ..Options::default()
    });
    desk.pass();
    assert_eq!(desk.monotonic, 3 * SECOND);
    assert_eq!(desk.next(), Effect::Stop { worker });
    desk.pass();
    assert_eq!(desk.monotonic, 5 * SECOND);
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::TimedOut);
}

#[test]
fn a_cancelled_command_that_exits_well_is_cancelled() {
    let (mut desk, worker) = command(Options::default());
    let job = assignment(0, &Options::default()).job;
    let (token, by) = (1, "me".to_owned());
    desk.tell(Event::CancelRequested { job, token, by });
    assert_eq!(desk.next(), Effect::Stop { worker });
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Cancelled { by: "me".into() });
    assert_eq!(verdict.next, Next::Cancel);
}

#[test]
fn strays_of_a_command_that_went_well_stay() {
    let (mut desk, worker) = command(Options::default());
    desk.exit(worker, ExitStatus::Exited(0), 1);
    let strays = Strays::Leave;
    assert_eq!(desk.next(), Effect::Bury { worker, strays });
    let (mut desk, worker) = command(Options::default());
    desk.exit(worker, ExitStatus::Exited(1), 1);
    let strays = Strays::Kill;
    assert_eq!(desk.next(), Effect::Bury { worker, strays });
}
