//! Nothing of an attempt lives when its end is written, unless it succeeded.

use dispatcher_core::Cause;

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, _) = moment.operation else {
        return Ok(());
    };
    let Some(deeds) = moment.ledger.truth.get(&(record.job, record.attempt)) else {
        return Ok(());
    };
    if deeds.born.is_some() && deeds.died.is_none() {
        return Err(format!("{} is recorded while its worker lives", record.job));
    }
    if record.outcome.cause != Cause::Succeeded && deeds.strays > 0 {
        return Err(format!("{} left {} processes", record.job, deeds.strays));
    }
    Ok(())
}
