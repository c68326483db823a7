//! While a pool backs off no worker is made for it, and nothing is claimed for one that is down or
//! closed.

use std::time::Duration;

use dispatcher_core::engine::{Effect, Lane, PoolId};

use crate::simulator::runner::{RunnerId, SECOND};
use crate::simulator::world::World;

const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// At least so long, by the clock of its supervisor, no worker is made.
#[derive(Debug, Default)]
pub(in crate::simulator) struct BackOff {
    failures: u32,
    until: Duration,
    /// What the supervisor thinks is not known before.
    unknown_until: Duration,
}

impl BackOff {
    /// A worker could not start. What happens while none is made says nothing new.
    pub(in crate::simulator) fn failed(&mut self, now: Duration) {
        if now >= self.until {
            let wait = SECOND.saturating_mul(1 << self.failures.min(10));
            self.until = now + wait.min(BACK_OFF_MAX);
            self.failures += 1;
        }
    }

    /// Something happened that may count as a failure or not.
    pub(in crate::simulator) fn is_unknown(&mut self, now: Duration) {
        self.unknown_until = now + BACK_OFF_MAX;
    }

    /// A worker started or worked.
    pub(in crate::simulator) fn succeeded(&mut self) {
        self.failures = 0;
        self.until = Duration::ZERO;
    }

    fn lasts(&self, now: Duration) -> bool {
        now < self.until && now >= self.unknown_until
    }
}

/// `alone` when nothing has happened between the decision and this look.
pub(super) fn check(world: &World, id: RunnerId, effect: &Effect) -> Result<(), String> {
    let Some(runner) = world.runners.get(&id) else {
        return Ok(());
    };
    let Some(desk) = runner.desk.as_ref() else {
        return Ok(());
    };
    let alone = desk.told_since_pump <= 1;
    let now = world
        .now_of(id)
        .map(|now| now.monotonic)
        .unwrap_or_default();
    let live = |pool: PoolId| {
        let seats = desk.pools.seats.values();
        let its = seats.filter(|seat| seat.pool == pool && !seat.ended && seat.told.is_none());
        its.count()
    };
    match effect {
        Effect::Boot { pool, .. } => {
            let its = desk.pools.get(*pool);
            let resets = its.resets_since.is_some();
            if alone && !resets && !runner.told_to_end && its.back_off.lasts(now) {
                return Err(format!("{pool:?} of {id:?}: {:?} at {now:?}", its.back_off));
            }
        }
        Effect::Claim {
            lane: Lane::Pool(pool),
            slots,
        } => {
            let its = desk.pools.get(*pool);
            let most = its.spec.max_workers as usize + its.spec.ahead_max();
            if !its.spec.claims || slots.len() > most || (alone && runner.told_to_end) {
                return Err(format!("{pool:?} of {id:?} claims {slots:?}"));
            }
            if alone && its.back_off.lasts(now) && live(*pool) == 0 {
                return Err(format!("{pool:?} of {id:?} is down and claims"));
            }
        }
        Effect::Claim {
            lane: Lane::Process,
            ..
        }
        | Effect::Spawn { .. }
        | Effect::Assign { .. }
        | Effect::Hand { .. }
        | Effect::Answer { .. }
        | Effect::ResetOver { .. }
        | Effect::Retire { .. }
        | Effect::Stop { .. }
        | Effect::Kill { .. }
        | Effect::Bury { .. }
        | Effect::Drain { .. }
        | Effect::Record { .. }
        | Effect::Renew
        | Effect::Deadline { .. }
        | Effect::Reopen
        | Effect::CloseIfIdle
        | Effect::HandOver
        | Effect::Close
        | Effect::Finish => {}
    }
    Ok(())
}
