//! Jobs that are futures, on tokio, forked and started afresh.

use std::time::{Duration, Instant};

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job, said};

/// Far below the grace of the dispatcher: whoever ends later was killed.
const SOON: Duration = Duration::from_secs(30);

fn both_ways(test: impl Fn(&Home, &dyn Fn(&str, &[&str]) -> String)) {
    for isolation in ["process", "exec"] {
        let home = Home::new(env!("CARGO_BIN_EXE_odd"));
        let submit = |deed: &str, options: &[&str]| {
            let payload = format!(r#"{{"isolation":"{isolation}","deed":"{deed}"}}"#);
            let words = ["notifydispatcher", "--detach", "Eventual", &payload];
            let output = home.output(words.iter().chain(options), b"");
            assert!(output.status.success(), "{}", said(&output.stderr));
            said(&output.stdout).trim().to_owned()
        };
        test(&home, &submit);
    }
}

fn cause(job: &Job) -> &Cause {
    let outcome = job.outcome.as_ref();
    &outcome
        .unwrap_or_else(|| panic!("no outcome: {job:?}"))
        .cause
}

#[test]
fn a_future_has_timers_sockets_and_tasks() {
    both_ways(|home, submit| {
        let job = home.wait(&submit("talk", &[]));
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert_eq!(job.output.as_deref(), Some("\"hello\""));
    });
}

#[test]
fn a_future_that_hangs_is_timed_out() {
    both_ways(|home, submit| {
        let job = home.wait(&submit("hang", &["--timeout", "1"]));
        assert_eq!(*cause(&job), Cause::TimedOut);
    });
}

#[test]
fn a_future_is_cancelled_whether_it_asks_or_not() {
    both_ways(|home, submit| {
        for deed in ["hang", "ask_to_hang"] {
            let id = submit(deed, &[]);
            home.wait_for(&format!("began-{id}"));
            let began = Instant::now();
            let output = home.output(["cancel", &id], b"");
            assert!(output.status.success(), "{}", said(&output.stderr));
            let job = home.wait(&id);
            assert_eq!(job.state, JobState::Cancelled, "{job:?}");
            assert!(began.elapsed() < SOON, "{deed} was waited for");
        }
    });
}

#[test]
fn what_a_future_leaves_behind_is_not_waited_for() {
    both_ways(|home, submit| {
        let began = Instant::now();
        let job = home.wait(&submit("leave_blocked", &[]));
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert!(began.elapsed() < SOON);
    });
}

#[test]
fn a_panic_in_a_future_is_told() {
    both_ways(|home, submit| {
        let job = home.wait(&submit("panic", &[]));
        let Cause::Panicked(panic) = cause(&job) else {
            panic!("{job:?}")
        };
        assert_eq!(panic.message, "in a future");
        assert!(panic.location.contains("odd.rs"), "{}", panic.location);
    });
}
