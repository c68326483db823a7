//! Tasks that Python publishes become jobs: all of them, as they were meant.

use std::collections::BTreeSet;

use dispatcher_core::JobState;
use dispatcher_tests::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::python::Wire;

over_every_transport! {
    "";
    every_way_of_publishing_runs_the_job
    a_timeout_stops_and_a_delay_waits
    duplicates_are_treated_as_each_message_says
    long_messages_arrive_whole
    malformed_messages_disturb_nothing
    arguments_that_do_not_fit_are_a_failed_job
    what_was_taken_survives_the_service
}

fn until_lines(wire: &Wire, file: &str, count: usize) -> Vec<String> {
    eventually("the lines are written", PATIENCE, || {
        let text = wire.home.read(file);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

fn until_ids(wire: &Wire, count: usize) -> Vec<String> {
    eventually("the jobs are stored", PATIENCE, || {
        let ids = wire.home.ids();
        (ids.len() >= count).then_some(ids)
    })
}

fn every_way_of_publishing_runs_the_job(wire: &Wire) {
    let note = |how: &str, task: &str, text: &str| json!({"how": how, "task": task, "args": ["notes", text]});
    wire.publish(&[
        note("delay", "note", "delay"),
        note("apply_async", "note", "apply_async"),
        note("submit", "note", "submit"),
        note("submit", "unregistered", "unregistered"),
        json!({"how": "delay", "task": "note", "kwargs": {"file": "notes", "text": "kwargs ü😀"}}),
        json!({"how": "delay", "task": "note", "args": ["notes"], "kwargs": {"text": "both"}}),
        json!({"how": "raw", "text": r#"{"task": "Note", "args": ["notes", "raw"], "x": 1}"#}),
    ]);
    let mut lines = until_lines(wire, "notes", 7);
    lines.sort_unstable();
    let wanted = [
        "apply_async",
        "both",
        "delay",
        "kwargs ü😀",
        "raw",
        "submit",
        "unregistered",
    ];
    assert_eq!(lines, wanted);
    for id in wire.home.ids() {
        assert_eq!(wire.home.wait(&id).state, JobState::Succeeded);
    }
}

fn a_timeout_stops_and_a_delay_waits(wire: &Wire) {
    let act = json!({"how": "submit", "task": "Act", "args": ["burn"], "timeout": 0.3});
    wire.publish(&[act]);
    let job = wire.home.wait(&until_ids(wire, 1)[0]);
    assert_eq!(
        job.outcome.as_ref().map(|it| it.cause.name()),
        Some("timed_out"),
        "{job:?}"
    );
    let late = json!({
        "how": "submit", "task": "note", "args": ["notes", "late"], "delay": 1.5, "uuid": "later",
    });
    wire.publish(&[late]);
    let id = until_ids(wire, 2)[1].clone();
    let delayed = wire.ctl(&["running", "--uuid", "later"]);
    // It may have run meanwhile, on a slow machine.
    if let Some(message) = delayed.get("delayed-0") {
        assert_eq!(message["delay"], 1.5);
    }
    let job = wire.home.wait(&id);
    assert_eq!(job.state, JobState::Succeeded);
    assert!(job.attempts[0].started_at.expect("it started") >= job.submitted_at + 1500);
}

/// `exclusive` is held by its gate while duplicates of it come.
fn duplicates_are_treated_as_each_message_says(wire: &Wire) {
    for (policy, wanted) in [
        ("parallel", ["worker", "queued", "queued"].as_slice()),
        ("serial", &["worker", "blocked", "blocked"]),
        ("queue_one", &["worker", "blocked"]),
        ("discard", &["worker"]),
    ] {
        let wish = json!({
            "how": "submit", "task": "exclusive", "args": [policy, policy], "on_duplicate": policy,
        });
        wire.publish(&[wish.clone(), wish.clone(), wish]);
        let found = eventually("one runs", PATIENCE, || {
            let running = wire.control("running", &json!({"task": "jobs.exclusive"}));
            let keys = running.as_object()?.keys();
            let mut places: Vec<String> = keys
                .map(|key| key.split('-').next().unwrap_or_default().to_owned())
                .collect();
            places.sort_by_key(|place| place != "worker");
            (places.len() == wanted.len() && places[0] == "worker").then_some(places)
        });
        assert_eq!(found, wanted, "{policy}");
        wire.home.open_gate(policy);
        for id in wire.home.ids() {
            assert_eq!(wire.home.wait(&id).state, JobState::Succeeded);
        }
    }
    assert_eq!(wire.home.ids().len(), 3 + 3 + 2 + 1);
    // One that says nothing is found by one that looks.
    let raw = |more: &str| {
        let text = format!(r#"{{"task": "Exclusive", "args": ["x", "y"]{more}}}"#);
        json!({"how": "raw", "text": text})
    };
    wire.publish(&[raw(""), raw(r#", "on_duplicate": "discard""#), raw("")]);
    until_ids(wire, 11);
    wire.ctl(&["alive"]);
    assert_eq!(wire.home.ids().len(), 11);
    wire.home.open_gate("y");
}

fn long_messages_arrive_whole(wire: &Wire) {
    for (name, size) in [("nine", 9_000), ("mega", 1_000_000)] {
        let text: String = "0123456789ü\n".chars().cycle().take(size).collect();
        let raw = json!({"task": "Record", "args": [name, text]}).to_string();
        wire.publish(&[json!({"how": "raw", "text": raw})]);
        eventually("it arrives", PATIENCE, || wire.home.read(name) == text);
    }
    let chunks = wire.ctl(&["chunks"]);
    assert_eq!(chunks["status"]["successful_assemblies"], 2, "{chunks}");
    assert_eq!(chunks["status"]["active_messages"], 0, "{chunks}");
    assert_eq!(chunks["partials"], json!({}));
}

/// What nobody should send.
fn malformed() -> Vec<String> {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let many = [
        "not JSON at all",
        "{\"task\": ",
        "[1, 2, 3]",
        "null",
        "17",
        "\"text\"",
        "{}",
        r#"{"task": null}"#,
        r#"{"task": 17}"#,
        r#"{"task": "no.such.task"}"#,
        r#"{"task": "lambda: 1"}"#,
        "lambda: __import__('os').system('true')",
        r#"{"control": 17, "reply_to": "x"}"#,
        r#"{"control": "running", "reply_to": 17, "control_data": []}"#,
        r#"{"__dispatcherd_chunk__": "v9"}"#,
        r#"{"__dispatcherd_chunk__": "v1", "message_id": 1, "index": "a", "total": null}"#,
        r#"{"__dispatcherd_chunk__": "v1", "message_id": "m", "index": 5, "total": 2}"#,
        r#"{"task": "\ud800"}"#,
        "NaN",
    ];
    let mut texts: Vec<String> = many.iter().map(|it| (*it).to_owned()).collect();
    texts.push(deep);
    texts
}

fn malformed_messages_disturb_nothing(wire: &Wire) {
    let malformed = malformed();
    assert_eq!(malformed.len(), 20);
    let mut wishes = Vec::new();
    for (number, text) in malformed.iter().enumerate() {
        wishes.push(json!({"how": "raw", "text": text}));
        let note = format!("good {number}");
        wishes.push(json!({"how": "delay", "task": "note", "args": ["notes", note]}));
    }
    wire.publish(&wishes);
    let lines: BTreeSet<String> = until_lines(wire, "notes", 20).into_iter().collect();
    let wanted: BTreeSet<String> = (0..20).map(|number| format!("good {number}")).collect();
    assert_eq!(lines, wanted);
    assert_eq!(wire.ctl(&["alive"]), json!({}));
    assert_eq!(wire.home.ids().len(), 20);
    let log = wire.home.read("service.log");
    assert!(
        log.contains("no dispatcher is called `no.such.task`"),
        "{log}"
    );
    assert!(log.contains("nothing is ever evaluated"), "{log}");
}

fn arguments_that_do_not_fit_are_a_failed_job(wire: &Wire) {
    let raw = |text: &str| json!({"how": "raw", "text": text});
    wire.publish(&[
        raw(r#"{"task": "Note", "args": ["a", "b", "c"]}"#),
        raw(r#"{"task": "Note", "args": ["a"], "kwargs": {"txt": "b"}}"#),
        raw(r#"{"task": "Note", "args": ["a", NaN]}"#),
        raw(r#"{"task": "Note", "args": ["a", "half \ud83d"]}"#),
        raw(r#"{"task": "Note", "args": ["a", 123456789012345678901234567890]}"#),
        raw(r#"{"task": "Note", "args": ["a"]}"#),
        raw(r#"{"task": "Note", "args": ["a", "b"], "timeout": "soon"}"#),
    ]);
    let reasons = [
        "Note takes 2 arguments and was given 3",
        "Note has no field `txt`; it has `file`, `text`",
        "`NaN` in `args[1]` is no JSON",
        "`args[1]` has half of a surrogate pair",
        "invalid type",
        "missing field `text`",
        "`timeout` is no number of seconds",
    ];
    let ids = until_ids(wire, reasons.len());
    for (id, reason) in ids.iter().zip(reasons) {
        let job = wire.home.wait(id);
        assert_eq!(job.state, JobState::Failed);
        let shown = wire.home.output(["show", id, "--json"], b"");
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let message = shown["outcome"].to_string();
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

/// A reply says that what came before it is stored.
fn what_was_taken_survives_the_service(wire: &Wire) {
    let wishes = (0..20).map(|number| {
        json!({"how": "submit", "task": "exclusive", "args": [number.to_string(), "gate"],
            "on_duplicate": "parallel"})
    });
    let mut wishes: Vec<Value> = wishes.collect();
    wishes.push(json!({"how": "control", "command": "alive"}));
    let replies = wire.publish(&wishes);
    assert_eq!(replies.len(), 1, "{replies:?}");
    wire.kill();
    assert_eq!(wire.home.ids().len(), 20);
}
