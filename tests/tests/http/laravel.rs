//! The shapes of the Laravel package, as it sends them.

use dispatcher_tests::http::Letter;
use serde_json::{Value, json};

use crate::sent::end_of;
use crate::service;

fn notes(home: &dispatcher_tests::Home) -> Vec<String> {
    let mut notes: Vec<_> = home.read("notes").lines().map(str::to_owned).collect();
    notes.sort();
    notes
}

fn note(text: &str) -> Value {
    json!({
        "job": "App\\Jobs\\Note",
        "payload": { "file": "notes", "text": text },
        "signature": "$2y$10$abcdefghijklmnopqrstuv",
        "queue": null,
    })
}

const ALIASES: &str = "[aliases]\n\"App\\\\Jobs\\\\Note\" = \"Note\"\n";

#[test]
fn single_jobs() {
    let (home, _service, address) = service(ALIASES);
    for (path, text) in [("/dispatch", "a"), ("/dispatcher/dispatch", "b")] {
        let answer = Letter::signed(path, &note(text)).send(&address);
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(end_of(&address, &answer.id())["status"], "succeeded");
    }
    assert_eq!(notes(&home), ["a", "b"]);
    let empty = json!({ "job": "OnRequest", "payload": [], "signature": "x", "queue": "default" });
    let answer = Letter::signed("/dispatch", &empty).send(&address);
    assert_eq!(answer.status, 202, "{answer:?}");
    let unsigned = Letter::post("/dispatch", note("c").to_string().as_bytes());
    assert_eq!(
        unsigned.send(&address).status,
        401,
        "the signature in the body counts for nothing"
    );
}

#[test]
fn batches_of_every_shape() {
    let (home, _service, address) = service(ALIASES);
    let shapes = [
        json!([note("a"), note("b")]),
        json!({ "0": note("c"), "5": note("d") }),
        json!([note("e").to_string(), note("f").to_string()]),
    ];
    for (number, batch) in shapes.iter().enumerate() {
        let should_batch = number != 1;
        let id = format!("9d4e-{number}");
        let body = json!({
            "batch": batch, "batchId": id, "shouldBatch": should_batch, "batchSize": 2,
            "createdAt": "2026-01-01T00:00:00Z", "signature": "x",
        });
        let path = ["/dispatch/batch", "/dispatcher/dispatch/batch"][number % 2];
        let answer = Letter::signed(path, &body).send(&address);
        let told = answer.json();
        assert_eq!((answer.status, &told["id"]), (202, &json!(id)), "{told}");
        for job in told["jobs"].as_array().unwrap() {
            assert_eq!(
                end_of(&address, job["id"].as_str().unwrap())["status"],
                "succeeded"
            );
        }
        let known = Letter::get(&format!("/v1/batches/{id}")).send(&address);
        assert_eq!(known.status, if should_batch { 200 } else { 404 });
    }
    assert_eq!(notes(&home), ["a", "b", "c", "d", "e", "f"]);
}
