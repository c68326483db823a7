//! A reset is answered in time; whom it has replaced ends, and after one that failed nobody does.

use std::time::Duration;

use crate::simulator::runner::RunnerId;
use crate::simulator::world::World;

/// A driver may be late, and a report takes a moment.
const SLACK: Duration = Duration::from_millis(1_500);

pub(super) fn check(world: &World) -> Result<(), String> {
    for runner in world.runners.values() {
        let Some(desk) = runner.desk.as_ref().filter(|_| runner.is_alive()) else {
            continue;
        };
        if runner.keeper_is_lost || runner.holding.is_excused(world.now) {
            continue;
        }
        for pool in &desk.pools.list {
            let limit = pool.spec.spawn_timeout;
            let late = |since: Duration| world.now > since + limit + limit / 8 + SLACK;
            if pool.resets_since.is_some_and(late) {
                return Err(format!(
                    "{:?}: {:?} is not over",
                    runner.id, pool.resets_since
                ));
            }
        }
        for (worker, seat) in &desk.pools.seats {
            let limit = desk.pools.get(seat.pool).spec.stop_timeout;
            let late = |since: Duration| world.now > since + limit + limit / 8 + SLACK;
            let goes = seat.told.is_some() || seat.ended || seat.is_busy();
            if seat.replaced.is_some_and(late)
                && seat.settles_since.is_none_or(late)
                && seat.spawned.is_some_and(late)
                && !goes
            {
                return Err(format!(
                    "{worker:?} of {:?} was replaced and stays",
                    runner.id
                ));
            }
        }
    }
    Ok(())
}

/// Those that ended because of a reset were replaced by it, or made for it.
pub(in crate::simulator) fn of_ends(world: &mut World, id: RunnerId) -> Result<(), String> {
    let runner = world.runners.get_mut(&id);
    let Some(desk) = runner.and_then(|runner| runner.desk.as_mut()) else {
        return Ok(());
    };
    if desk.pools.list.is_empty() {
        return Ok(());
    }
    for snapshot in desk.engine.snapshot().pools {
        let ends = snapshot.ends.iter().find(|(reason, _)| *reason == "reset");
        let ends = ends.map_or(0, |(_, count)| *count);
        let pool = desk.pools.get_mut(snapshot.pool);
        let new = ends - std::mem::replace(&mut pool.reset_ends, ends);
        let gone = desk.pools.seats.iter().filter(|(worker, seat)| {
            let here = snapshot.workers.iter().any(|it| it.worker == **worker);
            let replaced = seat.fresh || seat.replaced.is_some();
            seat.pool == snapshot.pool && !here && replaced
        });
        if gone.count() < usize::try_from(new).unwrap_or(0) {
            return Err(format!(
                "{id:?}: a reset ended whom it should not: {snapshot:?}"
            ));
        }
    }
    Ok(())
}
