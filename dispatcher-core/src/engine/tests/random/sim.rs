//! A worker that is made up: what was asked of it, what it did, what is known of it.
//!
//! It only remembers; what must hold is checked by the walk.

use std::collections::BTreeSet;

use super::*;

/// What is known of one worker.
#[derive(Debug)]
pub(super) struct Sim {
    pub(super) assignment: Assignment,
    pub(super) process: Process,
    /// When its start was reported.
    pub(super) reported: Option<Duration>,
    pub(super) spawns: u32,
    pub(super) hello: bool,
    pub(super) result: Option<(Duration, WorkResult)>,
    /// The first reason to stop it, if it came before a result.
    pub(super) reason: Option<Reason>,
    pub(super) stopped: Option<Duration>,
    /// Somebody asked for it to be killed without grace.
    pub(super) hurried: bool,
    pub(super) open: BTreeSet<&'static str>,
    pub(super) verdict: Option<Verdict>,
    pub(super) recorded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    None,
    Asked,
    Alive,
    Dead { strays: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Cancelled,
    Broken,
    OverLimit,
    Shutdown,
}

impl Sim {
    pub(super) fn may_live(&self) -> bool {
        matches!(self.process, Process::Asked | Process::Alive)
    }

    pub(super) fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            process: Process::None,
            reported: None,
            spawns: 0,
            hello: false,
            result: None,
            reason: None,
            stopped: None,
            hurried: false,
            open: BTreeSet::new(),
            verdict: None,
            recorded: false,
        }
    }

    pub(super) fn because(&mut self, reason: Reason) {
        if self.result.is_none() && self.stopped.is_none() && self.reason.is_none() {
            self.reason = Some(reason);
        }
    }
}

/// Whether a sim's process may be in a slot.
pub(super) fn holds(sim: &Sim, slot: u32) -> bool {
    sim.assignment.slot == slot && sim.verdict.is_none()
}
