//! Promise 6: every run counts, by hand or from a program, waited for or not: queue limit,
//! concurrency and timeout hold for all.

use std::process::Child;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job, Way, assert_one_at_a_time, said};
use serde_json::{Value, json};

fn start(home: &Home, way: Way, payload: &Value) -> Child {
    home.begin(way.words("Three"), payload.to_string().as_bytes())
}

#[test]
fn every_run_counts_against_the_queue_limit() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "gate": "gate", "options": { "timeout": 60_000 } });
    // Every way is among the three that fill the queue once.
    let mut waiting = Vec::new();
    for (stored, way) in [Way::Run, Way::Notify, Way::Detach].into_iter().enumerate() {
        waiting.push(start(&home, way, &payload));
        home.stored(stored);
    }
    home.wait_running(&home.ids()[0]);
    for way in Way::ALL {
        let output = start(&home, way, &payload)
            .wait_with_output()
            .expect("it ends");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{way:?}: {text}");
        assert!(
            text.contains("the queue of Three is full"),
            "{way:?}: {text}"
        );
    }
    let finished = home.output(["retry", &home.ids()[0]], b"");
    assert!(
        !finished.status.success(),
        "one that runs cannot be retried"
    );
    assert_eq!(home.ids().len(), 3, "what was refused is not stored");
    home.open_gate("gate");
    for child in waiting {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    for id in home.ids() {
        assert_eq!(home.wait(&id).state, JobState::Succeeded);
    }
    assert_eq!(home.read("violations"), "");
}

/// A retry by hand is a submission like any other.
#[test]
fn a_retry_by_hand_counts_against_the_queue_limit() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let old = home.run("Three", &json!({ "gate": null }));
    let payload = json!({ "gate": "gate", "options": { "timeout": 60_000 } });
    let ids = home.submit_many("Three", &payload, 3);
    let refused = home.output(["retry", &old.id], b"");
    assert_eq!(refused.status.code(), Some(69), "{refused:#?}");
    assert_eq!(home.ids().len(), 4, "what was refused is not stored");
    home.open_gate("gate");
    for id in &ids {
        assert_eq!(home.wait(id).state, JobState::Succeeded);
    }
    let retried = home.output(["retry", &old.id], b"");
    assert!(retried.status.success(), "{retried:#?}");
    let again = home.wait(&home.stored(4));
    assert_eq!(again.state, JobState::Succeeded, "{again:#?}");
}

#[test]
fn every_run_counts_against_concurrency_and_timeout() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let never = json!({ "gate": "never" });
    // Four do not fit at once, so two go in at a time.
    for ways in [[Way::Run, Way::Notify], [Way::Spawn, Way::Detach]] {
        let before = home.database().exists().then(|| home.ids().len());
        let children = ways.map(|way| start(&home, way, &never));
        for (child, way) in children.into_iter().zip(ways) {
            let output = child.wait_with_output().expect("it ends");
            let code = output.status.code();
            match way {
                Way::Notify => assert_eq!(code, Some(124), "{output:#?}"),
                Way::Run => assert!(said(&output.stdout).ends_with(" failed timed_out\n")),
                Way::Spawn | Way::Detach => assert_eq!(code, Some(0), "{output:#?}"),
            }
        }
        for id in &home.ids()[before.unwrap_or(0)..] {
            let job = home.wait(id);
            let cause = job.outcome.as_ref().map(|outcome| &outcome.cause);
            assert_eq!(cause, Some(&Cause::TimedOut), "{job:#?}");
        }
    }
    let jobs: Vec<Job> = home.ids().iter().map(|id| home.job(id)).collect();
    assert_eq!(jobs.len(), 4);
    assert_one_at_a_time(jobs);
    assert_eq!(home.read("violations"), "");
}
