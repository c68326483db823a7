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
    // A worker of a pool lives on, with what it has started, after a result or without the job.
    if deeds.pooled && (deeds.back || comes_from_result(&record.outcome.cause)) {
        return Ok(());
    }
    if deeds.born.is_some() && deeds.died.is_none() {
        return Err(format!("{} is recorded while its worker lives", record.job));
    }
    if record.outcome.cause != Cause::Succeeded && deeds.strays > 0 {
        return Err(format!("{} left {} processes", record.job, deeds.strays));
    }
    Ok(())
}

fn comes_from_result(cause: &Cause) -> bool {
    match cause {
        Cause::Succeeded
        | Cause::Failed { .. }
        | Cause::Discarded { .. }
        | Cause::Snoozed
        | Cause::Panicked(_)
        | Cause::MissingRequirement { .. } => true,
        Cause::Exited { .. }
        | Cause::Signalled { .. }
        | Cause::TimedOut
        | Cause::MemoryLimit
        | Cause::CpuLimit
        | Cause::OutOfMemory
        | Cause::Cancelled { .. }
        | Cause::Expired
        | Cause::SpawnFailed { .. }
        | Cause::ProtocolError { .. }
        | Cause::WorkerLost
        | Cause::Shutdown => false,
    }
}
