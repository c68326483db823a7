//! Every option of `#[dispatcher(...)]` as a user sees it: at zero, at one, at its largest, wrong,
//! and in company. What a store decides stands in its conformance suite.

mod coverage;
mod layers;
mod limits;
mod queues;
mod requirements;
mod secrets;
mod surroundings;
mod times;

use std::process::Output;

use dispatcher_tests::{Home, said};
use serde_json::Value;

const WAYS: [&str; 2] = ["process", "exec"];

fn fixture() -> Home {
    Home::new(env!("CARGO_BIN_EXE_fixture"))
}

/// A command that succeeds; what it printed.
fn prints<const N: usize>(home: &Home, arguments: [&str; N]) -> String {
    let output = home.output(arguments, b"");
    assert!(output.status.success(), "{arguments:?}: {output:#?}");
    said(&output.stdout)
}

/// `show --json` of a job.
fn shown(home: &Home, id: &str) -> Value {
    let text = prints(home, ["show", id, "--json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// A command that is refused with this exit code; what it complained of.
fn refused(output: &Output, code: i32) -> String {
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(said(&output.stdout), "", "{text}");
    assert_eq!(text.lines().count(), 3, "what, why and what to do: {text}");
    text
}

fn configure(home: &Home, text: &str) -> String {
    let file = home.file("dispatcher.toml");
    std::fs::write(&file, format!("version = 1\n{text}\n")).expect("it can be written");
    file.to_str().expect("a text").to_owned()
}
