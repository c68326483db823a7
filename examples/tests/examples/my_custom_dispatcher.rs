//! The walk-through of the README, with the program that it shows.

use serde_json::json;

use crate::support::{Program, eventually, text};

const README: &str = include_str!("../../../README.md");
const SOURCE: &str = include_str!("../../src/bin/my_custom_dispatcher.rs");

#[test]
fn the_readme_shows_this_very_program() {
    let (_, program) = SOURCE
        .split_once("\n\n")
        .expect("a comment, then the program");
    assert!(README.contains(&format!("```rust,no_run\n{program}```\n")));
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let program = Program::new(env!("CARGO_BIN_EXE_my_custom_dispatcher"));
    let payload = r#"{"name": "world"}"#;
    let waited = program.run(&["notifydispatcher", "MyCustomDispatcher", payload]);
    assert!(waited.status.success(), "{waited:?}");
    assert_eq!(text(waited.stdout), "Hello, world!\n");

    let payload = r#"{"name": "moon"}"#;
    let id = program.says(&[
        "notifydispatcher",
        "--detach",
        "MyCustomDispatcher",
        payload,
    ]);
    let id = id.trim();
    eventually("the job in the background", || {
        let job = program.json(&["show", id, "--json"]);
        (job["state"] == "succeeded").then_some(())
    });
    assert_eq!(program.says(&["logs", &id[..8]]), "Hello, moon!\n");
    assert_eq!(
        program.says(&["output", "--latest", "MyCustomDispatcher"]),
        "4\n"
    );

    let jobs = program.json(&["jobs", "--json"]);
    let jobs = jobs.as_array().or_else(|| jobs["jobs"].as_array());
    assert_eq!(jobs.expect("a list").len(), 2);
    let shown = program.says(&["show", id]);
    assert!(
        shown.contains("succeeded") && shown.contains("moon"),
        "{shown}"
    );
    let listed = program.says(&["list", "MyCustomDispatcher"]);
    assert!(listed.contains("Greets somebody."), "{listed}");
    assert!(listed.contains("Who is greeted."), "{listed}");
}

#[test]
fn a_payload_that_does_not_fit_is_refused() {
    let program = Program::new(env!("CARGO_BIN_EXE_my_custom_dispatcher"));
    let payload = json!({ "nmae": "x" }).to_string();
    let refused = program.run(&["notifydispatcher", "MyCustomDispatcher", &payload]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(refused.stderr).contains("missing field `name`"));
}
