//! Promise 11: a submitter may die the instant after its submission returned: the job ends. Inside
//! a control group that is killed whole, the process dies with it and the job is run again.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Child;

use dispatcher_core::JobState;
use dispatcher_tests::{
    ControlGroup, Home, Kind, PATIENCE, begin, eventually, hang_up, kill, kill_group, said,
};
use serde_json::{Value, json};

/// A submitter with its payload on standard input.
fn start(home: &Home, arguments: &[&str], payload: &Value) -> Child {
    let mut command = home.command(arguments);
    // As a terminal or a service manager would start it.
    command.process_group(0);
    begin(&mut command, payload.to_string().as_bytes())
}

fn give(child: &mut Child, payload: &Value) {
    let mut input = child.stdin.take().expect("a pipe");
    let json = payload.to_string();
    input.write_all(json.as_bytes()).expect("it reads");
}

fn id_from(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    said(&output.stdout).trim().to_owned()
}

/// The first of them starts the supervisor, the others find one.
#[test]
fn a_submitter_may_die_at_once() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "deed": { "run": 20 } });
    let ids: Vec<String> = (0..20)
        .map(|_| id_from(start(&home, &["submit-and-die", "Act"], &payload)))
        .collect();
    for id in &ids {
        let job = home.wait(id);
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
        assert_eq!(job.attempt, 1, "{job:#?}");
    }
}

#[test]
fn a_submitter_may_die_with_its_process_group() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "deed": { "wait_for": "gate" } });
    let mut child = start(&home, &["wait-for", "Act"], &payload);
    let id = home.stored(0);
    home.wait_running(&id);
    kill_group(child.id());
    child.wait().expect("it ends");
    home.open_gate("gate");
    let job = home.wait(&id);
    assert_eq!(
        (job.state, job.attempt),
        (JobState::Succeeded, 1),
        "{job:#?}"
    );
}

/// As a web server that restarts itself: the job ends its own submitter, then goes on.
#[test]
fn a_submitter_may_be_killed_by_its_job() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for isolation in ["process", "exec"] {
        let mut child = home.start(["wait-for", "Act"]);
        let options = json!({ "isolation": isolation });
        let payload = json!({ "deed": { "kill": child.id() }, "options": options });
        give(&mut child, &payload);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), None, "a signal ended it: {output:#?}");
    }
    for id in home.ids() {
        let job = home.wait(&id);
        assert_eq!(
            (job.state, job.attempt),
            (JobState::Succeeded, 1),
            "{job:#?}"
        );
    }
}

/// A terminal that is closed, or a waiting command that is killed, leaves the job running.
#[test]
fn a_waiting_command_may_be_hung_up() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let deaths: [fn(u32); 2] = [hang_up, |pid| kill(pid.cast_signed())];
    for (round, death) in deaths.into_iter().enumerate() {
        let gate = format!("gate-{round}");
        let payload = json!({ "deed": { "wait_for": gate } }).to_string();
        let mut child = home.start(["notifydispatcher", "Act", &payload]);
        let id = home.stored(round);
        home.wait_running(&id);
        death(child.id());
        child.wait().expect("it ends");
        home.open_gate(&gate);
        let job = home.wait(&id);
        assert_eq!(
            (job.state, job.attempt),
            (JobState::Succeeded, 1),
            "{job:#?}"
        );
    }
}

/// Supervisor, keeper and worker die with the group of the submitter that started them.
#[test]
fn a_submitter_may_die_with_its_control_group() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let group = ControlGroup::make(&home);
    let payload = json!({ "deed": { "wait_for": "gate" } });
    let mut child = home.start(["wait-for", "Act"]);
    // It waits for its payload, so that everything it does happens in the group.
    group.add(child.id());
    give(&mut child, &payload);
    let id = home.stored(0);
    home.wait_running(&id);
    for kind in [Kind::Supervisor, Kind::Keeper, Kind::Worker] {
        // A job runs, says its row, a moment before its process is there.
        let seen = eventually("it is there", PATIENCE, || home.of_kind(kind).pop());
        assert!(group.holds(seen.pid), "{seen:#?} has left the group");
    }
    group.kill_whole(&home);
    child.wait().expect("it ends");
    eventually("all are dead", PATIENCE, || home.processes().is_empty());
    home.open_gate("gate");
    // Whoever comes next starts the next supervisor.
    home.run("Act", &json!({ "deed": "succeed" }));
    let job = home.wait(&id);
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    assert_eq!((job.attempt, job.lost, job.failures), (2, 1, 0), "{job:#?}");
}
