//! Time to think: cancelled before its start it never happens, and afterwards it is too late.

use std::path::{Path, PathBuf};

use crate::support::{Program, eventually, text};

fn folder(program: &Program, name: &str) -> PathBuf {
    let folder = program.folder().join(name);
    std::fs::create_dir_all(folder.join("deep/down")).expect("a folder");
    std::fs::write(folder.join("deep/file"), "text").expect("it can be written");
    folder
}

fn remove(program: &Program, folder: &Path, seconds: &str) -> String {
    let path = folder.to_str().expect("text");
    program.says(&["remove", path, seconds]).trim().to_owned()
}

#[test]
fn cancelled_in_time_it_never_happens() {
    let program = Program::new(env!("CARGO_BIN_EXE_delayed_removal"));
    let folder = folder(&program, "precious");
    let id = remove(&program, &folder, "3600");
    let shown = program.says(&["show", &id]);
    assert!(shown.contains("queued, to start in 59m"), "{shown}");
    // Another request changes nothing about the wait.
    let again = program.run(&["remove", folder.to_str().expect("text"), "1"]);
    assert_eq!(text(again.stdout).trim(), id);
    assert!(text(again.stderr).contains("on its way already"));
    let cancelled = program.says(&["cancel", &id]);
    assert_eq!(cancelled, format!("{id} cancelled\n"));
    let job = program.json(&["show", &id, "--json"]);
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"cancelled".into(), &0.into())
    );
    assert!(folder.join("deep/file").exists());
    // Cancelled is cancelled: the same can be asked for anew.
    assert_ne!(remove(&program, &folder, "3600"), id);
}

#[test]
fn not_cancelled_it_happens_and_then_it_is_too_late() {
    let program = Program::new(env!("CARGO_BIN_EXE_delayed_removal"));
    let (doomed, spared) = (folder(&program, "doomed"), folder(&program, "spared"));
    let id = remove(&program, &doomed, "1");
    let other = remove(&program, &spared, "3600");
    assert!(doomed.exists(), "not before its time");
    let job = eventually("its end", || {
        let job = program.json(&["show", &id, "--json"]);
        (job["state"] == "succeeded").then_some(job)
    });
    assert!(!doomed.exists() && !doomed.with_extension("going").exists());
    assert!(spared.join("deep/file").exists(), "one job, one folder");
    assert_eq!(job["attempt"], 1);
    let late = program.run(&["cancel", &id]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    assert!(text(late.stdout).contains("had ended before: succeeded"));
    program.says(&["cancel", &other]);
}

/// What is not there is no reason to try again, and a path that begins anew is no accident.
#[test]
fn a_folder_that_is_gone_fails_once() {
    let program = Program::new(env!("CARGO_BIN_EXE_delayed_removal"));
    let nowhere = program.folder().join("nowhere");
    let id = remove(&program, &nowhere, "0");
    let job = eventually("its end", || {
        let job = program.json(&["show", &id, "--json"]);
        (job["state"] == "failed").then_some(job)
    });
    assert_eq!(job["attempt"], 1, "{job:#}");
    assert_eq!(job["outcome"]["cause"], "discarded", "{job:#}");
}
