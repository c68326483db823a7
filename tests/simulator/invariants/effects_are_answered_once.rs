//! Every effect is answered by exactly one event, and no event answers what was not asked.

use std::collections::BTreeMap;

use dispatcher_core::engine::{Effect, Event, WorkerId};

/// Effects that wait for their answer.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Open {
    counts: BTreeMap<(Kind, Option<WorkerId>), u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Claim,
    Spawn,
    Signal,
    Bury,
    Drain,
    Record,
    Close,
}

impl Open {
    pub(in crate::simulator) fn effect(&mut self, effect: &Effect) {
        let key = match effect {
            Effect::Claim { .. } => (Kind::Claim, None),
            Effect::Spawn { worker, .. } => (Kind::Spawn, Some(*worker)),
            Effect::Stop { worker } | Effect::Kill { worker } => (Kind::Signal, Some(*worker)),
            Effect::Bury { worker, .. } => (Kind::Bury, Some(*worker)),
            Effect::Drain { worker, .. } => (Kind::Drain, Some(*worker)),
            Effect::Record { worker, .. } => (Kind::Record, Some(*worker)),
            Effect::CloseIfIdle | Effect::HandOver | Effect::Close => (Kind::Close, None),
            Effect::Finish => return,
        };
        *self.counts.entry(key).or_default() += 1;
    }

    pub(in crate::simulator) fn event(&mut self, event: &Event) -> Result<(), String> {
        let key = match event {
            Event::Claimed { .. } | Event::ClaimFailed => (Kind::Claim, None),
            Event::Spawned { worker } | Event::SpawnFailed { worker, .. } => {
                (Kind::Spawn, Some(*worker))
            }
            Event::Signalled { worker } => (Kind::Signal, Some(*worker)),
            Event::Buried { worker, .. } => (Kind::Bury, Some(*worker)),
            Event::Drained { worker, .. } => (Kind::Drain, Some(*worker)),
            Event::Recorded { worker } | Event::RecordFailed { worker } => {
                (Kind::Record, Some(*worker))
            }
            Event::CloseAnswered { .. } => (Kind::Close, None),
            Event::KeeperLost => {
                self.counts.retain(|(kind, _), _| match kind {
                    Kind::Claim | Kind::Record | Kind::Close => true,
                    Kind::Spawn | Kind::Signal | Kind::Bury | Kind::Drain => false,
                });
                return Ok(());
            }
            Event::Woken
            | Event::Said { .. }
            | Event::LinkBroken { .. }
            | Event::Exited { .. }
            | Event::CancelRequested { .. }
            | Event::LimitExceeded { .. }
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
