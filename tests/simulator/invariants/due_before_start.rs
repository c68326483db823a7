//! No start before `run_at`, of a held duplicate, or of a paused dispatcher.

use crate::simulator::ledger::{Moment, Operation};
use crate::store::Waits;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Claim(request, claim, paused) = moment.operation else {
        return Ok(());
    };
    for claimed in &claim.jobs {
        let Some(before) = moment.before.get(&claimed.job) else {
            return Err(format!("{} was claimed and is not there", claimed.job));
        };
        let held = before.waits == Waits::Duplicate;
        let early = before.run_at > moment.ledger.latest;
        let served = request.serves.dispatchers.contains(&before.dispatcher);
        if early || held || paused.contains(&before.dispatcher) || !served {
            return Err(format!("{} was claimed as {before:?}", claimed.job));
        }
        if !request.slots.contains(&claimed.slot) {
            return Err(format!("{} got slot {}", claimed.job, claimed.slot));
        }
    }
    Ok(())
}
