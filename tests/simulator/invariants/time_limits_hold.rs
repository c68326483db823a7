//! Whoever runs too long, says no hello, or lives after its supervisor's deadline is stopped in time;
//! whoever does not stop in its grace is killed.

use std::time::Duration;

use crate::simulator::links::Limits;
use crate::simulator::runner::HELLO_TIMEOUT;
use crate::simulator::world::World;

/// A driver may be late, its clock slow, and a report takes a moment.
const SLACK: Duration = Duration::from_millis(1_500);

pub(super) fn check(world: &World) -> Result<(), String> {
    for runner in world.runners.values().filter(|runner| runner.is_alive()) {
        if runner.holding.is_excused(world.now) {
            continue;
        }
        let stop_at = runner.stop_at();
        for limits in runner.limits() {
            overdue(&limits, stop_at, world.now)
                .map_err(|what| format!("{}: {what}: {limits:?}", limits.job))?;
        }
    }
    Ok(())
}

fn overdue(limits: &Limits, stop_at: Option<Duration>, now: Duration) -> Result<(), &'static str> {
    let Some(started) = limits.started.filter(|_| !limits.ended) else {
        return Ok(());
    };
    // Clocks run apart by a tenth at most.
    let late = |since: Duration, time: Duration| now > since + time + time / 8 + SLACK;
    if let Some(stopped) = limits.stopped {
        let killed = limits.killed.is_some();
        return match late(stopped, limits.grace) && !killed {
            true => Err("it was told to stop and is not killed"),
            false => Ok(()),
        };
    }
    if limits.killed.is_some() {
        return Ok(());
    }
    if let Some(result) = limits.result {
        return match late(result, limits.grace) {
            true => Err("it gave its result and is not killed"),
            false => Ok(()),
        };
    }
    if limits.timeout.is_some_and(|timeout| late(started, timeout)) {
        return Err("it runs too long");
    }
    if !limits.hello && late(started, HELLO_TIMEOUT) {
        return Err("it says no hello");
    }
    if stop_at.is_some_and(|at| late(at.max(started), Duration::ZERO)) {
        return Err("its supervisor should have stopped it");
    }
    Ok(())
}
