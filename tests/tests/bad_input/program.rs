//! Programs that are replaced, deleted, or written wrongly.

use std::fs;
use std::path::{Path, PathBuf};

use dispatcher_core::JobState;
use dispatcher_tests::{Home, Kind, PATIENCE, eventually, said};
use serde_json::json;

use crate::{COMMANDS, Scene, complaint, gated, run, says};

/// A home whose program is a copy, so that it can be replaced.
fn home_of_a_copy(of: &str) -> (Home, PathBuf) {
    let home = Home::new(of);
    let program = home.file("program");
    fs::copy(of, &program).expect("the program can be copied");
    (home.with_program(&program), program)
}

/// Puts a new build where the program is, as an installer does.
fn replace(program: &Path, by: &str) {
    let new = program.with_extension("new");
    fs::copy(by, &new).expect("the program can be copied");
    fs::rename(new, program).expect("it can be moved");
}

#[test]
fn replaced_while_jobs_wait() {
    let (home, program) = home_of_a_copy(COMMANDS);
    let scene = Scene::of(&home);
    replace(&program, COMMANDS);
    // The new build takes over, the old one finishes what it runs.
    let new = gated(&home);
    eventually("the old one hands over", PATIENCE, || {
        home.log().contains("supervisor takes nothing new")
    });
    scene.nothing_is_lost();
    let first = home.job(&scene.jobs[0]);
    let last = home.wait(&new);
    assert_eq!(last.state, JobState::Succeeded, "{last:?}");
    assert_eq!(first.attempts.len(), 1, "it was not run again");
    assert_ne!(first.attempts[0].build, last.attempts[0].build);
}

#[test]
fn replaced_by_one_without_the_dispatcher() {
    let fixture = env!("CARGO_BIN_EXE_fixture");
    let (home, program) = home_of_a_copy(fixture);
    let payload = json!({ "name": "x", "gate": "gate" });
    let ids = home.submit_many("Exclusive", &payload, 3);
    home.wait_running(&ids[0]);
    home.end_service();
    replace(&program, COMMANDS);
    let status = said(&run(&home, &["status"]).stdout);
    says(
        &status,
        &[
            "of Exclusive wait for a program that has such a dispatcher",
            "`cancel`",
        ],
    );
    let payload = r#"{"domain":"x"}"#;
    let output = run(&home, &["notifydispatcher", "RenewCertificate", payload]);
    assert!(output.status.success(), "what it has runs: {output:?}");
    replace(&program, fixture);
    home.open_gate("gate");
    let last = home.submit("Exclusive", &json!({ "name": "y" }));
    for id in ids.iter().chain([&last]) {
        assert_eq!(home.wait(id).state, JobState::Succeeded);
    }
}

#[test]
fn deleted_while_jobs_wait() {
    let (home, program) = home_of_a_copy(COMMANDS);
    let scene = Scene::of(&home);
    fs::remove_file(&program).expect("it is there");
    // Even a new keeper is made of the image that runs.
    home.kill_all(&[Kind::Keeper]);
    scene.nothing_is_lost();
}

#[test]
fn deleted_and_everybody_killed() {
    let (home, program) = home_of_a_copy(COMMANDS);
    let scene = Scene::of(&home);
    fs::remove_file(&program).expect("it is there");
    scene.abandon();
    assert_eq!(home.ids(), scene.jobs);
    replace(&program, COMMANDS);
    let output = run(&home, &["resume", "Gated"]);
    assert!(output.status.success(), "{}", said(&output.stderr));
    scene.nothing_is_lost();
}

/// A killed supervisor is replaced by whoever waits: nobody else may ever come.
#[test]
fn everybody_killed_but_the_one_who_waits() {
    let home = Home::new(COMMANDS);
    let scene = Scene::of(&home);
    let payload = json!({ "gate": home.file("gate") }).to_string();
    let waiter = home.start(["notifydispatcher", "Gated", &payload]);
    eventually("the third job is stored", PATIENCE, || {
        home.ids().len() == 3
    });
    home.kill_all(&[Kind::Supervisor, Kind::Keeper, Kind::Worker]);
    scene.nothing_is_lost();
    let output = waiter.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_main_that_forgot_init() {
    let home = Home::new(env!("CARGO_BIN_EXE_forgot_init"));
    let output = run(&home, &[]);
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    says(
        &text,
        &[
            "error: dispatcher_runner::init() was not called",
            "\ntry: call",
        ],
    );
    assert_eq!(text.matches("main runs").count(), 1, "it was re-executed");
    assert!(!home.state().exists(), "nothing was made for it");
    assert!(home.processes().is_empty());
}

#[test]
fn threads_before_init() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let mut command = home.command_of(
        env!("CARGO_BIN_EXE_early_threads"),
        ["notifydispatcher", "Ping"],
    );
    let complaint = complaint(&command.output().expect("it starts"), 64);
    says(&complaint.what, &["after the start of other threads (1)"]);
    says(&complaint.todo, &["init()", "first line of main"]);
    assert_eq!(home.ids(), scene.jobs, "nothing was added");
    scene.nothing_is_lost();
}
