//! The shapes of the Laravel package, as it sends them, and the recipe that signs for it.

use dispatcher_tests::http::{Letter, SECRET};
use dispatcher_tests::{Home, said, workspace};
use serde_json::{Value, json};

use crate::sent::end_of;
use crate::service;

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
    assert_eq!(home.sorted_lines("notes"), ["a", "b"]);
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
    assert_eq!(home.sorted_lines("notes"), ["a", "b", "c", "d", "e", "f"]);
}

/// The provider of the guide, in Laravel's own container and HTTP client.
fn laravel(home: &Home, address: &str, action: &str, given: &Value) -> Vec<Value> {
    let guide = std::fs::read_to_string(workspace().join("docs/guide/http.md")).unwrap();
    let (_, section) = guide.split_once("## From Laravel").expect("the section");
    let (_, from) = section.split_once("```php\n").expect("it has a provider");
    let (provider, _) = from.split_once("```").expect("it ends");
    std::fs::write(home.file("provider.php"), format!("<?php\n{provider}")).unwrap();
    let output = home
        .command_of("php", ["-d", "display_errors=stderr"])
        .arg(workspace().join("tests/fixtures/http/laravel.php"))
        .args(["provider.php", action, &given.to_string()])
        .env("DISPATCHER_BACKEND_URL", format!("http://{address}"))
        .env("DISPATCHER_BACKEND_SECRET", SECRET)
        .output()
        .unwrap();
    let told = said(&output.stdout);
    assert!(output.status.success(), "{told} {}", said(&output.stderr));
    serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told} {}", said(&output.stderr)))
}

#[test]
fn the_recipe_makes_laravel_a_sender() {
    let (home, _service, address) = service(ALIASES);
    let job = |text: &str, delay: Value| {
        json!({
            "job": "App\\Jobs\\Note",
            "name": "App\\Jobs\\Note",
            "payload": { "file": "notes", "text": text },
            "delay": delay,
        })
    };
    let end = |id: &Value| end_of(&address, id.as_str().expect("an id"))["status"].clone();
    let jobs = json!([
        job("a", json!(null)),
        job("b", json!("0")),
        job("c", json!("2026-01-01T00:00:00+00:00"))
    ]);
    for answer in laravel(&home, &address, "dispatch", &jobs) {
        assert_eq!(answer["status"], 202, "{answer}");
        assert_eq!(end(&answer["body"]["id"]), "succeeded");
    }
    for (action, status) in [("together", 200), ("apart", 404)] {
        let answer = &laravel(
            &home,
            &address,
            action,
            &json!([job("d", json!(0)), job("e", json!(null))]),
        )[0];
        assert_eq!(answer["status"], 202, "{answer}");
        for job in answer["body"]["jobs"].as_array().expect("its jobs") {
            assert_eq!(end(&job["id"]), "succeeded");
        }
        let id = answer["body"]["id"].as_str().expect("the id of the batch");
        let batch = Letter::get(&format!("/v1/batches/{id}")).send(&address);
        assert_eq!(batch.status, status, "{action}");
    }
    assert_eq!(
        home.sorted_lines("notes"),
        ["a", "b", "c", "d", "d", "e", "e"]
    );
    let unsigned = laravel(&home, &address, "unsigned", &jobs);
    assert!(
        unsigned.iter().all(|it| it["status"] == 401),
        "{unsigned:?}"
    );
}
