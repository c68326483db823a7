//! How many crates of others a program gets with one of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree of dependencies, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    /// The package, with its default features.
    pub name: &'static str,
    /// The ceiling.
    pub most: Crates,
}

/// Crates that are not ours, each version for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crates {
    /// Part of the program.
    pub at_run_time: usize,
    /// Part of the program or of its build: derives, build scripts.
    pub in_the_build: usize,
}

/// What a user's program may get. One more is a decision: raise it here and in `docs/budgets.md`.
pub const TREES: [Tree; 2] = [
    Tree {
        name: "dispatcher-core",
        most: Crates {
            at_run_time: 17,
            in_the_build: 33,
        },
    },
    Tree {
        name: "dispatcher-runner",
        most: Crates {
            at_run_time: 42,
            in_the_build: 63,
        },
    },
];

/// Counts the crates of a tree.
///
/// # Panics
/// When cargo cannot say.
#[must_use]
pub fn crates_of(tree: Tree) -> Crates {
    Crates {
        at_run_time: count(tree.name, "normal,no-proc-macro"),
        in_the_build: count(tree.name, "normal,build"),
    }
}

/// The folder of the workspace.
///
/// # Panics
/// Never: a package lies in one.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("a package lies in it").to_owned()
}

/// Writes a file of a package that is built from its copy, unless it is the same: what is unchanged
/// is not built again. Two tests may write it at once, so it is there whole or not at all.
///
/// # Panics
/// When it cannot be written.
pub fn write_source(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    let folder = path.parent().expect("it lies in a folder");
    fs::create_dir_all(folder).expect("the target folder can be written");
    let new = tempfile::NamedTempFile::new_in(folder).expect("the folder can be written");
    fs::write(new.path(), text).expect("the folder can be written");
    new.persist(path).expect("it can be moved");
}

/// The cargo that runs this, or the one on PATH.
#[must_use]
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

fn count(package: &str, edges: &str) -> usize {
    let output = Command::new(cargo())
        .current_dir(workspace())
        .args(["tree", "--offline", "--locked", "--prefix", "none"])
        .args(["--format", "{p}", "--package", package, "--edges", edges])
        .output()
        .expect("cargo is there");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let crates: BTreeSet<_> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty() && !line.starts_with("dispatcher-"))
        .collect();
    crates.len()
}
