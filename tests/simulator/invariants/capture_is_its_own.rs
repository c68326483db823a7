//! What is captured of a job in a pool was written by that attempt and nobody else.

use crate::simulator::ledger::{Moment, Operation};
use crate::simulator::pools::letter_of;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, _) = moment.operation else {
        return Ok(());
    };
    let deeds = moment.ledger.truth.get(&(record.job, record.attempt));
    let Some(deeds) = deeds.filter(|deeds| deeds.pooled) else {
        return Ok(());
    };
    let own = letter_of(record.job, record.attempt);
    let written = [&record.capture.stdout.head, &record.capture.stdout.tail];
    match written.into_iter().flatten().find(|byte| {
        // After a result that came too late it puts back what its tasks share.
        **byte != own && !(**byte == b'!' && deeds.died.is_some())
    }) {
        Some(other) => Err(format!(
            "{} wrote {:?} and {:?} was kept",
            record.job, own as char, *other as char
        )),
        None => Ok(()),
    }
}
