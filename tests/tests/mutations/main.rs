//! The simulator is tested, too: deliberate mistakes in engine and stores must be found by it.
//!
//! All mistakes are built into one copy of the project, each behind a look at a variable of the
//! environment, and one program makes them one by one.

mod copy;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

/// Names the mistake that is made, by its number from 1 on.
const CHOICE: &str = "DISPATCHER_MUTANT";
/// What is built anew, and runs for long.
const OPTIMISED: [&str; 3] = ["dispatcher-core", "dispatcher-runner", "dispatcher-tests"];
/// Worlds without a mistake, to see that the copy works.
const UNCHANGED_SEEDS: u32 = 5;

#[derive(Debug, Deserialize)]
struct List {
    mutation: Vec<Mutation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    name: String,
    /// From the root of the project.
    file: PathBuf,
    /// What stands before `original`, where that alone occurs more than once.
    #[serde(default)]
    before: String,
    original: String,
    mutant: String,
    seeds: u32,
}

#[test]
fn mutations_are_found_by_the_simulator() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a project around it");
    let list = std::fs::read_to_string(root.join("tests/simulator/mutations.toml"));
    let list: List = toml::from_str(&list.expect("the list")).expect("a list of mutations");
    assert!(list.mutation.len() >= 40, "at least forty");
    let place = tempfile::tempdir().expect("a directory");
    let program = build(root, place.path(), &list.mutation);
    let clean = fuzz(&program, 0, UNCHANGED_SEEDS);
    assert!(clean.status.success(), "unchanged: {}", text(&clean));
    let mut survivors = Vec::new();
    for (number, mutation) in (1..).zip(&list.mutation) {
        let output = fuzz(&program, number, mutation.seeds);
        let text = text(&output);
        let found = text
            .lines()
            .find(|line| line.contains("broke an invariant"));
        match found {
            Some(found) => eprintln!("{}: {found}", mutation.name),
            None => survivors.push(format!("{}: {text}", mutation.name)),
        }
    }
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
}

/// Copies the project, makes every mistake possible, and builds the simulator.
fn build(root: &Path, place: &Path, mutations: &[Mutation]) -> PathBuf {
    let project = place.join("project");
    copy::project(root, &project);
    let core = project.join("dispatcher-core/src/lib.rs");
    append(&core, CHOOSE);
    for (number, mutation) in (1..).zip(mutations) {
        mutate(&project, number, mutation);
    }
    let target = place.join("target");
    copy::built_dependencies(Path::new(env!("CARGO_BIN_EXE_fuzz")), &target);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--locked"])
        .args(["-p", "dispatcher-tests", "--bin", "fuzz"])
        .args(OPTIMISED.map(|name| format!("--config=profile.dev.package.{name}.opt-level=1")))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&project)
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .expect("cargo can be started");
    assert!(built.status.success(), "{}", text(&built));
    target.join("debug/fuzz")
}

const CHOOSE: &str = "
/// The mistake to make.
pub fn mutant() -> u32 {
    static CHOICE: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOICE.get_or_init(|| {
        let choice = std::env::var(\"DISPATCHER_MUTANT\").unwrap_or_default();
        choice.parse().unwrap_or(0)
    })
}
";

fn mutate(project: &Path, number: u32, mutation: &Mutation) {
    let Mutation {
        name,
        file,
        before,
        original,
        mutant,
        ..
    } = mutation;
    let crate_name = if file.starts_with("dispatcher-core") {
        "crate"
    } else {
        "dispatcher_core"
    };
    let path = project.join(file);
    let code = std::fs::read_to_string(&path).expect("a file of the project");
    let (before, original) = (
        before.trim_start_matches('\n'),
        original.trim_start_matches('\n'),
    );
    let place = format!("{before}{original}");
    assert_eq!(
        code.matches(&place).count(),
        1,
        "{name}: {place} in {file:?}"
    );
    let choice =
        format!("if {crate_name}::mutant() == {number} {{ {mutant} }} else {{ {original} }}");
    // A statement stays one; an expression may stand anywhere.
    let choice = match original.ends_with(';') {
        true => choice,
        false => format!("({choice})"),
    };
    let mutated = code.replace(&place, &format!("{before}{choice}"));
    std::fs::write(&path, mutated).expect("a copy can be written");
}

fn append(path: &Path, text: &str) {
    let code = std::fs::read_to_string(path).expect("a file of the project");
    std::fs::write(path, code + text).expect("a copy can be written");
}

fn fuzz(program: &Path, mutant: u32, seeds: u32) -> Output {
    Command::new(program)
        .args(["--seed", "1", "--quiet", "--iterations", &seeds.to_string()])
        .env(CHOICE, mutant.to_string())
        .output()
        .expect("the simulator can be started")
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams
        .map(|stream| String::from_utf8_lossy(stream))
        .concat()
}
