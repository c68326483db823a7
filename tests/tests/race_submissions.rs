//! Fifty processes submit two hundred jobs each at once: no error but a full queue, no lost job,
//! no "database is locked".
//!
//! The race begins before there is a state file, so it goes over its creation and over the
//! election of the first supervisor as well.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Child;
use std::time::Instant;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Size, eventually, said};

/// What a race gave.
struct Raced {
    /// Ids of acknowledged jobs.
    accepted: Vec<String>,
    /// Processes that met a full queue.
    refused: usize,
}

/// (processes, submissions of each).
fn size() -> (u32, u32) {
    let size = Size::get();
    (size.pick(10, 50), size.pick(50, 200))
}

#[test]
fn race_of_submissions_loses_nothing() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let (processes, each) = size();
    let began = Instant::now();
    let raced = race(&home, "Racer", || ());
    eprintln!(
        "{processes} processes x {each} submissions: acknowledged in {:?}",
        began.elapsed()
    );
    assert_eq!(raced.refused, 0, "an unbounded queue is never full");
    assert_eq!(raced.accepted.len(), (processes * each) as usize);
    all_ran_once(&home, &raced.accepted);
    eprintln!("all ran once, {:?} after the start", began.elapsed());
}

#[test]
fn race_for_a_short_queue_refuses_and_loses_nothing() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let (processes, each) = size();
    let mut most = 0;
    let raced = race(&home, "Crowded", || {
        most = most.max(home.unfinished("Crowded").unwrap_or(0));
    });
    eprintln!(
        "{processes} processes x {each} submissions for 20 places: {} accepted, {} processes met \
         a full queue, at most {most} seen unfinished",
        raced.accepted.len(),
        raced.refused,
    );
    assert!(
        raced.refused > 0,
        "nobody was refused: the test proves nothing"
    );
    assert!(most <= 20, "{most} were unfinished at once");
    all_ran_once(&home, &raced.accepted);
}

/// Starts all submitters, lets them go together, and looks while they run.
fn race(home: &Home, dispatcher: &str, mut look: impl FnMut()) -> Raced {
    let (processes, each) = size();
    let arguments = ["submit", dispatcher, &each.to_string()];
    let mut children: Vec<Child> = (0..processes).map(|_| home.start(arguments)).collect();
    // All of them wait for their input, so they begin nearly together.
    for child in &mut children {
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"{}").expect("it reads");
    }
    eventually("the submitters end", 10 * PATIENCE, || {
        look();
        children
            .iter_mut()
            .all(|child| child.try_wait().expect("it can be waited for").is_some())
    });
    let mut raced = Raced {
        accepted: Vec::new(),
        refused: 0,
    };
    for child in children {
        let output = child.wait_with_output().expect("it has ended");
        let text = said(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(69) if text.contains(&format!("the queue of {dispatcher} is full")) => {
                raced.refused += 1;
            }
            other => panic!("a submitter ended with {other:?}: {text}"),
        }
        let ids = said(&output.stdout);
        raced.accepted.extend(ids.lines().map(str::to_owned));
    }
    raced
}

/// Every acknowledged job is on record and ran exactly once; nothing else is, and nobody
/// complained about the store.
fn all_ran_once(home: &Home, accepted: &[String]) {
    let acknowledged: BTreeSet<&str> = accepted.iter().map(String::as_str).collect();
    assert_eq!(acknowledged.len(), accepted.len(), "an id was given twice");
    for id in accepted {
        let job = home.wait_at_most(id, 10 * PATIENCE);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert_eq!(job.attempt, 1, "{job:?}");
    }
    let stored = home.ids();
    let stored: BTreeSet<&str> = stored.iter().map(String::as_str).collect();
    assert_eq!(
        stored, acknowledged,
        "what is stored and what was acknowledged"
    );
    let ran = home.read("ran");
    let mut ran: Vec<&str> = ran.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, acknowledged.into_iter().collect::<Vec<_>>());
    let log = home.log();
    for complaint in ["ERROR", "WARN", "locked"] {
        assert!(!log.contains(complaint), "supervisors complained:\n{log}");
    }
}
