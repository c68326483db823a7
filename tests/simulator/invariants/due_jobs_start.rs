//! Once nothing goes wrong any more, a job that is due starts while somebody has room for it.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::{JobId, JobState};

use crate::simulator::world::World;
use crate::store::{Glance, Store, SupervisorRow, Waits};

/// Time for what went wrong before to be put right.
const RECOVERY: Duration = Duration::from_secs(8);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// A supervisor looks every second, by a clock that may be slow.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Jobs that might run and do not, and since when.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Waiting {
    calm_since: Option<Duration>,
    looked: Duration,
    since: BTreeMap<JobId, Duration>,
}

impl Waiting {
    pub(in crate::simulator) fn from(calm: Duration) -> Self {
        Self {
            calm_since: Some(calm),
            ..Self::default()
        }
    }

    pub(in crate::simulator) fn calm_since(&self) -> Option<Duration> {
        self.calm_since
    }
}

pub(super) fn check(world: &World) -> Result<(), String> {
    let mut waiting = world.waiting.borrow_mut();
    let begin = waiting.calm_since.map(|calm| calm + RECOVERY);
    if begin.is_none_or(|begin| world.now < begin.max(waiting.looked + INTERVAL)) {
        return Ok(());
    }
    waiting.looked = world.now;
    let supervisors = world.memory.clone().supervisors().unwrap_or_default();
    for (id, row) in &world.ledger.rows {
        let due = row.state == JobState::Queued
            && row.waits != Waits::Duplicate
            && row.run_at < world.store_ms();
        if !due || !has_capacity(world, row) || !has_room(world, row, &supervisors) {
            waiting.since.remove(id);
            continue;
        }
        let since = *waiting.since.entry(*id).or_insert(world.now);
        if world.now > since + PATIENCE {
            return Err(format!("{id} has waited since {since:?}: {row:?}"));
        }
    }
    Ok(())
}

fn has_capacity(world: &World, row: &Glance) -> bool {
    let declared = world.ledger.declared.get(&row.dispatcher);
    let concurrency = declared.map_or(1, |it| it.concurrency) as usize;
    let rows = world.ledger.rows.values();
    let running =
        rows.filter(|it| it.dispatcher == row.dispatcher && it.state == JobState::Running);
    concurrency == 0 || running.count() < concurrency
}

fn has_room(world: &World, row: &Glance, supervisors: &[SupervisorRow]) -> bool {
    let mut fit = supervisors.iter().filter(|supervisor| {
        supervisor.open
            && supervisor.build.modified_ns >= row.build
            && supervisor.serves.contains(&row.dispatcher)
            && world.lives(supervisor)
            && !leaves_jobs(world, supervisor)
    });
    fit.any(|supervisor| {
        let runners = &mut world.runners.values();
        runners.any(|runner| {
            runner.row == Some(supervisor.id)
                && !runner.holding.is_excused(world.now)
                && runner.has_room(&row.dispatcher)
        })
    })
}

/// Whether it leaves jobs of a newer build to that for a while: others may wait behind them.
fn leaves_jobs(world: &World, supervisor: &SupervisorRow) -> bool {
    let queued = world.ledger.rows.values();
    let mut queued = queued.filter(|row| row.state == JobState::Queued);
    queued.any(|row| {
        row.build > supervisor.build.modified_ns && supervisor.serves.contains(&row.dispatcher)
    })
}
