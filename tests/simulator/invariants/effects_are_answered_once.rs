//! Every effect is answered by exactly one event, and no event answers what was not asked.

use std::collections::BTreeMap;

use dispatcher_core::engine::{Effect, Event};

/// Effects that wait for their answer.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Open {
    counts: BTreeMap<(Kind, Option<u32>), u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Claim,
    Spawn,
    Task,
    Signal,
    Bury,
    Drain,
    Record,
    Close,
    Renew,
    Reopen,
}

impl Open {
    pub(in crate::simulator) fn effect(&mut self, effect: &Effect) {
        let key = match effect {
            Effect::Claim { .. } => (Kind::Claim, None),
            Effect::Spawn { worker, .. } => (Kind::Spawn, Some(worker.0)),
            Effect::Stop { worker } | Effect::Kill { worker } => (Kind::Signal, Some(worker.0)),
            Effect::Bury { worker, .. } => (Kind::Bury, Some(worker.0)),
            Effect::Drain { worker, .. } => (Kind::Drain, Some(worker.0)),
            Effect::Record { attempt, .. } => (Kind::Record, Some(attempt.0)),
            Effect::CloseIfIdle | Effect::HandOver | Effect::Close => (Kind::Close, None),
            Effect::Boot { worker, .. } => (Kind::Spawn, Some(worker.0)),
            Effect::Assign { worker, .. } | Effect::Hand { worker, .. } => {
                (Kind::Task, Some(worker.0))
            }
            Effect::Retire { worker } => (Kind::Signal, Some(worker.0)),
            Effect::Renew => (Kind::Renew, None),
            Effect::Reopen => (Kind::Reopen, None),
            Effect::Deadline { .. }
            | Effect::Finish
            | Effect::Answer { .. }
            | Effect::ResetOver { .. } => return,
        };
        *self.counts.entry(key).or_default() += 1;
    }

    pub(in crate::simulator) fn event(&mut self, event: &Event) -> Result<(), String> {
        let key = match event {
            Event::Claimed { .. } | Event::ClaimFailed { .. } => (Kind::Claim, None),
            Event::Spawned { worker } | Event::SpawnFailed { worker, .. } => {
                (Kind::Spawn, Some(worker.0))
            }
            Event::Signalled { worker } => (Kind::Signal, Some(worker.0)),
            Event::Buried { worker, .. } => (Kind::Bury, Some(worker.0)),
            Event::Drained { worker, .. } => (Kind::Drain, Some(worker.0)),
            Event::Recorded { attempt } | Event::RecordFailed { attempt } => {
                (Kind::Record, Some(attempt.0))
            }
            Event::Handed { worker } => (Kind::Task, Some(worker.0)),
            Event::CloseAnswered { .. } => (Kind::Close, None),
            Event::Renewed(_) => (Kind::Renew, None),
            Event::Reopened { .. } => (Kind::Reopen, None),
            Event::KeeperLost => {
                self.counts.retain(|(kind, _), _| match kind {
                    Kind::Claim | Kind::Record | Kind::Close | Kind::Renew | Kind::Reopen => true,
                    Kind::Spawn | Kind::Task | Kind::Signal | Kind::Bury | Kind::Drain => false,
                });
                return Ok(());
            }
            Event::Woken
            | Event::Said { .. }
            | Event::LinkBroken { .. }
            | Event::Exited { .. }
            | Event::CancelRequested { .. }
            | Event::LimitExceeded { .. }
            | Event::Outgrown { .. }
            | Event::LastWords { .. }
            | Event::Requested { .. }
            | Event::ResetRequested { .. }
            | Event::Superseded
            | Event::ShutdownRequested(_) => return Ok(()),
        };
        match self.counts.get_mut(&key) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => return Err(format!("{event:?} answers nothing")),
        }
        self.counts.retain(|_, count| *count > 0);
        Ok(())
    }

    /// Whether everything was answered.
    pub(in crate::simulator) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}
