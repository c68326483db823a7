//! Every key of an answer stands in `docs/message-formats.md`, and the API's own description holds.

use std::collections::BTreeSet;

use dispatcher_tests::http::{Letter, TOKEN};
use dispatcher_tests::{said, workspace};
use serde_json::{Value, json};

use crate::sent::end_of;
use crate::service;

/// The keys of the table below a heading; those that may be left out apart.
fn documented(heading: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = std::fs::read_to_string(workspace().join("docs/message-formats.md")).unwrap();
    let (_, from) = text
        .split_once(&format!("\n### {heading}\n"))
        .expect(heading);
    let section = from.split("\n## ").next().unwrap();
    let section = section.split("\n### ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut keys = (BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let (key, rest) = row.split_once("` | ").expect("a row");
        let set = if rest.contains("left out") {
            &mut keys.1
        } else {
            &mut keys.0
        };
        set.insert(key.to_owned());
    }
    keys
}

fn compare(answer: &Value, heading: &str) {
    let (keys, optional) = documented(heading);
    let told: BTreeSet<String> = answer.as_object().unwrap().keys().cloned().collect();
    let told = told.difference(&optional).cloned().collect();
    assert_eq!(keys, told, "{heading}");
}

#[test]
fn every_key_is_documented() {
    let (_home, _service, address) = service("");
    let job = json!({ "job": "Act", "payload": { "deed": "succeed" } });
    let sent = Letter::signed("/v1/jobs", &job).send(&address);
    compare(&sent.json(), "What a sent job is answered with");
    compare(
        &end_of(&address, &sent.id()),
        "A job that is looked at, and the body of a callback",
    );
    let batch = Letter::signed("/v1/batches", &json!({ "jobs": [job] })).send(&address);
    let batch = Letter::get(&format!("/v1/batches/{}", batch.id())).send(&address);
    compare(&batch.json(), "A batch that is looked at");
    compare(
        &Letter::get("/v1/jobs/x").send(&address).json(),
        "A problem",
    );
    let misfit = Letter::signed("/v1/jobs", &json!({})).send(&address);
    compare(&misfit.json(), "A problem");
}

#[test]
fn the_description_names_jobs_and_queues() {
    let (_home, _service, address) = service("[service]\nqueues = [\"default\", \"mail\"]\n");
    let document = Letter::get("/openapi.json").send(&address).json();
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    for name in ["\"Act\"", "\"App\\\\Exclusive\"", "\"mail\""] {
        assert!(text.contains(name), "{name}");
    }
    // No reference leads nowhere.
    for part in text.split("\"$ref\":\"#/").skip(1) {
        let path = part.split('"').next().unwrap();
        assert!(document.pointer(&format!("/{path}")).is_some(), "{path}");
    }
}

/// `schemathesis` makes requests of the description and holds the answers to it; the official
/// library signs them.
#[test]
fn the_description_is_true() {
    let typed = "[sources.http.limits]\nmax_wait = \"20ms\"\n";
    let home = dispatcher_tests::Home::new(env!("CARGO_BIN_EXE_typed"));
    let service = dispatcher_tests::Serving::http(&home, typed);
    let address = service.http_address(&home);
    let config = workspace().join("tests/fixtures/http/schemathesis.toml");
    let hooks = workspace().join("tests/fixtures/http/hooks.py");
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_headers_conformance,response_schema_conformance,\
                  negative_data_rejection,positive_data_acceptance";
    let output = home
        .command_of(
            workspace().join("target/tools/python/bin/schemathesis"),
            [
                "--config-file",
                config.to_str().unwrap(),
                "run",
                &format!("http://{address}/openapi.json"),
                "--header",
                &format!("Authorization: Bearer {TOKEN}"),
                "--checks",
                checks,
                "--max-examples",
                "20",
                "--seed",
                "1",
                "--suppress-health-check",
                "all",
                "--no-color",
            ],
        )
        .env("SCHEMATHESIS_HOOKS", hooks)
        .env("DISPATCHER_BACKEND_SECRET", dispatcher_tests::http::SECRET)
        .output()
        .unwrap();
    let told = said(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", said(&output.stderr));
}
