//! The examples of `docs/message-formats.md` are run, with `psql` as their reader has it.

use std::process::Command;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Postgres, Serving, eventually, said};

use crate::python::until_heard;

const DOCUMENT: &str = include_str!("../../../docs/message-formats.md");

/// The commands of the chapter, in their order.
fn commands() -> Vec<&'static str> {
    let (_, chapter) = DOCUMENT
        .split_once("\n## Messages of dispatcherd\n")
        .expect("the chapter");
    let (chapter, _) = chapter.split_once("\n## ").expect("another one");
    chapter
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect()
}

#[test]
fn every_example_of_the_document_does_what_it_says() {
    let server = Postgres::of_process();
    let database = server.database();
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let config = format!(
        "[sources.pg_notify]\nconninfo = {:?}\nchannels = [\"tasks\"]\nnode_id = \"document\"\n\
         [aliases]\n\"app.note\" = \"Note\"\n",
        database.url()
    );
    let _service = Serving::configured(&home, &config);
    until_heard(&home);
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    let mut printed = String::new();
    for command in commands {
        let output = Command::new("bash")
            .args(["-c", command])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database.name())
            .output()
            .expect("bash starts");
        let err = said(&output.stderr);
        assert!(output.status.success(), "{command}: {err}");
        printed.push_str(&said(&output.stdout));
    }
    assert!(printed.contains(r#"{"node_id":"document"}"#), "{printed}");
    let mut lines = eventually("all notes are written", PATIENCE, || {
        let text = home.read("notes");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 5).then_some(lines)
    });
    lines.sort_unstable();
    assert_eq!(lines, ["fifth", "first", "fourth", "second", "third"]);
    let jobs = home.ids();
    assert_eq!(jobs.len(), 6);
    let ends = jobs.iter().map(|id| home.wait(id).state);
    let failed = ends.filter(|state| *state == JobState::Failed);
    assert_eq!(failed.count(), 1);
}
