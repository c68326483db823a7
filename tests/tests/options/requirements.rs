//! `required_commands` and `required_packages`, when a job is submitted and before it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::Home;
use serde_json::{Value, json};

use crate::{WAYS, fixture, refused};

fn look(options: &Value) -> Value {
    json!({ "options": options })
}

fn program(home: &Home, name: &str, script: &str) {
    let folder = home.file("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("it can be written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("it is ours");
}

/// With the programs of the test on `PATH`, before all others.
fn notify(home: &Home, options: &Value) -> std::process::Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", home.file("bin").display());
    home.command([
        "notifydispatcher",
        "Look",
        &look(options).to_string(),
        "--json",
    ])
    .env("PATH", path)
    .output()
    .expect("it starts")
}

fn ends(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
}

/// One text or a list, there or not: all that are missing are named at once.
#[test]
fn required_commands_are_all_named() {
    let home = fixture();
    let payload = look(&json!({ "required_commands": ["sh", "nowhere-1", "nowhere-2"] }));
    let output = home.output(["notifydispatcher", "Look", &payload.to_string()], b"");
    let text = refused(&output, 78);
    assert!(
        text.contains("command nowhere-1, command nowhere-2"),
        "{text}"
    );
    assert!(!text.contains("command sh"), "{text}");
    let library = home
        .try_submit("Look", &payload)
        .expect_err("it is refused");
    assert_eq!(library.code, 78);
    assert!(
        library
            .said
            .contains("command nowhere-1, command nowhere-2")
    );
    assert!(!home.database().exists() || home.ids().is_empty());
}

/// The job finds its programs, although its own environment has no `PATH`.
#[test]
fn required_commands_of_a_job_without_a_path() {
    let home = fixture();
    for way in WAYS {
        let options = json!({
            "env": { "only": ["HOME"] },
            "required_commands": ["sh", "/bin/sh"],
            "isolation": way,
        });
        let job = home.run("Look", &look(&options));
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }
}

/// What was there at the submission and is gone before the start ends the job for good.
#[test]
fn required_commands_that_vanish_before_the_start() {
    let home = fixture();
    program(&home, "here-and-gone", "");
    let path = home.file("bin").join("here-and-gone");
    for way in WAYS {
        program(&home, "here-and-gone", "");
        let gate = format!("{way}.gate");
        let running = json!({ "name": way, "gate": gate });
        let running = home.submit("Exclusive", &running);
        home.wait_running(&running);
        let options = json!({ "required_commands": [path], "isolation": way, "retries": 3 });
        let late = home.submit("Exclusive", &json!({ "name": "late", "options": options }));
        std::fs::remove_file(&path).expect("it was there");
        home.open_gate(&gate);
        let job = home.wait(&late);
        match &job.outcome.as_ref().expect("it ended").cause {
            Cause::MissingRequirement { names } => {
                assert_eq!(*names, [format!("command {}", path.display())]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(job.attempt, 1, "it is not tried again");
    }
}

/// The real database of this host, where it is dpkg's; `libc6` is on every such host.
#[test]
fn required_packages_of_this_host() {
    let home = fixture();
    let absent = look(&json!({ "required_packages": ["no-such-package-7f"] }));
    let output = home.output(["notifydispatcher", "Look", &absent.to_string()], b"");
    let text = refused(&output, 78);
    assert!(text.contains("package no-such-package-7f"), "{text}");
    if !Path::new("/var/lib/dpkg/status").is_file() {
        eprintln!("no dpkg here: only the refusal is tested for real");
        return;
    }
    for way in WAYS {
        let options = json!({ "required_packages": ["dpkg", "libc6"], "isolation": way });
        let job = home.run("Look", &look(&options));
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }
}

/// A stand-in for rpm on `PATH` is asked by submitter and worker alike, with these words.
#[test]
fn required_packages_of_rpm() {
    let home = fixture();
    let asked = home.file("asked");
    let script = format!(
        "echo \"$*\" >> '{}'\ntest \"$4\" = rpm-has-it",
        asked.display()
    );
    program(&home, "rpm", &script);
    for way in WAYS {
        let options = json!({ "required_packages": ["rpm-has-it"], "isolation": way });
        let output = notify(&home, &options);
        assert_eq!(ends(&output)["state"], "succeeded", "{output:#?}");
    }
    let asked = home.read("asked");
    assert_eq!(
        asked,
        "-q --quiet -- rpm-has-it\n".repeat(4),
        "twice for each job"
    );
    let output = notify(&home, &json!({ "required_packages": ["rpm-lacks-it"] }));
    assert_eq!(output.status.code(), Some(78), "{output:#?}");
    let text = dispatcher_tests::said(&output.stderr);
    assert!(text.contains("package rpm-lacks-it"), "{text}");
}
