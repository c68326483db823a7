//! The template builds a service binary with the sources that were chosen, and it says so.
//!
//! Its folder is copied out of the workspace, as its user would do it, so that nothing but its own
//! manifest decides what is in it; cargo's target folder is that of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dispatcher_tests::{Home, cargo, said, workspace, write_source};

/// Builds a copy with these features, and what `--version` says of it.
fn version(features: &str) -> String {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    let ours = workspace();
    let manifest = fs::read_to_string(ours.join("template/Cargo.toml")).expect("it is there");
    // What a user is told to do: let the paths lead to the copy of Dispatcher.
    let paths = manifest.replace("\"../", &format!("\"{}/", ours.display()));
    // As in the workspace of Dispatcher, so that dependencies are compiled once.
    let members = fs::read_to_string(ours.join("Cargo.toml")).expect("it is there");
    let (_, profiles) = members.split_once("[profile.").expect("it has profiles");
    let manifest = format!("[workspace]\n{paths}\n[profile.{profiles}");
    write_source(&root.join("Cargo.toml"), &manifest);
    for file in ["template/src/main.rs", "Cargo.lock", "rust-toolchain.toml"] {
        let text = fs::read_to_string(ours.join(file)).expect("it is there");
        let file = file.strip_prefix("template/").unwrap_or(file);
        write_source(&root.join(file), &text);
    }
    let target = target();
    let built = Command::new(cargo())
        .current_dir(&root)
        .env("CARGO_TARGET_DIR", &target)
        .args([
            "build",
            "--offline",
            "--no-default-features",
            "--features",
            features,
        ])
        .output()
        .expect("cargo runs this test, too");
    assert!(built.status.success(), "{}", said(&built.stderr));
    let home = Home::new(&target.join("debug/dispatcher-template").to_string_lossy());
    let output = home.output(["--version"], b"");
    assert!(output.status.success(), "{output:?}");
    said(&output.stdout)
}

fn target() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    own.parent()
        .expect("it lies in the target folder")
        .to_owned()
}

/// One test, since both builds are the same file.
#[test]
fn the_template_has_the_sources_that_were_chosen() {
    for (features, sources) in [
        ("watcher", "sources: watcher 10"),
        ("ticker,watcher", "sources: ticker 10, watcher 10"),
    ] {
        let version = version(features);
        assert_eq!(version.lines().last(), Some(sources), "{version}");
    }
}
