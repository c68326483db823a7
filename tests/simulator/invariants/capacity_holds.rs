//! Running ≤ concurrency of each dispatcher, and every running job is in a slot of its supervisor.

use std::collections::BTreeMap;

use dispatcher_core::JobState;

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let mut by_dispatcher: BTreeMap<&str, u32> = BTreeMap::new();
    for (id, row) in moment.after {
        if row.state != JobState::Running {
            continue;
        }
        *by_dispatcher.entry(&row.dispatcher).or_default() += 1;
        let Some((supervisor, slot)) = row.holder else {
            return Err(format!("{id} runs and nobody holds it"));
        };
        let opened = moment.ledger.supervisors.get(&supervisor);
        let slots = opened.map_or(0, |(slots, _)| *slots);
        let pools = moment.ledger.pool_slots.get(&supervisor);
        let of_pool = pools.is_some_and(|pools| pools.contains(&slot));
        if slot >= slots && !of_pool {
            return Err(format!("{id} is in slot {slot} of {slots}"));
        }
    }
    for (name, running) in by_dispatcher {
        let concurrency = moment
            .ledger
            .declared
            .get(name)
            .map_or(1, |it| it.concurrency);
        if concurrency > 0 && running > concurrency {
            return Err(format!("{running} of {name} run, {concurrency} may"));
        }
    }
    Ok(())
}
