//! What supervisors and workers of ours say to each other, inside CONTROL frames as JSON.
//!
//! A worker of ours serves: hello → start → (progress | output)* → result.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{JobId, Options, Panic};

/// Version of this conversation; both sides must name the same.
pub const PROTOCOL_VERSION: u32 = 1;

/// From a worker to its supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum WorkerMessage {
    /// The first message of every worker.
    Hello {
        /// [`PROTOCOL_VERSION`] of the worker.
        protocol: u32,
        /// Its process id.
        pid: u32,
    },
    /// How far the job is.
    Progress {
        /// 0 to 1.
        fraction: f64,
        /// At most 1 KiB.
        text: String,
    },
    /// A value to store with the job.
    Output {
        /// JSON text, at most 1 MiB.
        value: String,
    },
    /// How `process()` ended; the last message.
    Result(WorkResult),
}

/// How `process()` ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum WorkResult {
    /// Well.
    Succeeded,
    /// With a failure that counts against `retries`.
    Failed {
        /// What went wrong.
        message: String,
        /// Its causes, outermost first.
        causes: Vec<String>,
        /// Asked-for delay before the next attempt, in ms.
        retry_after_ms: Option<u64>,
    },
    /// With a failure that is not retried.
    Discarded {
        /// What went wrong.
        message: String,
    },
    /// Not now.
    Snoozed {
        /// Asked-for delay, in ms.
        delay_ms: u64,
    },
    /// With a panic.
    Panicked(Panic),
    /// Something the job needs is missing on this machine.
    MissingRequirement {
        /// Names, with the loader's words where there are any.
        names: Vec<String>,
    },
}

/// From a supervisor to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum SupervisorMessage {
    /// Run this.
    Start(Box<Start>),
    /// Stop, cooperatively if the job asks [`Context::cancelled`](crate::Context::cancelled).
    Cancel,
}

/// Everything that a worker must know to run one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The job.
    pub job: JobId,
    /// Which try, from 1.
    pub attempt: u32,
    /// Name of the dispatcher.
    pub dispatcher: String,
    /// JSON text.
    pub payload: String,
    /// When the attempt will be stopped.
    pub deadline: Option<SystemTime>,
    /// Options of the job.
    pub options: Options,
}
