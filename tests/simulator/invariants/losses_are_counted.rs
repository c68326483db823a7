//! A job is queued again after a loss at most so often, and every loss is counted.

use std::collections::BTreeMap;

use dispatcher_core::limits::LOST_RERUNS_MAX;
use dispatcher_core::{Cause, JobId, JobState};

use crate::simulator::ledger::{Moment, Operation, Rows};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, row) in moment.after {
        let losses = moment.ledger.losses.get(id).copied().unwrap_or(0);
        if row.lost != losses || losses > LOST_RERUNS_MAX {
            return Err(format!("{id} was lost {losses} times: {row:?}"));
        }
    }
    Ok(())
}

/// Counts what one operation queued again because it was lost.
pub(in crate::simulator) fn note(
    operation: &Operation<'_>,
    before: &Rows,
    after: &Rows,
    losses: &mut BTreeMap<JobId, u32>,
) {
    let lost = |id: &JobId| match operation {
        Operation::Rescue(_) => true,
        Operation::Record(record, _) => {
            record.job == *id && record.outcome.cause == Cause::WorkerLost
        }
        Operation::Submit(..)
        | Operation::Claim(..)
        | Operation::Cancel(..)
        | Operation::CloseIfIdle(..)
        | Operation::Tick(..)
        | Operation::Prune
        | Operation::Other => false,
    };
    let running = before
        .iter()
        .filter(|(_, row)| row.state == JobState::Running);
    for (id, _) in running.filter(|(id, _)| lost(id)) {
        if after
            .get(id)
            .is_some_and(|row| row.state == JobState::Queued)
        {
            *losses.entry(*id).or_default() += 1;
        }
    }
}
