//! What is accepted: jobs, batches, cancellations, retries, and looks at them.

use dispatcher_tests::http::{Answer, Letter, now};
use dispatcher_tests::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::service;

/// The job as it stands once it has ended.
pub(crate) fn end_of(address: &str, id: &str) -> Value {
    eventually("the job ends", PATIENCE, || {
        let job = Letter::get(&format!("/v1/jobs/{id}")).send(address).json();
        let status = job["status"].as_str().unwrap_or_default();
        matches!(status, "succeeded" | "failed" | "cancelled").then_some(job)
    })
}

fn send(address: &str, body: &Value) -> Answer {
    Letter::signed("/v1/jobs", body).send(address)
}

#[test]
fn a_job_is_stored_run_and_told() {
    let (_home, _service, address) = service("");
    let body =
        json!({ "job": "Act", "payload": { "deed": { "output": [1, 2.50] } }, "priority": 3 });
    let answer = send(&address, &body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.id();
    let told = answer.json();
    assert_eq!(told["status"], "queued");
    assert_eq!(told["job"], "Act");
    assert_eq!(told["queue"], "default");
    assert_eq!(told["duplicate"], false);
    assert_eq!(told["status_url"], format!("/v1/jobs/{id}"));
    assert_eq!(answer.header("location"), told["status_url"].as_str());
    let job = end_of(&address, &id);
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["priority"], 3);
    assert_eq!(job["outcome"]["cause"], "succeeded");
    assert_eq!(job["attempts"][0]["attempt"], 1);
    assert!(job.get("payload").is_none(), "payloads are not told");
    let output = Letter::get(&format!("/v1/jobs/{id}/output")).send(&address);
    assert_eq!(output.json(), json!({ "id": id, "output": [1, 2.5] }));
    let log = Letter::get(&format!("/v1/jobs/{id}/log")).send(&address);
    assert_eq!(log.json()["attempt"], 1, "{log:?}");
}

#[test]
fn a_sender_may_wait_for_the_end() {
    let (_home, _service, address) = service("[sources.http.limits]\nmax_wait = \"1s\"\n");
    let body = json!({ "job": "Act", "payload": { "deed": { "output": 7 } }, "async": false });
    let answer = send(&address, &body);
    let job = answer.json();
    assert_eq!(
        (answer.status, &job["status"]),
        (200, &json!("succeeded")),
        "{job}"
    );
    assert_eq!(job["output"], 7);
    let body = json!({ "job": "Act", "payload": { "deed": { "fail": ["no"] } }, "async": false });
    let answer = send(&address, &body);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("failed"))
    );
    // What takes longer is told as it would have been without waiting.
    let body = json!({ "job": "Ten", "payload": { "gate": "never" }, "async": false });
    let answer = send(&address, &body);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("queued"))
    );
}

#[test]
fn options_come_with_a_job() {
    let (home, _service, address) = service("");
    let body = json!({
        "job": "Act", "payload": { "deed": "succeed" }, "delay": 3600, "timeout": "5m", "retries": 4,
        "unique_key": "one", "queue": null,
    });
    let first = send(&address, &body);
    assert_eq!(first.status, 202, "{first:?}");
    let options: Value = {
        let output = home.output(["show", &first.id(), "--json"], b"");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["origin"], "http, key default");
        shown["options"].clone()
    };
    assert_eq!(options["retries"], 4, "{options}");
    assert_eq!(options["unique_key"], "one");
    let again = send(&address, &body);
    assert_eq!(
        (again.status, &again.json()["duplicate"]),
        (202, &json!(true))
    );
    assert_eq!(again.id(), first.id());
}

#[test]
fn jobs_are_cancelled_and_retried() {
    let (_home, _service, address) = service("");
    let body = json!({ "job": "Act", "payload": { "deed": "succeed" }, "delay": "1h" });
    let id = send(&address, &body).id();
    let told = |action: &str, id: &str| {
        let body = json!({ "action": action, "id": id });
        Letter::signed(&format!("/v1/jobs/{id}/{action}"), &body).send(&address)
    };
    let early = told("retry", &id);
    assert_eq!(
        (early.status, &early.json()["code"]),
        (409, &json!("unfinished"))
    );
    let answer = told("cancel", &id);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("cancelled"))
    );
    assert_eq!(end_of(&address, &id)["status"], "cancelled");
    assert_eq!(
        told("cancel", &id).status,
        200,
        "it is cancelled, and was before"
    );
    let answer = told("retry", &id);
    let retried = answer.json();
    assert_eq!(
        (answer.status, &retried["retry_of"]),
        (202, &json!(id)),
        "{retried}"
    );
    let job = end_of(&address, &answer.id());
    assert_eq!(
        (&job["status"], &job["retry_of"]),
        (&json!("succeeded"), &json!(id))
    );
    assert_eq!(told("cancel", &answer.id()).status, 409, "it had ended");
    assert_eq!(told("cancel", "0000000000000000").status, 404);
}

#[test]
fn several_jobs_come_together() {
    let (home, _service, address) = service("");
    let note = |text: &str| json!({ "job": "Note", "payload": { "file": "notes", "text": text } });
    let body = json!({ "jobs": [note("a"), note("b")], "should_batch": false, "id": "mine" });
    let answer = Letter::signed("/v1/batches", &body).send(&address);
    let told = answer.json();
    assert_eq!(
        (answer.status, &told["id"]),
        (202, &json!("mine")),
        "{told}"
    );
    for job in told["jobs"].as_array().unwrap() {
        assert_eq!(
            end_of(&address, job["id"].as_str().unwrap())["status"],
            "succeeded"
        );
    }
    assert_eq!(home.sorted_lines("notes"), ["a", "b"]);
}

#[test]
fn a_batch_is_followed_to_its_end() {
    let (home, _service, address) = service("");
    let note = |text: &str| json!({ "job": "Note", "payload": { "file": "notes", "text": text } });
    let held = json!({ "job": "Ten", "payload": { "gate": "gate" } });
    let body = json!({
        "jobs": [note("a"), held, { "job": "Act", "payload": { "deed": { "fail": ["no"] } } }],
        "on_finished": { "job": "Note", "payload": { "file": "notes", "text": "all" } },
    });
    let answer = Letter::signed("/v1/batches", &body).send(&address);
    let told = answer.json();
    assert_eq!(answer.status, 202, "{told}");
    let id = answer.id();
    assert_eq!(told["status_url"], format!("/v1/batches/{id}"));
    let look = || {
        Letter::get(&format!("/v1/batches/{id}"))
            .send(&address)
            .json()
    };
    eventually("two have ended", PATIENCE, || look()["pending"] == 1);
    let batch = look();
    assert_eq!(
        [&batch["total"], &batch["processed"], &batch["failed"]],
        [3, 2, 1],
        "{batch}"
    );
    assert_eq!(batch["status"], "pending");
    let job = Letter::get(&format!("/v1/jobs/{}", batch["jobs"][0].as_str().unwrap()));
    assert_eq!(job.send(&address).json()["batch"], json!(id));
    let cancel = json!({ "action": "cancel", "id": id });
    let path = format!("/v1/batches/{id}/cancel");
    let wrong = Letter::signed(&path, &json!({ "action": "cancel", "id": "other" }));
    assert_eq!(wrong.send(&address).status, 422);
    let answer = Letter::signed(&path, &cancel).send(&address);
    assert_eq!(
        (answer.status, &answer.json()["id"]),
        (200, &json!(id)),
        "{answer:?}"
    );
    let batch = eventually("it is finished", PATIENCE, || {
        let batch = look();
        (batch["status"] == "finished").then_some(batch)
    });
    assert_eq!(
        (&batch["cancelled"], &batch["progress"]),
        (&json!(1), &json!(1.0)),
        "{batch}"
    );
    let last = batch["on_finished"].as_str().unwrap();
    assert_eq!(end_of(&address, last)["status"], "succeeded");
    assert_eq!(home.read("notes"), "a\nall\n");
    let again = json!({ "jobs": [note("b")], "id": id });
    let answer = Letter::signed("/v1/batches", &again).send(&address);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("batch-exists"))
    );
    assert_eq!(Letter::get("/v1/batches/x").send(&address).status, 404);
}

#[test]
fn what_a_job_writes_is_followed() {
    let (home, _service, address) = service("");
    let act = json!({ "job": "Act", "payload": { "deed": { "write": [100_000, 7] } } });
    let id = send(&address, &act).id();
    end_of(&address, &id);
    let path = format!("/v1/jobs/{id}/log?follow");
    let answer = Letter::get(&path).send(&address);
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream"),
        "{answer:?}"
    );
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        text.contains("event: stdout") && text.contains("event: stderr"),
        "{text:.300}"
    );
    assert!(
        text.contains("event: end") && text.contains("\"succeeded\""),
        "{text:.300}"
    );
    // One that runs is followed to its end.
    let held = json!({ "job": "Act", "payload": { "deed": { "wait_for": home.file("gate") } } });
    let id = send(&address, &held).id();
    let follow = Letter::get(&format!("/v1/jobs/{id}/log?follow"));
    let following = std::thread::spawn({
        let address = address.clone();
        move || follow.send(&address)
    });
    home.open_gate("gate");
    let answer = following.join().unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("event: end"), "{text}");
}

#[test]
fn probes_ask_without_a_password() {
    let (_home, _service, address) = service("");
    for path in ["/healthz", "/readyz"] {
        let answer = Letter::bare_get(path).send(&address);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let signed = Letter::signed_as("/v1/jobs", "x", now(), b"{}");
    assert_eq!(signed.send(&address).status, 422);
}
