//! Rules about the project as a whole: its manifests, its lock file, its documents.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{root, workspace};

const MEMBERS: [&str; 6] = [
    "dispatcher-core",
    "dispatcher-macros",
    "dispatcher-runner",
    "examples",
    "examples/watcher",
    "tests",
];

/// Style, rule 10.
const LINTS: [&str; 12] = [
    "unsafe_code",
    "missing_docs",
    "unreachable_pub",
    "unused_qualifications",
    "dbg_macro",
    "todo",
    "print_stdout",
    "str_to_string",
    "manual_let_else",
    "await_holding_lock",
    "disallowed_methods",
    "disallowed_types",
];

#[test]
fn every_crate_has_the_lints() {
    let workspace = read("Cargo.toml");
    assert_eq!(missing_lints(&workspace, "[workspace.lints."), [""; 0]);
    for member in MEMBERS {
        let manifest = read(&format!("{member}/Cargo.toml"));
        if manifest.contains("[lints]\nworkspace = true") {
            continue;
        }
        // Examples print: it is what they are for.
        let missing = missing_lints(&manifest, "[lints.");
        assert_eq!(
            missing,
            ["print_stdout"],
            "{member} has not the lints of the workspace"
        );
        assert!(member.starts_with("examples"), "{member}");
    }
}

#[test]
fn a_missing_lint_is_found() {
    let manifest = "[workspace.lints.rust]\nunsafe_code = \"deny\"\n[other]\ntodo = \"warn\"\n";
    let missing = missing_lints(manifest, "[workspace.lints.");
    assert_eq!(missing.len(), LINTS.len() - 1);
    assert!(missing.contains(&"todo") && !missing.contains(&"unsafe_code"));
}

fn missing_lints(manifest: &str, section: &str) -> Vec<&'static str> {
    let mut inside = false;
    let mut present = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with(section);
        }
        if let (true, Some((name, level))) = (inside, line.split_once(" = ")) {
            let is_on = matches!(level, "\"warn\"" | "\"deny\"" | "\"forbid\"");
            present.extend(is_on.then_some(name));
        }
    }
    let missing = LINTS.into_iter().filter(|lint| !present.contains(lint));
    missing.collect()
}

#[test]
fn dependencies_come_from_crates_io_alone() {
    let lock = read("Cargo.lock");
    let foreign = foreign_sources(&lock);
    assert_eq!(foreign, [""; 0], "a stranger could not build this");
}

#[test]
fn a_foreign_registry_is_found() {
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                source = \"sparse+https://registry.example/index/\"\n\
                source = \"git+https://example.org/a.git#1\"\n";
    assert_eq!(foreign_sources(lock).len(), 2);
}

fn foreign_sources(lock: &str) -> Vec<&str> {
    const OURS: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    sources.filter(|line| *line != OURS).collect()
}

#[test]
fn the_documents_of_a_project_are_there() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "rust-toolchain.toml",
        "docs/dependencies.md",
        "docs/guide/dispatcher.md",
        ".ci/run",
        ".ci/long",
        "scripts/test",
    ] {
        assert!(!read(name).trim().is_empty(), "{name} is empty");
    }
    let toolchain = read("rust-toolchain.toml");
    let pinned = toolchain.lines().any(|line| {
        line.strip_prefix("channel = \"")
            .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    });
    assert!(pinned, "the toolchain is not pinned:\n{toolchain}");
}

#[test]
fn each_promise_has_a_test_of_its_name() {
    let promises = workspace().into_iter().filter_map(|source| {
        let name = source.path.strip_prefix("tests/tests/promise_")?;
        let number = name.get(..2)?.parse::<u32>().ok()?;
        source.text.contains("#[test]").then_some(number)
    });
    let promises: BTreeSet<u32> = promises.collect();
    assert_eq!(promises, (1..=12).collect());
}

#[test]
fn decisions_are_numbered_and_short() {
    let decisions = workspace().into_iter().filter_map(|source| {
        let name = source.path.strip_prefix("docs/adr/")?.to_owned();
        Some((name, source.text))
    });
    let decisions: Vec<(String, String)> = decisions.collect();
    assert!(!decisions.is_empty());
    for (number, (name, text)) in (1..).zip(&decisions) {
        assert_eq!(decision_mistake(number, name, text), None);
    }
}

#[test]
fn a_decision_out_of_form_is_found() {
    let text = "# 3. A title\n\n**Problem.** …\n";
    assert_eq!(decision_mistake(3, "0003-a-title.md", text), None);
    for (number, name, text) in [
        (2, "0003-a-title.md", text),
        (3, "3-a-title.md", text),
        (3, "0003-a-title.md", "A title\n"),
        (3, "0003-a-title.md", &"# 3. A title\n".repeat(40)),
    ] {
        assert!(
            decision_mistake(number, name, text).is_some(),
            "{number} {name} {text}"
        );
    }
}

fn decision_mistake(number: u32, name: &str, text: &str) -> Option<String> {
    const LINES_MAX: usize = 30;
    let lines = text.lines().count();
    if !name.starts_with(&format!("{number:04}-")) || !name.ends_with(".md") {
        return Some(format!(
            "docs/adr/{name}: the next name begins with {number:04}-"
        ));
    }
    if !text.starts_with(&format!("# {number}. ")) {
        return Some(format!(
            "docs/adr/{name}:1: the title begins with `# {number}. `"
        ));
    }
    (lines > LINES_MAX).then(|| format!("docs/adr/{name}: {lines} lines; 10 to 20 say enough"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
