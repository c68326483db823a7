//! What is recorded as the cause of an end is what happened.

use dispatcher_core::message::WorkResult;
use dispatcher_core::{Cause, ExitStatus, JobId};

use crate::simulator::ledger::{Ledger, Moment, Operation};
use crate::simulator::truth::Deeds;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, _) = moment.operation else {
        return Ok(());
    };
    let nothing = Deeds::default();
    let deeds = moment.ledger.truth.get(&(record.job, record.attempt));
    let deeds = deeds.unwrap_or(&nothing);
    let cause = &record.outcome.cause;
    if is_true(cause, deeds, moment.ledger, record.job) {
        Ok(())
    } else {
        Err(format!("{} ended by {cause:?}, but {deeds:?}", record.job))
    }
}

fn is_true(cause: &Cause, deeds: &Deeds, ledger: &Ledger, job: JobId) -> bool {
    let said = |is: fn(&WorkResult) -> bool| deeds.results.iter().any(is);
    let died_by_itself = !deeds.signalled && deeds.died.is_some();
    match cause {
        Cause::Succeeded => said(|it| matches!(it, WorkResult::Succeeded)),
        Cause::Failed { .. } => said(|it| matches!(it, WorkResult::Failed { .. })),
        Cause::Discarded { .. } => said(|it| matches!(it, WorkResult::Discarded { .. })),
        Cause::Snoozed => said(|it| matches!(it, WorkResult::Snoozed { .. })),
        Cause::Panicked(_) => said(|it| matches!(it, WorkResult::Panicked(_))),
        Cause::MissingRequirement { .. } => {
            said(|it| matches!(it, WorkResult::MissingRequirement { .. }))
        }
        Cause::Exited { code } => {
            matches!(deeds.died, Some((_, ExitStatus::Exited(died))) if died == *code)
        }
        Cause::Signalled { signal, .. } => {
            matches!(deeds.died, Some((_, ExitStatus::Signalled { signal: died, .. })) if died == *signal)
                && died_by_itself
        }
        Cause::TimedOut => deeds.signalled && deeds.born.is_some(),
        Cause::MemoryLimit => deeds.over_limit,
        Cause::Cancelled { .. } => ledger.cancelled.contains(&job),
        Cause::SpawnFailed { .. } => deeds.spawn_failed && deeds.born.is_none(),
        Cause::ProtocolError { .. } => {
            deeds.broke_protocol || !deeds.said_hello || deeds.unwanted > 3
        }
        Cause::WorkerLost => deeds.lost,
        // A claim that nobody heard of is given back as one.
        Cause::Shutdown => ledger.shutdowns > 0 || deeds.born.is_none() || deeds.back,
        // Nobody here makes these.
        Cause::CpuLimit | Cause::OutOfMemory | Cause::Expired => false,
    }
}
