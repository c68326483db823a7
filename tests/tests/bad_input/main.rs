//! Bad input: each kind of it gets an error that says what, why and what to do, and nothing is
//! lost: the jobs that waited before are still there and run after.

mod payloads;
mod place;
mod program;
mod state;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, said};
use serde_json::json;

const COMMANDS: &str = env!("CARGO_BIN_EXE_commands");

/// A state with two unfinished jobs: one runs and waits for its gate, one waits for the other.
struct Scene<'h> {
    home: &'h Home,
    jobs: Vec<String>,
}

impl<'h> Scene<'h> {
    fn of(home: &'h Home) -> Self {
        let jobs = vec![gated(home), gated(home)];
        home.wait_running(&jobs[0]);
        Self { home, jobs }
    }

    /// Leaves a state that nobody serves: the supervisor is killed, the jobs are on record.
    fn abandon(&self) {
        self.home.end_service();
    }

    /// What was on record is on record still, and ends well.
    fn nothing_is_lost(&self) {
        self.home.open_gate("gate");
        for id in &self.jobs {
            let job = self.home.wait(id);
            assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        }
        let ids = self.home.ids();
        assert_eq!(ids[..2], self.jobs[..], "these were first");
    }

    /// One more job, which brings a supervisor for all of them.
    fn nothing_is_lost_after_another(&self) {
        let another = gated(self.home);
        self.nothing_is_lost();
        assert_eq!(self.home.wait(&another).state, JobState::Succeeded);
    }

    /// Bytes of the state file and of its log.
    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let file = self.home.database();
        let log = PathBuf::from(format!("{}-wal", file.display()));
        let read = |path| fs::read(path).unwrap_or_default();
        (read(file), read(log))
    }
}

/// Submits a job that waits for the gate.
fn gated(home: &Home) -> String {
    let payload = json!({ "gate": home.file("gate") }).to_string();
    let output = run(home, &["notifydispatcher", "Gated", &payload, "--detach"]);
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout).trim().to_owned()
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.output(arguments, b"")
}

/// What, why and what to do, on one line each.
#[derive(Debug)]
struct Complaint {
    what: String,
    why: String,
    todo: String,
}

impl Complaint {
    /// Asserts that what happened and why contain all of these.
    fn tells(&self, words: &[&str]) {
        says(&format!("{} because {}", self.what, self.why), words);
    }
}

/// The complaint of a command that ended with this exit code.
fn complaint(output: &Output, code: i32) -> Complaint {
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(said(&output.stdout), "", "an error belongs on stderr");
    let lines: Vec<&str> = text.lines().collect();
    let [what, why, todo] = lines[..] else {
        panic!("not three lines:\n{text}");
    };
    let part = |line: &str, lead: &str| {
        let rest = line.strip_prefix(lead);
        let rest = rest.unwrap_or_else(|| panic!("{line:?} does not begin with {lead:?}"));
        assert!(!rest.trim().is_empty(), "{line:?} says nothing");
        rest.to_owned()
    };
    Complaint {
        what: part(what, "error: "),
        why: part(why, "because: "),
        todo: part(todo, "try: "),
    }
}

/// Asserts that a text contains all of these.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}
