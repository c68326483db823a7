//! `timeout`, `grace`, `delay`, `expires`, `retries`, `backoff`: from nothing to centuries.

use std::time::Duration;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job, Kind, PATIENCE, eventually};
use serde_json::{Value, json};

use crate::{WAYS, fixture, prints, shown};

fn act(deed: &Value, options: &Value) -> Value {
    json!({ "deed": deed, "options": options })
}

fn cause(job: &Job) -> &Cause {
    &job.outcome.as_ref().expect("it ended").cause
}

/// 10^12 seconds, and the longest that a row can hold.
const AGES_MS: [u64; 3] = [1_000_000_000_000_000, i64::MAX as u64, u64::MAX];

#[test]
fn timeout_and_grace_of_ages() {
    let home = fixture();
    for age in AGES_MS {
        for way in WAYS {
            let options = json!({ "timeout": age, "grace": age, "isolation": way });
            let job = home.run("Look", &json!({ "options": options }));
            assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
            prints(&home, ["show", &job.id]);
        }
        // It dies by TERM, however long the grace.
        let options = json!({ "timeout": age, "grace": age });
        let id = home.submit("Act", &act(&json!({ "wait_for": "never" }), &options));
        home.wait_running(&id);
        prints(&home, ["cancel", &id]);
        assert_eq!(home.wait(&id).state, JobState::Cancelled);
    }
}

#[test]
fn timeout_of_zero_is_none() {
    let home = fixture();
    for way in WAYS {
        let options = json!({ "timeout": 0, "isolation": way });
        let job = home.run("Look", &json!({ "options": options }));
        assert_eq!(job.options.timeout, None, "{job:#?}");
        let seen: Value = serde_json::from_str(job.output.as_deref().expect("one")).expect("JSON");
        assert_eq!(seen["deadline"], false);
        let job = home.run("Look", &json!({}));
        let seen: Value = serde_json::from_str(job.output.as_deref().expect("one")).expect("JSON");
        assert_eq!(seen["deadline"], true, "five minutes are the default");
    }
}

#[test]
fn timeout_of_a_millisecond() {
    let home = fixture();
    for way in WAYS {
        let options = json!({ "timeout": 1, "grace": 0, "isolation": way });
        let job = home.run("Act", &act(&json!({ "run": 60_000 }), &options));
        assert_eq!(*cause(&job), Cause::TimedOut, "{job:#?}");
    }
}

/// Each attempt has the whole of it.
#[test]
fn timeout_is_that_of_one_attempt() {
    let home = fixture();
    let options = json!({
        "timeout": 300,
        "grace": 0,
        "retries": 2,
        "backoff": { "kind": "constant", "delay": 0 },
    });
    let job = home.run("Act", &act(&json!({ "run": 60_000 }), &options));
    assert_eq!(job.attempts.len(), 3, "{job:#?}");
    for attempt in &job.attempts {
        assert_eq!(attempt.outcome.cause, Cause::TimedOut);
        assert!(
            attempt.run_time >= Duration::from_millis(300),
            "{attempt:#?}"
        );
    }
    assert_eq!(
        (job.failures, job.lost),
        (2, 0),
        "the last one is not retried"
    );
}

/// Without any grace the one that ignores TERM is gone all the same.
#[test]
fn grace_of_zero_kills_at_once() {
    let home = fixture();
    for way in WAYS {
        let options = json!({ "timeout": 1_000, "grace": 0, "isolation": way });
        let payload = json!({ "name": way, "then": "stay", "options": options });
        let job = home.run("Tree", &payload);
        assert_eq!(*cause(&job), Cause::TimedOut, "{job:#?}");
        home.no_tags_left();
    }
}

/// It waits, is shown, keeps nobody from working, and can be cancelled; then the supervisor leaves.
#[test]
fn delay_of_ages() {
    let home = fixture();
    let ids: Vec<_> = AGES_MS
        .into_iter()
        .map(|age| home.submit("Act", &act(&json!("succeed"), &json!({ "delay": age }))))
        .collect();
    let now = home.run("Act", &json!({ "deed": "succeed" }));
    assert_eq!(now.state, JobState::Succeeded);
    for id in &ids {
        assert_eq!(home.stands(id), (JobState::Queued, 0));
        let text = prints(&home, ["show", id]);
        assert!(text.contains("queued, to start in "), "{text}");
        assert!(shown(&home, id)["run_at"].is_string());
    }
    prints(&home, ["jobs"]);
    prints(&home, ["jobs", "--json"]);
    prints(&home, ["cancel", &ids[0], &ids[1], &ids[2]]);
    for id in &ids {
        assert_eq!(home.stands(id), (JobState::Cancelled, 0));
    }
    eventually("nobody is left", PATIENCE, || {
        home.of_kind(Kind::Supervisor).is_empty()
    });
}

#[test]
fn delay_is_waited_for_and_not_longer_than_told() {
    let home = fixture();
    let job = home.run("Act", &act(&json!("succeed"), &json!({ "delay": 700 })));
    let waited = job.started_at.expect("it ran") - job.submitted_at;
    assert!(waited >= 700, "{job:#?}");
    let job = home.run("Act", &act(&json!("succeed"), &json!({ "delay": 0 })));
    assert_eq!(job.options.delay, None, "{job:#?}");
}

/// What it asks for is beyond any calendar; it waits, and can be cancelled.
#[test]
fn snooze_and_retry_in_ages() {
    let home = fixture();
    for seconds in [1_000_000_000_000, u64::MAX] {
        for (deed, failures) in [("snooze_for", 0), ("retry_in", 1)] {
            let options = json!({ "retries": 1 });
            let id = home.submit("Act", &act(&json!({ deed: seconds }), &options));
            eventually("it waits again", PATIENCE, || {
                home.stands(&id) == (JobState::Queued, 1)
            });
            let job = home.job(&id);
            assert_eq!(job.failures, failures, "{job:#?}");
            let text = prints(&home, ["show", &id]);
            assert!(text.contains("queued, to start in "), "{text}");
            prints(&home, ["cancel", &id]);
            assert_eq!(home.stands(&id).0, JobState::Cancelled);
        }
    }
}

/// Time that nobody could serve it counts; what runs in time is not touched by it.
#[test]
fn expires_behind_a_busy_one_and_not_while_it_runs() {
    let home = fixture();
    let running = json!({
        "name": "running",
        "gate": "gate",
        "options": { "expires": 3_000 },
    });
    let running = home.submit("Exclusive", &running);
    home.wait_running(&running);
    let doomed = json!({ "name": "doomed", "options": { "expires": 200, "delay": 200 } });
    let doomed = home.run("Exclusive", &doomed);
    assert_eq!(*cause(&doomed), Cause::Expired, "{doomed:#?}");
    let waited = doomed.ended_at.expect("it ended") - doomed.submitted_at;
    assert!(waited >= 400, "its delay is no waiting: {doomed:#?}");
    // Longer than its own expiry would have let it wait.
    let marker = json!({ "name": "marker", "options": { "delay": 3_000, "expires": 1 } });
    home.run("Exclusive", &marker);
    home.open_gate("gate");
    assert_eq!(home.wait(&running).state, JobState::Succeeded);
    assert_eq!(home.read("order"), "start running\nend running\n");
}

#[test]
fn retries_from_none_to_all() {
    let home = fixture();
    let none = json!({ "kind": "constant", "delay": 0 });
    let fail = json!({ "fail": ["no"] });
    for retries in [0, 1, 3] {
        let options = json!({ "retries": retries, "backoff": none });
        let job = home.run("Act", &act(&fail, &options));
        assert_eq!(job.attempt, retries + 1, "{job:#?}");
        assert_eq!(job.failures, retries, "{job:#?}");
    }
    let options = json!({ "retries": u32::MAX, "backoff": none });
    let job = home.run("Act", &act(&json!({ "retry_until": 4 }), &options));
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    assert_eq!((job.attempt, job.failures), (4, 3), "{job:#?}");
    // Snoozes between failures use none of them.
    let options = json!({ "retries": 0, "backoff": none });
    let job = home.run("Act", &act(&json!({ "snooze_until": 4 }), &options));
    assert_eq!((job.attempt, job.failures), (4, 0), "{job:#?}");
}

/// Half of the back-off is certain; the rest is drawn, and differs from one wait to the next.
#[test]
fn backoff_waits_at_least_half_and_is_spread() {
    let home = fixture();
    let backoffs = [
        (json!({ "kind": "constant", "delay": 400 }), [200, 200, 200]),
        (
            json!({ "kind": "linear", "step": 200, "max": 300 }),
            [100, 150, 150],
        ),
        (
            json!({ "kind": "exponential", "base": 200, "max": 700 }),
            [100, 200, 350],
        ),
    ];
    let ids = backoffs.clone().map(|(backoff, _)| {
        let options = json!({ "retries": 3, "backoff": backoff });
        home.submit("Act", &act(&json!({ "fail": ["no"] }), &options))
    });
    let mut waits = Vec::new();
    for (id, (_, least)) in ids.iter().zip(backoffs) {
        let job = home.wait(id);
        for (pair, least) in job.attempts.windows(2).zip(least) {
            let wait = pair[1].started_at.expect("it ran") - pair[0].ended_at;
            assert!(wait >= least, "{wait} ms of at least {least}: {job:#?}");
            waits.push(wait);
        }
    }
    assert_eq!(waits.len(), 9);
}

/// The longest back-off there can be is a wait like any other.
#[test]
fn backoff_of_ages() {
    let home = fixture();
    let longest = u64::MAX;
    for backoff in [
        json!({ "kind": "constant", "delay": longest }),
        json!({ "kind": "linear", "step": longest, "max": longest }),
        json!({ "kind": "exponential", "base": longest, "max": longest }),
    ] {
        let options = json!({ "retries": 1, "backoff": backoff });
        let id = home.submit("Act", &act(&json!({ "fail": ["no"] }), &options));
        eventually("it waits again", PATIENCE, || {
            home.stands(&id) == (JobState::Queued, 1)
        });
        prints(&home, ["show", &id]);
        prints(&home, ["cancel", &id]);
    }
}

/// A lost supervisor and an acknowledged cancellation: the promise counts, whatever `on_lost` says.
#[test]
fn on_lost_after_an_acknowledged_cancellation() {
    for on_lost in ["rerun", "fail"] {
        let home = fixture();
        let options = json!({ "on_lost": on_lost, "grace": 60_000 });
        let payload = json!({ "name": on_lost, "then": "stay", "options": options });
        let id = home.submit("Tree", &payload);
        home.wait_for(&format!("{on_lost}.leader.pid"));
        prints(&home, ["cancel", &id]);
        end_everybody(&home);
        home.run("Act", &json!({ "deed": "succeed" }));
        let job = home.wait(&id);
        assert_eq!(job.state, JobState::Cancelled, "{on_lost}: {job:#?}");
        assert_eq!(job.attempt, 1);
    }
}

fn end_everybody(home: &Home) {
    home.kill_all(&[Kind::Supervisor, Kind::Keeper, Kind::Worker]);
    eventually("all are dead", PATIENCE, || {
        home.of_kind(Kind::Supervisor).is_empty()
    });
}
