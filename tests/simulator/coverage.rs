//! How often each fault, effect, event and transition happened: what was never reached was never
//! tested.

use std::collections::BTreeMap;

use dispatcher_core::JobState;
use dispatcher_core::engine::{Effect, Event};

use super::faults::Fault;

/// Counts by name.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

const EFFECTS: &[&str] = &[
    "effect Claim",
    "effect Spawn",
    "effect Stop",
    "effect Kill",
    "effect Bury",
    "effect Drain",
    "effect Record",
    "effect CloseIfIdle",
    "effect HandOver",
    "effect Close",
    "effect Finish",
    "effect Boot",
    "effect Assign",
    "effect Hand",
    "effect Answer",
    "effect ResetOver",
    "effect Retire",
    "effect Renew",
    "effect Deadline",
    "effect Reopen",
    "a keeper ends everything in time",
    "a machine fails",
];

const EVENTS: &[&str] = &[
    "event Woken",
    "event Claimed",
    "event ClaimFailed",
    "event Spawned",
    "event SpawnFailed",
    "event Said",
    "event LinkBroken",
    "event Exited",
    "event Buried",
    "event Signalled",
    "event Drained",
    "event Recorded",
    "event RecordFailed",
    "event CancelRequested",
    "event LimitExceeded",
    "event KeeperLost",
    "event Superseded",
    "event ShutdownRequested",
    "event CloseAnswered",
    "event Handed",
    "event Outgrown",
    "event LastWords",
    "event Requested",
    "event ResetRequested",
    "event Renewed",
    "event Reopened",
];

const TRANSITIONS: &[&str] = &[
    "job submitted",
    "job claimed",
    "job succeeded",
    "job failed",
    "job queued again",
    "job cancelled while running",
    "job cancelled while queued",
    "job expired",
    "job claimed ahead of a worker",
    "job not begun when its supervisor died",
];

/// What becomes of direct requests and of resets.
const ANSWERS: &[&str] = &[
    "answer: replied",
    "answer: refused",
    "answer: no worker was free",
    "answer: took too long",
    "answer: worker died",
    "answer: nobody wanted it",
    "answer: degraded",
    "answer: stopping",
    "reset done",
    "reset failed",
];

/// Why workers of pools end, as engines count it.
const ENDS: &[(&str, &str)] = &[
    ("boot_failed", "pool worker ended: boot_failed"),
    ("crashed", "pool worker ended: crashed"),
    ("stopped", "pool worker ended: stopped"),
    ("protocol", "pool worker ended: protocol"),
    ("asked", "pool worker ended: asked"),
    ("finalizer", "pool worker ended: finalizer"),
    ("max_jobs", "pool worker ended: max_jobs"),
    ("ttl", "pool worker ended: ttl"),
    ("idle_ttl", "pool worker ended: idle_ttl"),
    ("max_memory", "pool worker ended: max_memory"),
    ("reset", "pool worker ended: reset"),
    ("keeper_lost", "pool worker ended: keeper_lost"),
    ("shutdown", "pool worker ended: shutdown"),
];

impl Coverage {
    pub(super) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Workers of pools that ended for this reason.
    pub(super) fn ends(&mut self, reason: &str, count: u64) {
        let name = ENDS.iter().find(|(known, _)| *known == reason);
        let name = name.map_or("pool worker ended: otherwise", |(_, name)| *name);
        *self.counts.entry(name).or_default() += count;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    /// Everything there is to reach, with its count.
    #[must_use]
    pub fn table(&self) -> Vec<(&'static str, u64)> {
        let faults = Fault::ALL.iter().map(|fault| fault.name());
        let ends: Vec<&str> = ENDS.iter().map(|(_, name)| *name).collect();
        let all = [
            EFFECTS,
            EVENTS,
            TRANSITIONS,
            ANSWERS,
            &ends,
            super::deaths::NAMES,
        ]
        .concat();
        let names = faults.chain(all);
        names
            .map(|name| (name, self.counts.get(name).copied().unwrap_or(0)))
            .collect()
    }

    pub(super) fn effect(&mut self, effect: &Effect) {
        self.count(match effect {
            Effect::Claim { .. } => "effect Claim",
            Effect::Spawn { .. } => "effect Spawn",
            Effect::Boot { .. } => "effect Boot",
            Effect::Assign { .. } => "effect Assign",
            Effect::Hand { .. } => "effect Hand",
            Effect::Answer { .. } => "effect Answer",
            Effect::ResetOver { .. } => "effect ResetOver",
            Effect::Retire { .. } => "effect Retire",
            Effect::Stop { .. } => "effect Stop",
            Effect::Kill { .. } => "effect Kill",
            Effect::Bury { .. } => "effect Bury",
            Effect::Drain { .. } => "effect Drain",
            Effect::Record { .. } => "effect Record",
            Effect::Renew => "effect Renew",
            Effect::Deadline { .. } => "effect Deadline",
            Effect::Reopen => "effect Reopen",
            Effect::CloseIfIdle => "effect CloseIfIdle",
            Effect::HandOver => "effect HandOver",
            Effect::Close => "effect Close",
            Effect::Finish => "effect Finish",
        });
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.count(match event {
            Event::Woken => "event Woken",
            Event::Claimed { .. } => "event Claimed",
            Event::ClaimFailed { .. } => "event ClaimFailed",
            Event::Spawned { .. } => "event Spawned",
            Event::SpawnFailed { .. } => "event SpawnFailed",
            Event::Said { .. } => "event Said",
            Event::LinkBroken { .. } => "event LinkBroken",
            Event::Exited { .. } => "event Exited",
            Event::Buried { .. } => "event Buried",
            Event::Signalled { .. } => "event Signalled",
            Event::Drained { .. } => "event Drained",
            Event::Recorded { .. } => "event Recorded",
            Event::RecordFailed { .. } => "event RecordFailed",
            Event::CancelRequested { .. } => "event CancelRequested",
            Event::Outgrown { .. } => "event Outgrown",
            Event::LastWords { .. } => "event LastWords",
            Event::Handed { .. } => "event Handed",
            Event::Requested { .. } => "event Requested",
            Event::ResetRequested { .. } => "event ResetRequested",
            Event::LimitExceeded { .. } => "event LimitExceeded",
            Event::Renewed(_) => "event Renewed",
            Event::Reopened { .. } => "event Reopened",
            Event::KeeperLost => "event KeeperLost",
            Event::Superseded => "event Superseded",
            Event::ShutdownRequested(_) => "event ShutdownRequested",
            Event::CloseAnswered { .. } => "event CloseAnswered",
        });
    }

    /// A row that one operation took from one state to another.
    pub(super) fn transition(&mut self, before: Option<JobState>, after: JobState) {
        let Some(before) = before else {
            return self.count("job submitted");
        };
        let name = match (before, after) {
            (JobState::Queued, JobState::Running) => "job claimed",
            (JobState::Running, JobState::Succeeded) => "job succeeded",
            (JobState::Running, JobState::Failed) => "job failed",
            (JobState::Running, JobState::Queued) => "job queued again",
            (JobState::Running, JobState::Cancelled) => "job cancelled while running",
            (JobState::Queued, JobState::Cancelled) => "job cancelled while queued",
            (JobState::Queued, JobState::Failed) => "job expired",
            // Not a transition, or one that an invariant refuses.
            (JobState::Queued, JobState::Queued | JobState::Succeeded)
            | (JobState::Running, JobState::Running)
            | (JobState::Succeeded | JobState::Failed | JobState::Cancelled, _) => return,
        };
        self.count(name);
    }
}
