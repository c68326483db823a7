//! The ways in which jobs are sent, each with what the fixture or the command line is told.

use std::process::{Child, Command};

use serde_json::Value;

use crate::{Home, home, said};

/// A way to start a job whose payload is on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `spawn_process()`.
    Spawn,
    /// `run_process()`.
    Run,
    /// `notifydispatcher`.
    Notify,
    /// `notifydispatcher --detach`.
    Detach,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Spawn, Self::Run, Self::Notify, Self::Detach];

    /// What the fixture is told.
    #[must_use]
    pub fn words(self, name: &str) -> Vec<&str> {
        match self {
            Self::Spawn => vec!["submit", name],
            Self::Run => vec!["wait-for", name],
            Self::Notify => vec!["notifydispatcher", name, "-"],
            Self::Detach => vec!["notifydispatcher", name, "-", "--detach"],
        }
    }
}

/// What a payload is while it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON as an argument of the command line.
    Argument,
    /// JSON in a file.
    File,
    /// JSON on standard input.
    Input,
    /// A value of the program.
    Value,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Argument, Self::File, Self::Input, Self::Value];

    /// Sends a job by the fixture, which `command` makes ready to run with its words; its id.
    ///
    /// # Panics
    /// When it is refused.
    pub fn send(
        self,
        home: &Home,
        command: impl Fn(&[&str]) -> Command,
        name: &str,
        payload: &Value,
    ) -> String {
        let json = payload.to_string();
        let notify = |form| ["notifydispatcher", name, form, "--detach"];
        let child = match self {
            Self::Argument => home::begin(&mut command(&notify(&json)), b""),
            Self::File => {
                std::fs::write(home.file("payload"), &json).expect("it can be written");
                home::begin(&mut command(&notify("@payload")), b"")
            }
            Self::Input => home::begin(&mut command(&notify("-")), json.as_bytes()),
            Self::Value => home::begin(&mut command(&["submit", name]), json.as_bytes()),
        };
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{self:?} {json}: {output:#?}");
        said(&output.stdout).trim().to_owned()
    }
}

/// How many of these senders were told that their job is stored, and how many that the queue of
/// this dispatcher is full.
///
/// # Panics
/// When one was told anything else.
#[must_use]
pub fn stored_and_refused(senders: Vec<Child>, dispatcher: &str) -> (usize, usize) {
    let full = format!("the queue of {dispatcher} is full");
    let (mut stored, mut refused) = (0, 0);
    for sender in senders {
        let output = sender.wait_with_output().expect("it ends");
        let text = said(&output.stderr);
        match output.status.code() {
            Some(0) => stored += 1,
            Some(69) if text.contains(&full) => refused += 1,
            other => panic!("a sender ended with {other:?}: {text}"),
        }
    }
    (stored, refused)
}
