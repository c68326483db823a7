//! A message that comes again is answered again, and acted on once; also by another service.

use std::thread;

use dispatcher_tests::http::{Letter, fresh_id, now};
use dispatcher_tests::{Serving, kill};
use serde_json::{Value, json};

use crate::service;

fn note(text: &str) -> Vec<u8> {
    let body = json!({ "job": "Note", "payload": { "file": "notes", "text": text } });
    body.to_string().into_bytes()
}

fn jobs(home: &dispatcher_tests::Home) -> usize {
    let output = home.output(["jobs", "--json"], b"");
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    listed.as_array().unwrap().len()
}

#[test]
fn the_same_message_is_acted_on_once() {
    let (home, _service, address) = service("");
    let letter = Letter::signed_as("/v1/jobs", "m1", now(), &note("a"));
    let first = letter.send(&address);
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (202, None)
    );
    // A second signature of the same message, with a later time.
    let again = Letter::signed_as("/v1/jobs", "m1", now() + 1, &note("a")).send(&address);
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, Some("true"))
    );
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(jobs(&home), 1);
    let other = Letter::signed_as("/v1/jobs", "m1", now(), &note("b")).send(&address);
    assert_eq!(
        (other.status, &other.json()["code"]),
        (422, &json!("id-reused"))
    );
    let elsewhere = Letter::signed_as("/v1/batches", "m1", now(), &note("a")).send(&address);
    assert_eq!(elsewhere.status, 422, "{elsewhere:?}");
    assert_eq!(jobs(&home), 1);
}

#[test]
fn a_service_that_was_killed_still_knows() {
    let (home, service, address) = service("");
    let letter = Letter::signed_as("/v1/jobs", "m1", now(), &note("a"));
    let first = letter.send(&address);
    assert_eq!(first.status, 202, "{first:?}");
    kill(service.pid().cast_signed());
    drop(service);
    let service = Serving::http(&home, "");
    let address = service.http_address(&home);
    let again = letter.send(&address);
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, Some("true"))
    );
    assert_eq!(again.json(), first.json());
    assert_eq!(jobs(&home), 1);
}

#[test]
fn twins_at_the_same_time_are_one() {
    let (home, _service, address) = service("");
    let id = fresh_id();
    let letter = Letter::signed_as("/v1/jobs", &id, now(), &note("a"));
    let answers: Vec<_> = thread::scope(|scope| {
        let sent: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| letter.send(&address)))
            .collect();
        sent.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let first = answers[0].json();
    for answer in &answers {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json(), first);
    }
    let fresh = answers.iter();
    let fresh = fresh.filter(|it| it.header("idempotent-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert_eq!(jobs(&home), 1);
}

#[test]
fn a_refused_message_may_come_again() {
    let (home, _service, address) = service("");
    let held = |id: &str| {
        let body = json!({ "job": "Ten", "payload": { "gate": "gate" } }).to_string();
        Letter::signed_as("/v1/jobs", id, now(), body.as_bytes()).send(&address)
    };
    for number in 0..10 {
        let answer = held(&format!("m{number}"));
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let full = held("m10");
    assert_eq!(
        (full.status, &full.json()["code"]),
        (503, &json!("queue-full"))
    );
    let after: u64 = full.header("retry-after").unwrap().parse().unwrap();
    assert!(after >= 1);
    let first = held("m0").id();
    let body = json!({ "action": "cancel", "id": first });
    let cancelled = Letter::signed(&format!("/v1/jobs/{first}/cancel"), &body).send(&address);
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    crate::sent::end_of(&address, &first);
    let accepted = held("m10");
    assert_eq!(
        (accepted.status, accepted.header("idempotent-replayed")),
        (202, None)
    );
    assert_eq!(jobs(&home), 11);
}

#[test]
fn a_full_replay_store_forgets_nothing() {
    let (home, _service, address) = service("[sources.http.limits]\nreplay_count = 2\n");
    let send = |id: &str| Letter::signed_as("/v1/jobs", id, now(), &note(id)).send(&address);
    assert_eq!([send("m1").status, send("m2").status], [202, 202]);
    let full = send("m3");
    assert_eq!(
        (full.status, &full.json()["code"]),
        (503, &json!("replay-store-full"))
    );
    assert!(full.header("retry-after").is_some());
    assert_eq!(send("m1").header("idempotent-replayed"), Some("true"));
    assert_eq!(jobs(&home), 2);
}

#[test]
fn a_cancel_is_no_retry() {
    let (_home, _service, address) = service("");
    let body = json!({ "job": "Act", "payload": { "deed": "succeed" }, "delay": "1h" });
    let job = Letter::signed("/v1/jobs", &body).send(&address).id();
    let body = json!({ "action": "cancel", "id": job }).to_string();
    let path = |action: &str| format!("/v1/jobs/{job}/{action}");
    let cancel = Letter::signed_as(&path("cancel"), "c1", now(), body.as_bytes());
    let as_retry = Letter {
        path: path("retry"),
        ..cancel.clone()
    };
    let refused = as_retry.send(&address);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/action");
    assert_eq!(cancel.send(&address).status, 200);
    let refused = as_retry.send(&address);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (422, &json!("id-reused"))
    );
    let again = cancel.send(&address);
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, Some("true"))
    );
}
