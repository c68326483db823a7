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
    for crewman in world.crew.values().filter(|crewman| crewman.is_alive()) {
        let owner = world.runners.get(&crewman.birth.runner);
        if owner.is_some_and(|owner| owner.has_finished()) {
            return Err(format!("{:?} of a pool still lives", crewman.birth.worker));
        }
    }
    Ok(())
}
