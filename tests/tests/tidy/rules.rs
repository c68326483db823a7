//! The rules in one table, each with samples that break it and samples that keep it.

use std::collections::BTreeSet;

use crate::source::{Finding, Source};
use crate::{code, edges, sql, texts};

/// What a rule may know besides the file it looks at.
pub(crate) struct Facts {
    /// Variants of our own enums.
    pub(crate) variants: BTreeSet<(String, String)>,
}

/// One rule.
pub(crate) struct Rule {
    /// What it asks for, as it is told to whoever breaks it.
    pub(crate) name: &'static str,
    pub(crate) check: Check,
    /// Path, text, and the lines on which it must find something.
    pub(crate) breaks: &'static [(&'static str, &'static str, &'static [usize])],
    /// Path and text of files in which it must find nothing.
    pub(crate) keeps: &'static [(&'static str, &'static str)],
}

/// How a rule looks.
pub(crate) enum Check {
    File(fn(&Source) -> Vec<Finding>),
    WithFacts(fn(&Source, &Facts) -> Vec<Finding>),
}

impl Rule {
    pub(crate) fn look(&self, source: &Source, facts: &Facts) -> Vec<Finding> {
        match self.check {
            Check::File(check) => check(source),
            Check::WithFacts(check) => check(source, facts),
        }
    }
}

const CORE: &str = "dispatcher-core/src/sample.rs";
const MACROS: &str = "dispatcher-macros/src/sample.rs";
const RUNNER: &str = "dispatcher-runner/src/client/sample.rs";
const STORE: &str = "dispatcher-runner/src/store/sample.rs";
const PROCESS: &str = "dispatcher-runner/src/process/sample.rs";
const DRIVER: &str = "dispatcher-runner/src/supervisor/driver.rs";
const TEST: &str = "tests/tests/sample.rs";
const CASE: &str = "dispatcher-core/tests/ui/pass/sample.rs";
const SQL: &str = "dispatcher-runner/src/store/sqlite/sql/sample.sql";
const MIGRATION: &str = "dispatcher-runner/src/store/sqlite/migrations/0009_sample.sql";

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a file opens with `//!` and its reason in a sentence (style 1)",
        check: Check::File(texts::opening),
        breaks: &[
            (CORE, "fn f() {}\n", &[1]),
            (CORE, "\n//! Late.\n", &[1]),
            (CORE, "//! no sentence\n\nfn f() {}\n", &[1]),
        ],
        keeps: &[
            (
                CORE,
                "//! One thing\n//! over two lines.\n//!\n//! | a table |\n",
            ),
            (CASE, "struct Users;\n"),
        ],
    },
    Rule {
        name: "a file has at most 600 lines (style 3)",
        check: Check::File(texts::short_files),
        breaks: &[(CORE, include_str!("samples/601_lines.txt"), &[601])],
        keeps: &[(CORE, "//! Short.\n")],
    },
    Rule {
        name: "a function has at most 70 lines (style 3)",
        check: Check::File(code::short_functions),
        breaks: &[(CORE, include_str!("samples/71_line_function.txt"), &[3])],
        keeps: &[(CORE, include_str!("samples/70_line_function.txt"))],
    },
    Rule {
        name: "the story of a file stands above its helpers (style 2)",
        check: Check::File(code::story_first),
        breaks: &[(CORE, "fn helper() {}\npub fn story() {}\n", &[1])],
        keeps: &[
            (CORE, "pub fn story() {}\nfn helper() {}\n"),
            (CORE, "fn only() {}\n"),
            (CORE, "fn main() {}\npub(crate) fn other() {}\n"),
        ],
    },
    Rule {
        name: "no boolean parameters (style 5)",
        check: Check::File(code::no_boolean_parameters),
        breaks: &[
            (CORE, "pub fn open(wait: bool) {}\n", &[1]),
            (
                CORE,
                "struct S;\nimpl S {\n    pub(crate) fn f(&self, yes: bool) {}\n}\n",
                &[3],
            ),
        ],
        keeps: &[
            (CORE, "pub fn open(wait: Wait) -> bool { true }\n"),
            (CORE, "fn private(yes: bool) {}\n"),
        ],
    },
    Rule {
        name: "a match on our own enum names every variant (style 6)",
        check: Check::WithFacts(|source, facts| code::exhaustive_matches(source, &facts.variants)),
        breaks: &[(
            CORE,
            "enum Own { A, B, C }\nfn f(own: Own) -> u8 {\n    match own {\n        Own::A | Own::B => 1,\n        _ => 2,\n    }\n}\n",
            &[5],
        )],
        keeps: &[
            (
                CORE,
                "enum Own { A, B }\nfn f(own: Own) { match own { Own::A => {} Own::B => {} } }\n",
            ),
            (
                CORE,
                "enum Own { A }\nfn f(text: &str) { match text { \"a\" => {} _ => {} } }\n",
            ),
        ],
    },
    Rule {
        name: "no `unwrap`, and no `expect` without its invariant, outside of tests (style 8)",
        check: Check::File(code::stated_invariants),
        breaks: &[
            (
                CORE,
                "fn f(a: Option<u8>) -> u8 {\n    a.unwrap()\n}\n",
                &[2],
            ),
            (
                CORE,
                "fn f(a: Option<u8>) -> u8 {\n    a.expect(\"there is one\")\n}\n",
                &[2],
            ),
        ],
        keeps: &[
            (
                CORE,
                "fn f(a: Option<u8>) -> u8 { a.expect(\"invariant: one was pushed above\") }\n",
            ),
            (
                CORE,
                "#[cfg(test)]\nmod tests {\n    fn f(a: Option<u8>) { a.unwrap(); }\n}\n",
            ),
            (TEST, "fn f(a: Option<u8>) { a.unwrap(); }\n"),
        ],
    },
    Rule {
        name: "texts of errors: lower case, no full stop, no source repeated (style 8)",
        check: Check::File(code::error_texts),
        breaks: &[
            (CORE, "#[error(\"The file is gone\")]\nstruct Gone;\n", &[1]),
            (
                CORE,
                "enum E {\n    #[error(\"it is gone.\")]\n    Gone,\n}\n",
                &[2],
            ),
            (
                CORE,
                "enum E {\n    #[error(\"gone: {source}\")]\n    Gone { source: Io },\n}\n",
                &[2],
            ),
            (
                CORE,
                "enum E {\n    #[error(\"gone: {0}\")]\n    Gone(#[from] Io),\n}\n",
                &[2],
            ),
        ],
        keeps: &[
            (
                CORE,
                "enum E {\n    #[error(\"{path} is gone\")]\n    Gone { path: P, source: Io },\n}\n",
            ),
            (CORE, "#[error(\"JSON is needed\")]\nstruct Json;\n"),
            (CORE, "#[error(transparent)]\nstruct Other(#[from] Io);\n"),
        ],
    },
    Rule {
        name: "`#[expect(…, reason = …)]`, never `#[allow]` (style 10)",
        check: Check::File(code::no_allow),
        breaks: &[
            (CORE, "#![allow(dead_code)]\n", &[1]),
            (
                TEST,
                "fn f() {\n    #[allow(unused)]\n    let a = 1;\n}\n",
                &[2],
            ),
            (CORE, "#[expect(dead_code)]\nfn f() {}\n", &[1]),
        ],
        keeps: &[
            (CORE, "#[expect(dead_code, reason = \"soon\")]\nfn f() {}\n"),
            (CASE, "#![allow(dead_code)]\n"),
        ],
    },
    Rule {
        name: "`unsafe` under `process/` only, each time with `// SAFETY:` (design 2)",
        check: Check::File(code::unsafe_in_its_place),
        breaks: &[
            (
                RUNNER,
                "fn f() {\n    // SAFETY: it is.\n    unsafe { g() };\n}\n",
                &[3],
            ),
            (PROCESS, "fn f() {\n\n    unsafe { g() };\n}\n", &[3]),
            (TEST, "fn f() {\n    unsafe { g() };\n}\n", &[2]),
        ],
        keeps: &[
            (
                PROCESS,
                "fn f() {\n    // SAFETY: it is.\n    unsafe { g() };\n}\n",
            ),
            (
                PROCESS,
                "fn f() {\n    // SAFETY: it\n    // is.\n    let a =\n        unsafe { g() };\n}\n",
            ),
        ],
    },
    Rule {
        name: "one SQL statement a file: header with its parameters, capitals, columns (style 12)",
        check: Check::File(sql::statements),
        breaks: &[
            (SQL, "SELECT a\nFROM b\n", &[1]),
            (SQL, "-- Why.\nselect a\nFROM b\n", &[2]),
            (SQL, "-- Why.\nSELECT *\nFROM b\n", &[2]),
            (SQL, "-- Why.\nSELECT a\nFROM b;\n", &[3]),
            (SQL, "-- Why.\nSELECT a\nFROM b\nWHERE c = :c\n", &[1]),
            (
                SQL,
                "-- :c :d. Why.\nSELECT a\nFROM b\nWHERE c = :c\n",
                &[1],
            ),
            (MIGRATION, "CREATE TABLE a (b INTEGER);\n", &[1]),
        ],
        keeps: &[
            (
                SQL,
                "-- :limit. Why, from whom.\nSELECT a\nFROM b\nWHERE c = 'from'\nLIMIT :limit\n",
            ),
            (
                MIGRATION,
                "-- First.\nCREATE TABLE a (b INTEGER);\nCREATE TABLE c (d INTEGER);\n",
            ),
        ],
    },
    Rule {
        name: "SQL stands in files (style 12)",
        check: Check::File(sql::no_statements_in_code),
        breaks: &[(STORE, "const A: &str = \"SELECT a FROM b\";\n", &[1])],
        keeps: &[
            (STORE, "const A: &str = \"Select a job\";\n"),
            (
                STORE,
                "#[cfg(test)]\nmod tests {\n    const A: &str = \"SELECT a FROM b\";\n}\n",
            ),
        ],
    },
    Rule {
        name: "no `sleep` in tests: wait for what is going to happen (style 13)",
        check: Check::File(code::no_sleep_in_tests),
        breaks: &[
            (TEST, "fn f() {\n    std::thread::sleep(TIME);\n}\n", &[2]),
            (
                CORE,
                "#[cfg(test)]\nmod tests {\n    use std::thread::sleep;\n    fn f() { sleep(TIME) }\n}\n",
                &[4],
            ),
            (
                "tests/src/bin/fixture/sample.rs",
                "fn f() { tokio::time::sleep(TIME) }\n",
                &[1],
            ),
        ],
        keeps: &[
            (RUNNER, "fn f() { std::thread::sleep(TIME) }\n"),
            (TEST, "fn f() { run(\"sleep 5\") }\n"),
        ],
    },
    Rule {
        name: "a macro never panics (style 14)",
        check: Check::File(code::macros_never_panic),
        breaks: &[
            (MACROS, "fn f() {\n    unreachable!()\n}\n", &[2]),
            (MACROS, "fn f(a: Option<u8>) {\n    a.unwrap();\n}\n", &[2]),
        ],
        keeps: &[
            (
                MACROS,
                "#[cfg(test)]\nmod tests {\n    fn f() { panic!() }\n}\n",
            ),
            (CORE, "fn f() { assert!(true, \"an invariant\") }\n"),
        ],
    },
    Rule {
        name: "the words of design 9",
        check: Check::File(texts::words),
        breaks: &[(CORE, concat!("//! The zy", "gote forks.\n"), &[1])],
        keeps: &[(CORE, "//! The keeper forks.\n")],
    },
    Rule {
        name: "nothing is marked to be done later",
        check: Check::File(texts::nothing_left_to_do),
        breaks: &[("README.md", concat!("Fine.\nTO", "DO: more.\n"), &[2])],
        keeps: &[("README.md", "Fine.\n")],
    },
    Rule {
        name: "no paths of the machine on which it was written",
        check: Check::File(texts::no_machine_paths),
        breaks: &[("scripts/test", concat!("cd /ro", "ot/project\n"), &[1])],
        keeps: &[("scripts/test", "cd \"$(dirname \"$0\")/..\"\n")],
    },
    Rule {
        name: "links between documents lead somewhere",
        check: Check::File(texts::links),
        breaks: &[(
            "docs/sample.md",
            "See [this](nowhere.md) and [that](../README.md).\n",
            &[1],
        )],
        keeps: &[(
            "docs/sample.md",
            "[a](../README.md#part) [b](https://example.org) [c](#here)\n",
        )],
    },
    Rule {
        name: "modules of the runner know what the table in `edges.rs` allows",
        check: Check::File(edges::inside_the_runner),
        breaks: &[
            (STORE, "use crate::process::Tag;\n", &[1]),
            (
                STORE,
                "fn f() {\n    super::super::process::f();\n}\n",
                &[2],
            ),
            (STORE, "use crate::{log, store};\n", &[1]),
            (STORE, "fn f(a: crate::client::Request) {}\n", &[1]),
            ("dispatcher-runner/src/newcomer.rs", "//! Hello.\n", &[1]),
            (
                "dispatcher-runner/src/http/mod.rs",
                "use crate::store::Store;\n",
                &[1],
            ),
        ],
        keeps: &[
            (RUNNER, "use crate::store::Store;\nuse super::handle;\n"),
            (STORE, "use super::Store;\nuse crate::store::pick;\n"),
            (
                STORE,
                "#[cfg(test)]\nmod tests {\n    use crate::process::Tag;\n}\n",
            ),
        ],
    },
    Rule {
        name: "only the driver touches the engine, only `process/` starts and signals processes",
        check: Check::File(edges::reserved),
        breaks: &[
            (RUNNER, "use dispatcher_core::engine::Engine;\n", &[1]),
            (RUNNER, "use std::process::{Command, Stdio};\n", &[1]),
            (
                RUNNER,
                "use std::process::Command as Run;\nfn f() { Run::new(\"a\"); }\n",
                &[1, 2],
            ),
            (
                RUNNER,
                "fn f() { std::process::Command::new(\"a\"); }\n",
                &[1],
            ),
            (STORE, "use rusqlite::Connection;\n", &[1]),
            (RUNNER, "fn f() { tokio::spawn(g()); }\n", &[1]),
        ],
        keeps: &[
            (DRIVER, "use dispatcher_core::engine::{Engine, Event};\n"),
            (PROCESS, "use std::process::Command;\n"),
            (RUNNER, "use std::process::ExitCode;\n"),
        ],
    },
    Rule {
        name: "core and macros know no clock, file, socket, environment, thread, chance (design 2)",
        check: Check::File(edges::purity),
        breaks: &[
            (CORE, "use std::collections::{BTreeMap, HashMap};\n", &[1]),
            (
                CORE,
                "use std::time::SystemTime;\nfn f() { SystemTime::now(); }\n",
                &[2],
            ),
            (CORE, "fn f() { std::env::var(\"A\"); }\n", &[1]),
            (CORE, "use std::fs;\n", &[1]),
            (MACROS, "use std::fs::File;\n", &[1]),
            (CORE, "fn f() { jiff::Timestamp::now(); }\n", &[1]),
            (
                CORE,
                "use jiff::tz::TimeZone;\nfn f() { TimeZone::system(); }\n",
                &[2],
            ),
        ],
        keeps: &[
            (
                CORE,
                "use std::time::{Duration, SystemTime};\nfn f(at: SystemTime) {}\n",
            ),
            (
                CORE,
                "#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}\n",
            ),
            (RUNNER, "use std::fs;\n"),
        ],
    },
];
