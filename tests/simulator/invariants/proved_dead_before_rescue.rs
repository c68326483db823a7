//! Nothing is queued again while a worker of its last attempt lives.

use dispatcher_core::JobState;

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Rescue(dead) = moment.operation else {
        return Ok(());
    };
    let held = moment.before.iter().filter(|(_, row)| {
        row.state == JobState::Running
            && row.holder.is_some_and(|(holder, _)| dead.contains(&holder))
    });
    for (id, row) in held {
        let deeds = moment.ledger.truth.get(&(*id, row.counters.attempt));
        if deeds.is_some_and(|deeds| deeds.born.is_some() && deeds.died.is_none() && !deeds.pooled)
        {
            return Err(format!("{id} is rescued while its worker lives"));
        }
    }
    Ok(())
}
