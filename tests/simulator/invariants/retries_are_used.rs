//! A job that may be tried again fails for good only when its retries are used.

use dispatcher_core::{Cause, JobState};

use crate::simulator::ledger::{Moment, Operation};
use crate::store::Recorded;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, Recorded::Applied(JobState::Failed)) = moment.operation else {
        return Ok(());
    };
    let Some(before) = moment.before.get(&record.job) else {
        return Ok(());
    };
    let cause = &record.outcome.cause;
    if may_be_tried_again(cause) && before.counters.failures < before.retries {
        return Err(format!("{} failed by {cause:?} as {before:?}", record.job));
    }
    Ok(())
}

fn may_be_tried_again(cause: &Cause) -> bool {
    match cause {
        Cause::Failed { .. }
        | Cause::Panicked(_)
        | Cause::Exited { .. }
        | Cause::Signalled { .. }
        | Cause::TimedOut
        | Cause::MemoryLimit
        | Cause::CpuLimit
        | Cause::OutOfMemory
        | Cause::SpawnFailed { .. }
        | Cause::ProtocolError { .. } => true,
        Cause::Succeeded
        | Cause::Discarded { .. }
        | Cause::Snoozed
        | Cause::Cancelled { .. }
        | Cause::Expired
        | Cause::MissingRequirement { .. }
        | Cause::WorkerLost
        | Cause::Shutdown => false,
    }
}
