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
];

impl Coverage {
    pub(super) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
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
        let all = [EFFECTS, EVENTS, TRANSITIONS].concat();
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
