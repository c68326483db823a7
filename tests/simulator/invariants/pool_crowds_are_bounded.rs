//! Workers of a pool ≤ its maximum, those apart that are on their way out or that a reset makes,
//! and all of them together are bounded.

use crate::simulator::world::World;

/// Times the maximum of a pool: its workers, as many on their way out, those of a reset, and those
/// that a reset has replaced and that still work.
const CROWD_MAX: usize = 6;

pub(super) fn check(world: &World) -> Result<(), String> {
    for runner in world.runners.values().filter(|runner| runner.is_alive()) {
        let Some(desk) = runner.desk.as_ref() else {
            continue;
        };
        if desk.pools.list.is_empty() {
            continue;
        }
        for snapshot in desk.engine.snapshot().pools {
            let its = desk.pools.get(snapshot.pool);
            let most = its.spec.max_workers as usize;
            if snapshot.workers.len() > CROWD_MAX * most {
                return Err(format!("{:?}: {snapshot:?}", runner.id));
            }
            let stays = snapshot.workers.iter().filter(|worker| {
                let seat = desk.pools.seats.get(&worker.worker);
                let old = seat.is_some_and(|seat| !seat.fresh && seat.replaced.is_none());
                old && worker.state != "stopping"
            });
            if stays.count() > most {
                return Err(format!(
                    "{:?} has more than {most}: {snapshot:?}",
                    runner.id
                ));
            }
            let alive = world.crew.values().filter(|crewman| {
                let birth = crewman.birth;
                crewman.is_alive() && birth.runner == runner.id && birth.pool == snapshot.pool
            });
            if alive.count() > CROWD_MAX * most {
                return Err(format!("{:?}: too many processes: {snapshot:?}", runner.id));
            }
        }
    }
    Ok(())
}
