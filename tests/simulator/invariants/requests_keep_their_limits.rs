//! A direct request is answered not later than its limits and its supervisor's deadline allow.

use std::time::Duration;

use crate::simulator::world::World;

/// A driver may be late, its clock slow, and a report takes a moment.
const SLACK: Duration = Duration::from_millis(1_500);

pub(super) fn check(world: &World) -> Result<(), String> {
    for runner in world.runners.values() {
        let Some(desk) = runner.desk.as_ref().filter(|_| runner.is_alive()) else {
            continue;
        };
        if runner.keeper_is_lost || runner.holding.is_excused(world.now) {
            continue;
        }
        for (id, request) in &desk.pools.requests {
            let pool = desk.pools.get(request.pool);
            let (since, limit) = match request.handed {
                Some((_, since)) => (since, pool.spec.exec_timeout),
                None => (request.asked, pool.spec.queue_timeout),
            };
            let late = |at: Duration| world.now > at + SLACK;
            let limit = limit.map(|limit| since + limit + limit / 8);
            if limit.is_some_and(late) || pool.stop_at.is_some_and(|at| late(at.max(since))) {
                return Err(format!("{id:?} of {:?} is late: {request:?}", runner.id));
            }
        }
    }
    Ok(())
}
