//! A worker of a pool that starts, works or puts back too long is told to end, and whoever does not
//! end is killed; after the deadline of a drain nothing works.

use std::time::Duration;

use crate::simulator::pools::{Pool, Seat};
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
        for (worker, seat) in &desk.pools.seats {
            let pool = desk.pools.get(seat.pool);
            overdue(seat, pool, runner.stop_at(), world.now)
                .map_err(|what| format!("{worker:?} of {:?}: {what}", runner.id))?;
        }
    }
    Ok(())
}

fn overdue(
    seat: &Seat,
    pool: &Pool,
    stop_at: Option<Duration>,
    now: Duration,
) -> Result<(), &'static str> {
    let late = |since: Duration, time: Duration| now > since + time + time / 8 + SLACK;
    let spec = &pool.spec;
    if seat.ended || seat.killed {
        return Ok(());
    }
    if let Some(told) = seat.told {
        let grace = seat.doing.as_ref().map_or(Duration::ZERO, |it| it.grace);
        return match late(told, spec.stop_timeout.max(grace)) {
            true => Err("it was told to end and is not killed"),
            false => Ok(()),
        };
    }
    let greeting = seat.spawned.filter(|_| !seat.greeted);
    if greeting.is_some_and(|since| late(since, spec.spawn_timeout)) {
        return Err("it is not ready and is not ended");
    }
    if seat
        .settles_since
        .is_some_and(|since| late(since, spec.stop_timeout))
    {
        return Err("it is not ready again and is not ended");
    }
    let Some(doing) = &seat.doing else {
        return Ok(());
    };
    if doing
        .timeout
        .is_some_and(|timeout| late(doing.since, timeout))
    {
        return Err("its job runs too long");
    }
    let stop_at = [stop_at, pool.stop_at].into_iter().flatten().min();
    if stop_at.is_some_and(|at| late(at.max(doing.since), Duration::ZERO)) {
        return Err("it works after the deadline");
    }
    Ok(())
}
