//! `dispatcher-runner bench` measures what it says, at any size, and leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dispatcher-runner");

/// As small as it can be, in a folder of its own.
fn bench(directory: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["bench", "--rows", "100", "--directory"])
        .arg(directory)
        .args(more)
        .current_dir(directory)
        .env_remove("DISPATCHER_CONFIG")
        .env_remove("DISPATCHER_DATABASE_URL")
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the program can be started")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_nothing_is_left(directory: &Path) {
    let left = std::fs::read_dir(directory).expect("it is there");
    assert_eq!(left.count(), 0, "the state is removed");
}

const FEW: [&str; 2] = ["--jobs", "15"];

#[test]
fn every_figure_is_printed_as_a_ratio() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = output(&mut bench(directory.path(), &FEW));
    let text = said(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for (what, beside) in [
        ("fork + _exit + wait, serial", "1.00 by definition"),
        ("exec of this binary + wait, serial", "1.00 by definition"),
        ("durable SQLite insert", "1.00 by definition"),
        ("first submission", "acknowledged"),
        ("idle -> running", "µs"),
        ("15 no-op jobs, forked", "x fork"),
        ("2 no-op jobs, exec'd", "x exec"),
        ("idle -> running, warm pool", "µs"),
        ("30 no-op jobs, warm pool of ", "x fork"),
        ("supervisor and keeper, PSS", "x 15 MB"),
        ("warm workers, PSS", "x 15 MB"),
        ("max_queue 0, 100 rows", "x a durable insert"),
        ("max_queue 1000000, 100 rows", "x a durable insert"),
    ] {
        let line = text.lines().find(|line| line.contains(what));
        let line = line.unwrap_or_else(|| panic!("no figure of {what} in:\n{text}"));
        assert!(line.contains(beside), "{line}");
    }
    let warned = said(&output.stderr).contains("this build is not optimised");
    assert_eq!(warned, cfg!(debug_assertions), "{output:?}");
    assert_nothing_is_left(directory.path());
}

#[test]
fn json_is_one_array_of_the_same_figures() {
    let directory = tempfile::tempdir().expect("a directory");
    // No application has a part in it, whatever is configured.
    let config = directory.path().join("dispatcher.toml");
    std::fs::write(&config, "version = 1\n[app]\nprogram = \"/nowhere\"\n").expect("a file");
    let output = output(&mut bench(
        directory.path(),
        &["--jobs=15", "--json", "--workers=1"],
    ));
    std::fs::remove_file(&config).expect("it is there");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    let figures = figures.as_array().expect("an array");
    assert_eq!(figures.len(), 13, "{figures:?}");
    let number = |what: &str, name: &str| {
        let figure = figures
            .iter()
            .find(|it| it["what"].as_str().is_some_and(|it| it.contains(what)));
        figure.and_then(|it| it[name].as_f64()).unwrap_or(0.0)
    };
    for (what, name) in [
        ("fork +", "median_us"),
        ("first submission", "ended_us"),
        ("idle", "p99_us"),
        ("jobs, forked", "per_second"),
        ("jobs, warm pool of 1", "per_second"),
        ("supervisor and keeper", "mib"),
        ("its 1 warm workers", "mib"),
        ("max_queue 0", "ratio"),
    ] {
        assert!(number(what, name) > 0.0, "{what} {name} in {figures:?}");
    }
    assert_nothing_is_left(directory.path());
}

#[cfg(feature = "http")]
#[test]
fn jobs_over_http_stand_beside_answers_without_storing() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = output(&mut bench(
        directory.path(),
        &["http", "--jobs=70", "--json"],
    ));
    assert!(output.status.success(), "{output:?}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    let figures = figures.as_array().expect("an array");
    assert_eq!(figures.len(), 7, "{figures:?}");
    for connections in [1, 8, 64] {
        for (how, names) in [
            ("202 without storing", &["per_second", "p99_us"][..]),
            ("202 for a stored job", &["per_second", "p99_us", "ratio"]),
        ] {
            let what = format!("HTTP, {connections} connections, {how}");
            let figure = figures.iter().find(|it| it["what"] == what.as_str());
            let figure = figure.unwrap_or_else(|| panic!("no {what} in {figures:?}"));
            for name in names {
                assert!(figure[name].as_f64() > Some(0.0), "{name} of {figure}");
            }
        }
    }
    assert_nothing_is_left(directory.path());
}

#[test]
fn a_reader_that_goes_away_ends_it_without_a_word() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = bench(directory.path(), &FEW);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("a heading");
    assert!(line.starts_with("what "), "{line}");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert!(!said(&output.stderr).contains("error"), "{output:?}");
    assert_nothing_is_left(directory.path());
}

#[test]
fn an_interruption_clears_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = bench(directory.path(), &["--jobs=1000000"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("idle") {
        line.clear();
        let count = reader.read_line(&mut line).expect("a figure");
        assert!(count > 0, "it ended too early");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
    let status = child.wait().expect("it ends");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2)
    );
    assert_nothing_is_left(directory.path());
}

#[test]
fn what_it_cannot_do_is_told_in_three_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    for (more, code, what) in [
        (
            vec!["--workers", "many"],
            64,
            "error: --workers is no number: many\n",
        ),
        (
            vec!["--workers", "0"],
            64,
            "error: --workers is no number: 0\n",
        ),
        (
            vec!["--row", "1"],
            64,
            "error: bench has no option --row\nbecause: did you mean --rows?\n",
        ),
        (
            vec!["https"],
            64,
            "error: bench cannot measure `https`\nbecause: it measures jobs or http\n",
        ),
        (
            vec!["--app", "./x"],
            78,
            "error: cannot run the application ./x\n",
        ),
    ] {
        let output = output(&mut bench(directory.path(), &more));
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.starts_with(what), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
    let nowhere = directory.path().join("nowhere");
    let output = output(bench(&nowhere, &[]).current_dir("/"));
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("error: the benchmark could not be finished\nbecause: "),
        "{text}"
    );
    assert_nothing_is_left(directory.path());
}

#[test]
fn its_own_dispatchers_are_nobody_elses_business() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(directory.path())
            .env("XDG_STATE_HOME", directory.path());
        let output = output(&mut command);
        said(&output.stdout) + &said(&output.stderr)
    };
    assert!(run(&["list"]).contains("there are no dispatchers: none is linked"));
    let help = run(&["bench", "--help"]);
    for option in ["--rows", "--jobs", "--workers", "--directory", "--json"] {
        assert!(help.contains(option), "{option} in\n{help}");
    }
    assert!(run(&["--help"]).contains("\n  bench "));
}
