//! Workers of a pool ≤ its maximum, those apart that are on their way out or that a reset makes,
//! and all of them together are bounded.

use crate::simulator::pools::Seat;
use crate::simulator::runner::RunnerId;
use crate::simulator::world::World;

/// Times the maximum of a pool: its workers, as many on their way out, those of a reset, and those
/// that a reset has replaced and that still work.
const CROWD_MAX: usize = 6;

pub(super) fn check(world: &World, id: RunnerId) -> Result<(), String> {
    let runner = world.runners.get(&id).filter(|runner| runner.is_alive());
    let Some(desk) = runner.and_then(|runner| runner.desk.as_ref()) else {
        return Ok(());
    };
    if desk.pools.list.is_empty() {
        return Ok(());
    }
    for snapshot in desk.engine.snapshot().pools {
        let its = desk.pools.get(snapshot.pool);
        let most = its.spec.max_workers as usize;
        if snapshot.workers.len() > CROWD_MAX * most {
            return Err(format!("{id:?}: {snapshot:?}"));
        }
        let stays = snapshot.workers.iter().filter(|worker| {
            let seat = desk.pools.seats.get(&worker.worker);
            // One that failed before its start was reported ends when that is.
            let goes = |seat: &Seat| seat.fresh || seat.failed || seat.replaced.is_some();
            let old = seat.is_some_and(|seat| !goes(seat));
            old && worker.state != "stopping"
        });
        if stays.count() > most {
            return Err(format!("{id:?} has more than {most}: {snapshot:?}"));
        }
        let alive = world.crew.values().filter(|crewman| {
            let birth = crewman.birth;
            crewman.is_alive() && birth.runner == id && birth.pool == snapshot.pool
        });
        if alive.count() > CROWD_MAX * most {
            return Err(format!("{id:?}: too many processes: {snapshot:?}"));
        }
    }
    Ok(())
}
