//! The generic binary with nothing but a configuration file.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dispatcher-runner");

/// In a folder of its own, with nothing of the caller's environment.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env_clear();
    command.env("HOME", folder).env("XDG_STATE_HOME", folder);
    command
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("dispatcher.toml"), text).expect("it can be written");
    folder
}

#[test]
fn a_file_alone_makes_dispatchers() {
    let folder = folder(
        "version = 1\n[dispatchers.Dump]\ndescription = \"Dumps\"\ncommand = [\"true\"]\n\
         [dispatchers.Mail]\npool = \"php\"\n[pools.php]\ncommand = [\"php\", \"w.php\"]\n",
    );
    let output = run(folder.path(), &["config", "check"]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said(&output.stdout).ends_with("/dispatcher.toml\n"),
        "{output:?}"
    );
    assert_eq!(said(&output.stderr), "");
    let output = run(folder.path(), &["list"]);
    let text = said(&output.stdout);
    assert!(
        text.contains("\nDump ") && text.contains("\nMail "),
        "{output:?}"
    );
}

#[test]
fn what_only_an_application_knows_is_said_to_be_unchecked() {
    let folder = folder("version = 1\n[dispatchers.Backup]\nretries = 1\n");
    let output = run(folder.path(), &["config", "check"]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said(&output.stderr).contains("is for the application to say"),
        "{output:?}"
    );
    let output = run(folder.path(), &["config", "check", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&value["ok"], &value["dispatchers_checked"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn a_section_for_nobody_is_told_where_sections_make_dispatchers() {
    let folder = folder(
        "version = 1\n[dispatchers.Dump]\ncommand = [\"true\"]\n[dispatchers.Dumpp]\nretries = 1\n",
    );
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(
        said(&output.stderr).contains("line 4: [dispatchers.Dumpp] names no dispatcher"),
        "{output:?}"
    );
}

#[test]
fn without_a_file_everything_is_a_default() {
    let folder = tempfile::tempdir().expect("a directory");
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(
        said(&output.stdout),
        "ok: no file; every value is its default or of the environment\n"
    );
    let output = run(folder.path(), &["config", "show"]);
    let text = said(&output.stdout);
    assert!(
        text.lines().skip(1).all(|line| line.ends_with(" default")),
        "{text}"
    );
    let left = std::fs::read_dir(folder.path())
        .expect("it is there")
        .count();
    assert_eq!(left, 0, "nothing was made");
}
