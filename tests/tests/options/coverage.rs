//! Which tests each option has. An option without any, or a test that is gone, is found here.
//!
//! The options are read from the derive's table and from the shapes that jobs and dispatchers are
//! stored in, so that a new one cannot be forgotten; the tests are looked up in their files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dispatcher_core::{DispatcherOptions, Options, ScheduleOptions};
use serde::Serialize;

/// The one list of what `#[dispatcher(...)]` takes.
const TABLE: &str = include_str!("../../../dispatcher-macros/src/table.rs");

/// Each option at the margin, below it the files of its tests, below each of those the tests.
const TESTS: &str = include_str!("coverage.txt");

/// What is an option without a row in that table: of a call, of a field, of a configuration, of a
/// value.
const ELSEWHERE: [&str; 4] = ["unique_key", "secret", "[aliases]", "layers"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The first text of each `known(…)` of the derive's table.
fn of_the_derive() -> BTreeSet<String> {
    let (_, rows) = TABLE.split_once("const TABLE").expect("a table");
    let (rows, _) = rows.split_once("\n];").expect("its end");
    let names = rows.split("known(").skip(1).map(|row| {
        let mut parts = row.split('"');
        parts.nth(1).expect("a name").to_owned()
    });
    names.collect()
}

/// The fields of what is stored.
fn fields(value: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(value).expect("JSON");
    let fields = value.as_object().expect("an object");
    fields.keys().cloned().collect()
}

/// One test of an option.
#[derive(Debug)]
struct Named {
    option: &'static str,
    file: &'static str,
    test: &'static str,
}

fn named() -> Vec<Named> {
    let (mut option, mut file) = ("", "");
    let mut all = Vec::new();
    for line in TESTS.lines() {
        let text = line.trim_start();
        match line.len() - text.len() {
            0 => (option, file) = (text, ""),
            2 => file = text,
            4 => all.push(Named {
                option,
                file,
                test: text,
            }),
            other => panic!("{line:?} stands {other} in"),
        }
    }
    all
}

#[test]
fn every_option_has_tests() {
    let derive = of_the_derive();
    assert!(
        derive.len() >= 32 && derive.contains("timeout"),
        "{derive:?}"
    );
    let mut options = derive;
    options.extend(fields(&Options::default()));
    options.extend(fields(&DispatcherOptions::default()));
    options.extend(fields(&ScheduleOptions::default()));
    // A schedule's own word for its text.
    options.remove("expression");
    options.extend(ELSEWHERE.map(str::to_owned));
    let tested: BTreeSet<_> = named().iter().map(|it| it.option.to_owned()).collect();
    let untested: Vec<_> = options.difference(&tested).collect();
    assert!(untested.is_empty(), "options without tests: {untested:?}");
    let unknown: Vec<_> = tested.difference(&options).collect();
    assert!(unknown.is_empty(), "tests of no option: {unknown:?}");
}

#[test]
fn every_test_of_an_option_is_there() {
    let missing = |it: &Named| {
        let path = root().join(it.file);
        let text = std::fs::read_to_string(&path);
        !text.is_ok_and(|text| is_test(&text, it.test))
    };
    let mut all = named();
    all.retain(missing);
    assert!(all.is_empty(), "no such tests: {all:#?}");
}

/// Whether a file has this function, and it is run: marked as a test, listed for every store, or
/// the `main` of a program that must compile.
fn is_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let Some(at) = text.find(&function) else {
        return false;
    };
    let before = text[..at].rsplit(['}', ';']).next().unwrap_or_default();
    let marked = before.contains("#[test]");
    let listed = text
        .split_once("on_every_store! {")
        .and_then(|(_, rest)| rest.split_once('}'))
        .is_some_and(|(names, _)| names.lines().any(|line| line.trim() == format!("{name},")));
    marked || listed || name == "main"
}

#[test]
fn a_test_that_is_not_run_is_no_test() {
    let text = "#[test]\nfn a() {}\nfn b() {}\non_every_store! {\n    c,\n}\nfn c(x: &X) {}\n";
    assert!(is_test(text, "a") && is_test(text, "c"));
    assert!(!is_test(text, "b") && !is_test(text, "d"));
}
