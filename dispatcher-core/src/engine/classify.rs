//! From what was seen of an attempt to the cause of its end: one pure, total function.

#[cfg(test)]
mod tests;

use crate::message::WorkResult;
use crate::{Cause, ExitStatus, Usage};

use super::MemoryVerdict;

/// Linux numbers of the signals that mean something here.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Why we stopped a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Its deadline passed.
    TimedOut,
    /// A cancellation was acknowledged.
    Cancelled {
        /// Who asked.
        by: String,
    },
    /// Its tree used too much memory.
    MemoryLimit,
    /// It broke the protocol.
    Protocol {
        /// How.
        what: String,
    },
    /// The supervisor ends.
    Shutdown,
    /// The supervisor's lease is at its end.
    LeaseOver,
}

/// What answers for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// It says hello and gives a result.
    Framed,
    /// A plain command: its exit status is its answer.
    ExitStatus,
}

/// What was seen of an attempt.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// What answers for it.
    pub link: LinkKind,
    /// It said hello.
    pub hello: bool,
    /// Its result.
    pub result: Option<&'a WorkResult>,
    /// Why we stopped it, if we did, and no result came before.
    pub stop: Option<&'a StopReason>,
    /// Why no process could be made.
    pub spawn_errno: Option<i32>,
    /// How its process ended; `None` if there was none.
    pub exit: Option<ExitStatus>,
    /// What it used.
    pub usage: Usage,
    /// Its `cpu_limit` in microseconds.
    pub cpu_limit_us: Option<u64>,
    /// What the kernel says about its memory.
    pub memory: MemoryVerdict,
}

/// Names the cause of an attempt's end.
///
/// A result counts more than everything that came after it; a reason of ours more than the exit
/// status that it brought about; the kernel's word more than a guess.
#[must_use]
pub fn classify(evidence: &Evidence<'_>) -> Cause {
    if let Some(result) = evidence.result {
        return from_result(result);
    }
    if let Some(stop) = evidence.stop {
        return from_stop(stop);
    }
    if let Some(errno) = evidence.spawn_errno {
        return Cause::SpawnFailed { errno };
    }
    let Some(exit) = evidence.exit else {
        return Cause::WorkerLost;
    };
    if evidence.memory == MemoryVerdict::Killed {
        return Cause::OutOfMemory;
    }
    if evidence.link == LinkKind::Framed && !evidence.hello && !over_cpu_limit(evidence, exit) {
        return Cause::ProtocolError {
            what: format!("it {} before its hello", ended(exit)),
        };
    }
    match (evidence.link, exit) {
        (_, ExitStatus::Signalled { .. }) if over_cpu_limit(evidence, exit) => Cause::CpuLimit,
        (_, ExitStatus::Signalled { signal, core }) => Cause::Signalled {
            signal,
            core,
            oom_suspected: signal == SIGKILL && evidence.memory == MemoryVerdict::Suspected,
        },
        (LinkKind::ExitStatus, ExitStatus::Exited(0)) => Cause::Succeeded,
        (LinkKind::Framed | LinkKind::ExitStatus, ExitStatus::Exited(code)) => {
            Cause::Exited { code }
        }
    }
}

fn from_result(result: &WorkResult) -> Cause {
    match result {
        WorkResult::Succeeded => Cause::Succeeded,
        WorkResult::Failed {
            message, causes, ..
        } => Cause::Failed {
            message: message.clone(),
            causes: causes.clone(),
        },
        WorkResult::Discarded { message } => Cause::Discarded {
            message: message.clone(),
        },
        WorkResult::Snoozed { .. } => Cause::Snoozed,
        WorkResult::Panicked(panic) => Cause::Panicked(panic.clone()),
        WorkResult::MissingRequirement { names } => Cause::MissingRequirement {
            names: names.clone(),
        },
        WorkResult::NotStarted { errno } => Cause::SpawnFailed { errno: *errno },
    }
}

fn from_stop(stop: &StopReason) -> Cause {
    match stop {
        StopReason::TimedOut => Cause::TimedOut,
        StopReason::Cancelled { by } => Cause::Cancelled { by: by.clone() },
        StopReason::MemoryLimit => Cause::MemoryLimit,
        StopReason::Protocol { what } => Cause::ProtocolError { what: what.clone() },
        StopReason::Shutdown => Cause::Shutdown,
        StopReason::LeaseOver => Cause::WorkerLost,
    }
}

/// The kernel sends XCPU at the soft limit, and KILL at the hard one to whoever ignored it.
fn over_cpu_limit(evidence: &Evidence<'_>, exit: ExitStatus) -> bool {
    let Some(limit_us) = evidence.cpu_limit_us else {
        return false;
    };
    match exit {
        ExitStatus::Signalled {
            signal: SIGXCPU, ..
        } => true,
        ExitStatus::Signalled {
            signal: SIGKILL, ..
        } => evidence.usage.user_us + evidence.usage.system_us >= limit_us,
        ExitStatus::Signalled { .. } | ExitStatus::Exited(_) => false,
    }
}

pub(super) fn ended(exit: ExitStatus) -> String {
    match exit {
        ExitStatus::Exited(code) => format!("exited with status {code}"),
        ExitStatus::Signalled { signal, .. } => format!("was killed by signal {signal}"),
    }
}
