//! No worker outlives the final exit of its supervisor.

use crate::simulator::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let alive = world
        .processes
        .values()
        .filter(|process| process.is_alive());
    for process in alive {
        if world
            .runners
            .get(&process.runner)
            .is_some_and(|runner| runner.has_finished())
        {
            return Err(format!("the worker of {} still lives", process.job));
        }
    }
    Ok(())
}
