//! A refused group leaves nothing behind, and an accepted one is there as a whole.

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Submit(group, answer) = moment.operation else {
        return Ok(());
    };
    match answer {
        Err(_) if moment.before != moment.after => {
            Err(format!("refused, and not as before: {group:?}"))
        }
        Ok(submitted) if submitted.jobs.len() != group.jobs.len() => Err(format!(
            "{} answers to {}",
            submitted.jobs.len(),
            group.jobs.len()
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}
