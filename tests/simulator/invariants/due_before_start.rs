//! No start before `run_at`, of a held duplicate, or of a paused dispatcher.

use dispatcher_core::JobState;

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
        // One that expires in the same step lets the duplicate behind it go.
        let held = before.waits == Waits::Duplicate && !expired(moment, &before.dispatcher);
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

/// Whether a job of the dispatcher ended in this step.
fn expired(moment: &Moment<'_>, dispatcher: &str) -> bool {
    let ended = moment
        .after
        .iter()
        .filter(|(_, row)| row.state == JobState::Failed);
    let mut ended = ended.filter(|(_, row)| row.dispatcher == dispatcher);
    ended.any(|(id, _)| {
        moment
            .before
            .get(id)
            .is_some_and(|row| row.state == JobState::Queued)
    })
}
