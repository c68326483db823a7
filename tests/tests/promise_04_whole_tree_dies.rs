//! Promise 4: a job that ignores TERM and has grandchildren, one of them in a new session, leaves
//! nothing behind after timeout and grace.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job, PATIENCE, eventually, is_alive};
use serde_json::{Value, json};

const MEMBERS: [&str; 5] = ["leader", "child", "session", "orphan", "stranger"];

fn pids(home: &Home, name: &str) -> Vec<i32> {
    let member = |member| {
        let file = format!("{name}.{member}.pid");
        home.wait_for(&file);
        let pid = home.read(&file).trim().parse();
        pid.unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    MEMBERS.map(member).to_vec()
}

fn payload(then: &str, isolation: &str, timeout_ms: u64) -> Value {
    json!({
        "name": then,
        "then": then,
        "options": { "isolation": isolation, "timeout": timeout_ms, "grace": 300 },
    })
}

fn assert_gone(home: &Home, job: &Job, pids: &[i32]) {
    for (pid, member) in pids.iter().zip(MEMBERS) {
        assert!(!is_alive(*pid), "{member} ({pid}) lives on after {job:?}");
    }
    home.no_tags_left();
}

#[test]
fn whole_tree_dies() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for isolation in ["process", "exec"] {
        let id = home.submit("Tree", &payload("stay", isolation, 1_500));
        let job = home.wait(&id);
        let pids = pids(&home, "stay");
        let outcome = job.outcome.as_ref().expect("it ended");
        assert_eq!(outcome.cause, Cause::TimedOut, "{job:?}");
        assert_gone(&home, &job, &pids);
        for member in MEMBERS {
            let file = home.file(&format!("stay.{member}.pid"));
            std::fs::remove_file(file).expect("it was written");
        }
    }
}

#[test]
fn whole_tree_dies_with_a_crash() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let job = home.run("Tree", &payload("crash", "process", 60_000));
    let pids = pids(&home, "crash");
    let outcome = job.outcome.as_ref().expect("it ended");
    assert!(
        matches!(outcome.cause, Cause::Signalled { signal: 9, .. }),
        "{job:?}"
    );
    assert_gone(&home, &job, &pids);
}

#[test]
fn a_success_leaves_what_it_started_and_says_so() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let job = home.run("Tree", &payload("leave", "process", 60_000));
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let outcome = job.outcome.as_ref().expect("it ended");
    assert!(outcome.left_processes >= 3, "{job:?}");
    let pids = pids(&home, "leave");
    assert!(!is_alive(pids[0]), "the leader has ended");
    for (pid, member) in pids.iter().zip(MEMBERS).skip(1) {
        assert!(is_alive(*pid), "{member} ({pid}) was killed");
    }
    end(&pids);
}

#[test]
fn a_success_with_leftovers_killed_leaves_nothing() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let mut payload = payload("leave", "process", 60_000);
    payload["options"]["leftovers"] = json!("kill");
    let job = home.run("Tree", &payload);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_gone(&home, &job, &pids(&home, "leave"));
}

/// The one that dropped its environment is not found with the others at the end of the test.
fn end(pids: &[i32]) {
    for pid in pids {
        dispatcher_tests::kill(*pid);
    }
    eventually("they end", PATIENCE, || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}
