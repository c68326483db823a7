//! Jobs in a library that `main` only names with `use … as _;` are found, however the program was
//! optimised; and what the crates bring along is what the design allows.
//!
//! The programs are built from a throw-away workspace below the target folder, which they share
//! with the tests, so that dependencies are compiled once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Size, said, workspace, write_source};

/// A way to build a program.
struct Build {
    name: &'static str,
    /// Folder of its programs below the target folder.
    folder: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const DEBUG: Build = Build {
    name: "debug",
    folder: "debug",
    arguments: &[],
    variables: &[],
};
const RELEASE: Build = Build {
    name: "release",
    folder: "release",
    arguments: &["--release"],
    variables: &[],
};
const LTO: Build = Build {
    name: "LTO",
    folder: "release",
    arguments: &["--release"],
    variables: &[("CARGO_PROFILE_RELEASE_LTO", "fat")],
};
const ONE_UNIT: Build = Build {
    name: "codegen-units = 1",
    folder: "release",
    arguments: &["--release"],
    variables: &[("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")],
};
/// The linker sees most and keeps least.
const STRICTEST: Build = Build {
    name: "LTO with codegen-units = 1",
    folder: "release",
    arguments: &["--release"],
    variables: &[
        ("CARGO_PROFILE_RELEASE_LTO", "fat"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ],
};

#[test]
fn linked_library_in_a_debug_build() {
    runs_a_job(&DEBUG);
    // Without `use far_jobs as _;` the linker leaves the library out, and that is said.
    let text = said(
        &program(&DEBUG, "far-unlinked")
            .output()
            .expect("it starts")
            .stdout,
    );
    assert!(text.contains("no dispatchers"), "{text}");
    assert!(text.contains("use my_jobs as _;"), "{text}");
}

#[test]
fn linked_library_in_optimised_builds() {
    match Size::get() {
        Size::Small => {
            eprintln!("builds: {}; all of them in .ci/long", STRICTEST.name);
            finds_the_dispatcher(&STRICTEST);
        }
        Size::Long => {
            for build in [RELEASE, LTO, ONE_UNIT, STRICTEST] {
                eprintln!("build: {}", build.name);
                finds_the_dispatcher(&build);
                runs_a_job(&build);
            }
        }
    }
}

/// Looks into the registry, which is all that the linker can break; needs the core only.
fn finds_the_dispatcher(build: &Build) {
    cargo_build(build, &["far-names"]);
    let output = program(build, "far-names").output().expect("it starts");
    assert_eq!(
        said(&output.stdout),
        "FarAway\n",
        "{}: {output:?}",
        build.name
    );
}

/// Runs the job for real, in a process of its own.
fn runs_a_job(build: &Build) {
    cargo_build(build, &["far-app", "far-unlinked"]);
    let image = target().join(build.folder).join("far-app");
    let home = Home::new(&image.to_string_lossy());
    let arguments = ["notifydispatcher", "FarAway", r#"{"name":"x"}"#, "--detach"];
    let output = home.output(arguments, b"");
    assert!(output.status.success(), "{}: {output:?}", build.name);
    let job = home.wait_at_most(said(&output.stdout).trim(), PATIENCE);
    assert_eq!(job.state, JobState::Succeeded, "{}: {job:?}", build.name);
    assert_eq!(job.output.as_deref(), Some("\"x\""));
}

fn program(build: &Build, name: &str) -> Command {
    Command::new(target().join(build.folder).join(name))
}

/// The target folder of the workspace.
fn target() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    own.parent()
        .expect("it lies in the target folder")
        .to_owned()
}

fn cargo() -> Command {
    Command::new(dispatcher_tests::cargo())
}

fn cargo_build(build: &Build, packages: &[&str]) {
    let mut cargo = cargo();
    cargo
        .current_dir(throw_away())
        .env("CARGO_TARGET_DIR", target())
        .envs(build.variables.iter().copied())
        .args(["build", "--offline"])
        .args(build.arguments);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = cargo.output().expect("cargo runs this test, too");
    let text = said(&output.stderr);
    assert!(output.status.success(), "{}:\n{text}", build.name);
}

const MANIFEST: &str = r#"[workspace]
resolver = "3"
members = ["app", "jobs", "names", "unlinked"]

# As in the workspace of Dispatcher, so that it is compiled once.
[profile.dev.package.libsqlite3-sys]
opt-level = 3
"#;

const JOBS: &str = r#"
use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
struct FarAway {
    name: String,
}

impl Process for FarAway {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.output(&self.name)?;
        Ok(())
    }
}
"#;

const APP: &str = "
use far_jobs as _;

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
";

const NAMES: &str = r#"
use far_jobs as _;

fn main() {
    for definition in dispatcher_core::Registry::collect().unwrap().iter() {
        println!("{}", definition.name);
    }
}
"#;

const UNLINKED: &str = r#"
fn main() {
    match dispatcher_core::Registry::collect() {
        Ok(registry) => println!("{} found", registry.len()),
        Err(error) => println!("{error}\n{}", error.advice()),
    }
}
"#;

/// Writes the workspace, unless it is there.
fn throw_away() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linked_library");
    let ours = workspace();
    write_source(&root.join("Cargo.toml"), MANIFEST);
    let read = |path: PathBuf| fs::read_to_string(path).expect("it is in the workspace");
    write_source(
        &root.join("rust-toolchain.toml"),
        &read(ours.join("rust-toolchain.toml")),
    );
    // Cargo adds these packages to the lock file, so it is copied only when the original is new.
    let (lock, seen) = (read(ours.join("Cargo.lock")), root.join("workspace.lock"));
    if fs::read_to_string(&seen).is_ok_and(|seen| seen != lock) || !seen.exists() {
        write_source(&root.join("Cargo.lock"), &lock);
        write_source(&seen, &lock);
    }
    for (name, file, code) in [
        ("jobs", "lib.rs", JOBS),
        ("app", "main.rs", APP),
        ("names", "main.rs", NAMES),
        ("unlinked", "main.rs", UNLINKED),
    ] {
        let mut manifest = format!(
            "[package]\nname = \"far-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\n\
             dispatcher-core = {{ path = \"{core}\" }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n",
            core = ours.join("dispatcher-core").display(),
        );
        if name != "jobs" {
            manifest += "far-jobs = { path = \"../jobs\" }\n";
        }
        if name == "app" {
            let runner = ours.join("dispatcher-runner");
            manifest += &format!(
                "dispatcher-runner = {{ path = \"{}\" }}\n",
                runner.display()
            );
        }
        let folder = root.join(name);
        write_source(&folder.join("Cargo.toml"), &manifest);
        write_source(&folder.join("src").join(file), code);
    }
    root
}

/// Crates that the core may bring into a program, at run time and with every feature.
const OF_THE_CORE: [&str; 23] = [
    "cfg-if",
    "crc32fast",
    "croner",
    "derive_builder",
    "dispatcher-core",
    "dyn-clone",
    "inventory",
    "itoa",
    "jiff",
    "jiff-core",
    "memchr",
    "portable-atomic",
    "portable-atomic-util",
    "ref-cast",
    "schemars",
    "serde",
    "serde_core",
    "serde_json",
    "siphasher",
    "strsim",
    "strum",
    "thiserror",
    "zmij",
];

/// What must be in nobody's tree but for the features that need it: words in names of crates.
const RUNTIMES: [&str; 9] = [
    "tokio",
    "async-std",
    "smol",
    "mio",
    "futures",
    "polling",
    "hyper",
    "axum",
    "actix",
];
const DATABASES: [&str; 7] = [
    "rusqlite", "sqlite", "postgres", "sqlx", "diesel", "redis", "sled",
];
const SYSTEMS: [&str; 8] = [
    "libc",
    "rustix",
    "nix",
    "linux-raw-sys",
    "windows",
    "signal-hook",
    "errno",
    "socket2",
];
const CHANCE: [&str; 5] = ["rand", "getrandom", "fastrand", "uuid", "ahash"];

#[test]
fn the_core_has_no_runtime_database_system_or_random_crate() {
    let found = tree(&[
        "--package",
        "dispatcher-core",
        "--all-features",
        "--target",
        "all",
    ]);
    assert!(found.contains("serde_json"), "this is no tree: {found:?}");
    for words in [&RUNTIMES[..], &DATABASES, &SYSTEMS, &CHANCE] {
        assert_eq!(forbidden(&found, words), [""; 0]);
    }
    let strangers: Vec<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|name| !OF_THE_CORE.contains(name))
        .collect();
    assert_eq!(
        strangers, [""; 0],
        "look at what they are, then add them to the list"
    );
}

#[test]
fn the_embedded_runner_has_no_runtime_or_random_crate() {
    let found = tree(&["--package", "dispatcher-runner"]);
    assert!(found.contains("rusqlite"), "this is no tree: {found:?}");
    assert_eq!(forbidden(&found, &RUNTIMES), [""; 0]);
    assert_eq!(forbidden(&found, &CHANCE), [""; 0]);
}

#[test]
fn a_forbidden_crate_is_found() {
    let names = ["serde", "tokio-util", "fastrand"].map(str::to_owned);
    let tree = BTreeSet::from(names);
    assert_eq!(forbidden(&tree, &RUNTIMES), ["tokio-util"]);
    assert_eq!(forbidden(&tree, &CHANCE), ["fastrand"]);
    let examples = tree_of_examples();
    assert!(
        !forbidden(&examples, &RUNTIMES).is_empty(),
        "examples have a runtime"
    );
}

#[test]
fn arrows_between_our_crates() {
    let ours = |arguments: &[&str]| {
        let mut found = tree(arguments);
        found.retain(|name| name.starts_with("dispatcher-"));
        Vec::from_iter(found)
    };
    let (core, macros, runner) = ("dispatcher-core", "dispatcher-macros", "dispatcher-runner");
    let everything = ["--all-features", "--edges", "normal,build"];
    for (package, expected) in [
        (macros, vec![macros]),
        (core, vec![core, macros]),
        (runner, vec![core, macros, runner]),
    ] {
        let arguments = [&["--package", package][..], &everything].concat();
        assert_eq!(ours(&arguments), expected, "of {package}");
    }
    let bare = ["--package", core, "--no-default-features"];
    assert_eq!(ours(&bare), [core]);
}

fn tree_of_examples() -> BTreeSet<String> {
    tree(&["--package", "dispatcher-examples"])
}

/// Names of the crates of a tree; those that run with the program, unless `--edges` says more.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut cargo = cargo();
    cargo.current_dir(workspace());
    cargo.args([
        "tree",
        "--offline",
        "--locked",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    if !arguments.contains(&"--edges") {
        cargo.args(["--edges", "normal,no-proc-macro"]);
    }
    let output = cargo
        .args(arguments)
        .output()
        .expect("cargo runs this test, too");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let text = said(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Those whose name has one of these words in it.
fn forbidden<'t>(tree: &'t BTreeSet<String>, words: &[&str]) -> Vec<&'t str> {
    let is_meant = |name: &&str| {
        let parts: Vec<&str> = name.split(['-', '_']).collect();
        words
            .iter()
            .any(|word| *name == *word || parts.contains(word) || name.starts_with(word))
    };
    tree.iter().map(String::as_str).filter(is_meant).collect()
}
