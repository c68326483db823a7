//! Jobs that make it hard to stop them, or to do anything else beside them.

use std::time::Duration;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Kind, PATIENCE, eventually, kill, said, within};

const SOON: Duration = Duration::from_secs(20);

fn odd() -> Home {
    Home::new(env!("CARGO_BIN_EXE_odd"))
}

fn submit(home: &Home, name: &str, payload: &str) -> String {
    let output = home.output(["notifydispatcher", "--detach", name, payload], b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout).trim().to_owned()
}

/// Its group has members, but it is none of them.
#[test]
fn a_job_that_has_left_its_group_is_stopped() {
    let home = odd();
    let job = home.wait_at_most(&submit(&home, "Runaway", "{}"), SOON);
    let cause = job.outcome.map(|outcome| outcome.cause);
    assert_eq!(cause, Some(Cause::TimedOut));
    home.no_tags_left();
}

#[test]
fn a_job_that_reports_without_a_pause_holds_up_nobody() {
    let home = odd();
    let chatter = submit(&home, "Chatter", r#"{"gate":"enough"}"#);
    home.wait_for(&format!("began-{chatter}"));
    let other = submit(&home, "Gate", "{}");
    let ended = within(SOON, || home.stands(&other).0.is_terminal());
    home.open_gate("enough");
    assert!(ended.is_some(), "nothing else is done beside it");
    assert_eq!(home.wait(&chatter).state, JobState::Succeeded);
}

/// Between `vfork` and `exec` a child shows the memory of its parent, which is counted once.
#[test]
fn memory_that_is_shared_is_counted_once() {
    let home = odd();
    let job = home.wait(&submit(&home, "Spawner", "{}"));
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
}

/// Keepers come and go; their supervisor reaps each.
#[test]
fn a_lost_keeper_leaves_no_zombie() {
    let home = odd();
    for round in 0..3 {
        let gate = format!("gate-{round}");
        let job = submit(&home, "Gate", &format!(r#"{{"gate":"{gate}"}}"#));
        home.wait_for(&format!("began-{job}"));
        let supervisors = home.of_kind(Kind::Supervisor);
        let supervisor = supervisors.first().expect("it runs a job").pid;
        for keeper in home.of_kind(Kind::Keeper) {
            kill(keeper.pid);
        }
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        eventually(
            "the job runs again, and no keeper is a zombie",
            PATIENCE,
            || {
                let children = std::fs::read_to_string(&children).unwrap_or_default();
                home.stands(&job).1 == 2 && children.split_whitespace().count() == 1
            },
        );
        home.open_gate(&gate);
        assert_eq!(home.wait(&job).state, JobState::Succeeded);
    }
}
