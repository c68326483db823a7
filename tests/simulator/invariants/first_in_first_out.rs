//! Inside a dispatcher jobs are claimed by priority, then in the order in which they were queued.

use crate::simulator::ledger::{Moment, Operation};
use crate::store::Waits;

/// A job that a newer build sent is left to that for a while; whoever comes after it may go first.
pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Claim(request, claim, _) = moment.operation else {
        return Ok(());
    };
    let claimer = moment.ledger.supervisors.get(&request.supervisor);
    let build = claimer.map_or(0, |(_, build)| *build);
    for claimed in &claim.jobs {
        let Some(first) = moment.before.get(&claimed.job) else {
            continue;
        };
        let overtaken = moment.before.iter().find(|(id, other)| {
            let waits = moment.after.get(id).is_some_and(|row| {
                row.counters == other.counters
                    && row.state == dispatcher_core::JobState::Queued
                    && row.waits == Waits::Nothing
            });
            waits
                && other.waits == Waits::Nothing
                && other.build <= build
                && other.dispatcher == first.dispatcher
                && (-other.priority, other.seq) < (-first.priority, first.seq)
        });
        if let Some((id, other)) = overtaken {
            return Err(format!(
                "{} {first:?} was claimed before {id} {other:?} by {request:?}",
                claimed.job
            ));
        }
    }
    Ok(())
}
