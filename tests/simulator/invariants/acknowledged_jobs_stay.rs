//! An acknowledged job exists until it was terminal and then pruned.

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, row) in moment.before {
        if moment.after.contains_key(id) {
            continue;
        }
        let pruned = matches!(moment.operation, Operation::Prune) && row.state.is_terminal();
        if !pruned {
            return Err(format!("{id} is gone; it was {row:?}"));
        }
    }
    if let Operation::Submit(_, Ok(submitted)) = moment.operation {
        for job in submitted.jobs.iter().filter(|job| !job.duplicate) {
            if !moment.after.contains_key(&job.id) {
                return Err(format!("{} was acknowledged and is not there", job.id));
            }
        }
        for job in submitted.jobs.iter().filter(|job| job.duplicate) {
            let survives = moment
                .after
                .get(&job.id)
                .is_some_and(|row| !row.state.is_terminal());
            if !survives {
                return Err(format!("dropped for {}, which does not wait", job.id));
            }
        }
    }
    Ok(())
}
