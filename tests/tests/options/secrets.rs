//! `#[dispatcher(secret)]`: its value is in the state file and in the job, and nowhere else.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, said};
use serde_json::{Value, json};

use crate::{fixture, prints};

const PIN: &str = "7391846205";
const NOTE: &str = "hunter2";

fn pin() -> u64 {
    PIN.parse().expect("a number")
}

fn keeps_quiet(what: &str, text: &str) {
    for secret in [PIN, NOTE] {
        assert!(!text.contains(secret), "{what} tells {secret}: {text}");
    }
}

/// Runs a command and checks both of its streams.
fn quietly(home: &Home, arguments: &[&str]) -> (i32, String) {
    let output = home.output(arguments.iter().copied(), b"");
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    let what = arguments[..1].join(" ");
    keeps_quiet(&what, &out);
    keeps_quiet(&what, &err);
    (output.status.code().expect("an exit"), out + &err)
}

#[test]
fn secret_values_are_shown_in_no_listing_and_no_log() {
    let home = fixture();
    let payload = json!({ "user": "ann", "pin": pin(), "note": NOTE, "gate": "gate" });
    let id = home.submit("Vault", &payload);
    home.wait_running(&id);
    let failing = json!({ "user": "failing", "pin": pin(), "note": NOTE });
    let failing = home.submit("Vault", &failing);
    // While one runs and one waits, and again when both have ended.
    for round in 0..2 {
        for id in [&id, &failing] {
            for words in [
                &["show", id][..],
                &["show", id, "--json"],
                &["logs", id],
                &["output", id],
            ] {
                quietly(&home, words);
            }
        }
        let (code, listed) = quietly(&home, &["jobs"]);
        assert_eq!(code, 0);
        assert!(listed.contains("\"pin\":\"***\""), "{listed}");
        for words in [
            &["jobs", "--json"][..],
            &["jobs", "--search", "user=ann", "--json"],
            &["list", "Vault"],
            &["list", "--json"],
            &["list", "--markdown"],
            &["status"],
            &["status", "--json"],
            &["doctor"],
        ] {
            quietly(&home, words);
        }
        if round == 0 {
            home.open_gate("gate");
            assert_eq!(home.wait(&id).state, JobState::Succeeded);
            assert_eq!(home.wait(&failing).state, JobState::Failed);
        }
    }
    let shown: Value = serde_json::from_str(&prints(&home, ["show", &id, "--json"])).expect("JSON");
    let masked = json!({ "user": "ann", "pin": "***", "note": "***", "gate": "gate" });
    assert_eq!(shown["payload"], masked, "{shown:#}");
    // A hash of a number with few digits can be tried out.
    keeps_quiet("identity", &shown["identity"].to_string());
    let (_, retried) = quietly(&home, &["retry", &id, "--json"]);
    assert!(retried.contains("retry_of"), "{retried}");
    let payload = payload.to_string();
    for words in [
        &["notifydispatcher", "Vault", &payload, "--json"][..],
        &["notifydispatcher", "Vault", &payload, "--detach", "--json"],
    ] {
        let (code, text) = quietly(&home, words);
        assert_eq!(code, 0, "{text}");
    }
    // Nor can it be found by trying values out.
    let found = prints(&home, ["jobs", "--search", &format!("pin={PIN}"), "--json"]);
    assert_eq!(found.trim(), "[]");
    keeps_quiet("the supervisors' log", &home.log());
    // The job itself was given what was sent.
    assert!(home.job(&id).payload.contains(NOTE));
}

/// Whoever writes what does not fit is told where, and not what.
#[test]
fn secret_values_are_quoted_in_no_refusal() {
    let home = fixture();
    for (payload, told) in [
        (
            json!({ "user": "ann", "pin": NOTE }),
            "invalid type: ***, expected u64 at line 1",
        ),
        (
            json!({ "user": "ann", "pin": -7_391_846_205_i64 }),
            "invalid value: ***, expected u64 at line 1",
        ),
        (
            json!({ "user": "ann", "pin": pin(), "note": [NOTE] }),
            "invalid type: ***, expected a string",
        ),
        (
            json!({ "user": [NOTE], "pin": pin() }),
            "invalid type: ***, expected a string",
        ),
        (json!({ "user": NOTE }), "missing field `pin`"),
        (json!([NOTE, PIN]), "invalid type: ***, expected u64"),
        (json!(NOTE), "invalid type: ***, expected struct Vault"),
    ] {
        let payload = payload.to_string();
        for words in [
            &["notifydispatcher", "Vault", &payload][..],
            &["notifydispatcher", "Vault", &payload, "--detach", "--json"],
        ] {
            let (code, text) = quietly(&home, words);
            assert_eq!(code, 64, "{text}");
            assert!(text.contains(told), "{text} is not {told}");
        }
    }
    let cut = format!("{{\"user\":\"ann\",\"pin\":{PIN},\"note\":\"{NOTE}");
    let (code, text) = quietly(&home, &["notifydispatcher", "Vault", &cut]);
    assert_eq!(code, 64, "{text}");
}

/// It was accepted, and its own type refuses it in the worker with words that quote it.
#[test]
fn secret_values_are_quoted_in_no_outcome() {
    let home = fixture();
    let running = home.submit(
        "Vault",
        &json!({ "user": "first", "pin": 1, "gate": "gate" }),
    );
    home.wait_running(&running);
    let stale = home.submit(
        "Vault",
        &json!({ "user": "ann", "pin": pin(), "note": NOTE }),
    );
    home.open_gate("refuse");
    home.open_gate("gate");
    home.wait(&running);
    let job = home.wait(&stale);
    let cause = &job.outcome.as_ref().expect("it ended").cause;
    match cause {
        Cause::Discarded { message } => {
            assert!(
                message.contains("a value is refused by its type: ***"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    for words in [
        &["show", &stale][..],
        &["show", &stale, "--json"],
        &["logs", &stale],
        &["jobs", "--json"],
        &["retry", &stale],
    ] {
        quietly(&home, words);
    }
    keeps_quiet("the supervisors' log", &home.log());
    for row in home.dump() {
        let outcome = row.starts_with("attempts") || row.starts_with("jobs");
        assert!(!outcome || !row.contains(NOTE), "{row}");
    }
}
