//! Once nothing goes wrong any more, every pool replies, is not degraded, and has its workers.

use std::time::Duration;

use crate::simulator::world::World;

/// Until a pool has replied it is not trusted: what was going to happen may still happen.
pub(in crate::simulator) const SETTLES: Duration = Duration::from_secs(20);
/// The longest back-off, and what ran before.
const RECOVERY: Duration = Duration::from_secs(100);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some(calm) = world.calm_since() else {
        return Ok(());
    };
    for runner in world.runners.values() {
        let Some(desk) = runner.desk.as_ref().filter(|_| runner.is_alive()) else {
            continue;
        };
        if desk.pools.list.is_empty()
            || runner.told_to_end
            || world.now < calm.max(runner.born()) + RECOVERY
        {
            continue;
        }
        for snapshot in desk.engine.snapshot().pools {
            let pool = desk.pools.get(snapshot.pool);
            let here = snapshot.workers.iter().filter(|it| it.state != "stopping");
            let least = pool.spec.min_workers.min(pool.spec.max_workers) as usize;
            if !pool.proved || snapshot.degraded.is_some() || here.count() < least {
                return Err(format!("{:?}: {snapshot:?}, {:?}", runner.id, pool.spec));
            }
        }
    }
    Ok(())
}
