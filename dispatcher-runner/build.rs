//! Finds out which commit is built, for `--version`.
//!
//! A packaged crate carries it in `.cargo_vcs_info.json`; a checkout asks git; otherwise nobody
//! knows, and the build goes on.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = packaged().or_else(checked_out);
    let commit = commit.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=DISPATCHER_COMMIT={commit}");
}

fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let after = text.split_once("\"sha1\"")?.1;
    let sha1 = after.split('"').nth(1)?;
    Some(sha1.chars().take(12).collect())
}

fn checked_out() -> Option<String> {
    // The log of HEAD changes with every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
