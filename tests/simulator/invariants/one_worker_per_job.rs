//! At most one living worker for each job, and for each slot of a supervisor.

use std::collections::BTreeSet;

use crate::simulator::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let mut jobs = BTreeSet::new();
    let mut slots = BTreeSet::new();
    for process in world
        .processes
        .values()
        .filter(|process| process.is_alive())
    {
        if !jobs.insert(process.job) {
            return Err(format!("{} runs twice", process.job));
        }
        if !slots.insert((process.runner, process.slot)) {
            return Err(format!("slot {} has two workers", process.slot));
        }
    }
    for crewman in world.crew.values().filter(|crewman| crewman.is_alive()) {
        if let Some(job) = crewman.job()
            && !jobs.insert(job)
        {
            return Err(format!("{job} runs twice"));
        }
    }
    Ok(())
}
