//! The simulator over a fixed set of seeds and a fresh one, replay, and what it reaches.

use std::process::{Command, Output};

use dispatcher_tests::Size;

/// Everything must have happened so often over a run.
const REACHED_MIN: u64 = 100;
/// Somebody must have come back so often after others had taken over.
const RETURNS_MIN: u64 = 20;
/// A supervisor must have died so often on each side of each kind of effect.
const DEATHS_MIN: u64 = 1;

fn fuzz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .args(arguments)
        .output()
        .expect("the simulator can be started")
}

fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn fixed_seeds_keep_every_invariant_and_reach_everything() {
    let iterations = Size::get().pick(150, 2_000).to_string();
    let text = said(&fuzz(&["--seed", "1", "--iterations", &iterations]));
    eprintln!("{text}");
    let lines = text.lines().filter_map(|line| line.trim().split_once("  "));
    let counts: Vec<(u64, &str)> = lines
        .filter_map(|(count, name)| Some((count.parse().ok()?, name)))
        .collect();
    assert!(counts.len() > 150, "{counts:?}");
    for (count, name) in counts {
        let least = match name {
            "effect Reopen" | "event Reopened" => RETURNS_MIN,
            _ if name.starts_with("death ") => DEATHS_MIN,
            _ => REACHED_MIN,
        };
        assert!(count >= least, "{name}: {count} times only");
    }
}

#[test]
fn a_fresh_seed_keeps_every_invariant() {
    let iterations = Size::get().pick(20, 500).to_string();
    // Drawn by the program, which prints it.
    eprintln!("{}", said(&fuzz(&["--iterations", &iterations, "--quiet"])));
}

#[test]
fn a_seed_is_replayed_to_the_same_trace() {
    let quick = said(&fuzz(&["--seed", "7", "--iterations", "1", "--quiet"]));
    let told = said(&fuzz(&["--seed", "7", "--reproduce"]));
    let hash = told.trim().rsplit(' ').next().expect("a last word");
    assert_eq!(hash.len(), 16, "{told}");
    assert!(quick.trim().ends_with(hash), "{quick} and {told}");
    let other = said(&fuzz(&["--seed", "8", "--iterations", "1", "--quiet"]));
    assert!(!other.trim().ends_with(hash), "another seed, another trace");
}

#[test]
fn bad_arguments_are_told() {
    let output = fuzz(&["--seeds", "1"]);
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("unknown option --seeds"), "{text}");
}
