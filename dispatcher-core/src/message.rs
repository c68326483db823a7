//! What supervisors and workers of ours say to each other, inside CONTROL frames as JSON.
//!
//! A worker of ours serves: hello → start → (progress | output)* → result. One of a pool goes on:
//! hello → serve → (start → (progress | output)* → used → result → ready)*, and a direct request
//! between two jobs is a plain frame, as to a foreign worker; `ready` follows its answer too.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{JobId, Options, Panic, Usage};

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
    /// What the job has used, of a worker that lives on.
    Used(Usage),
    /// How `process()` ended; the last message of a worker that serves one job.
    Result(WorkResult),
    /// A worker of a pool waits for its next task.
    Ready {
        /// Why what puts shared state back between tasks did not work: it is to be replaced.
        failure: Option<String>,
    },
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
    /// Its command could not be started.
    NotStarted {
        /// The operating system's error number.
        errno: i32,
    },
}

/// A program that a job is, instead of code of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Program and arguments, as they are; no shell.
    pub argv: Vec<String>,
    /// How the payload reaches it.
    pub payload: PayloadWay,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
}

/// How a payload reaches a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadWay {
    /// Not at all.
    None,
    /// In a new file of mode 0600 at this path; whoever sent the message removes it.
    File(String),
    /// On standard input.
    Stdin,
    /// In the variable [`PAYLOAD_VARIABLE`].
    Environment,
}

/// Holds the payload of a command that wants it in its environment.
pub const PAYLOAD_VARIABLE: &str = "DISPATCHER_PAYLOAD";

/// From a supervisor to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum SupervisorMessage {
    /// Run this.
    Start(Box<Start>),
    /// You belong to a pool: serve one task after another.
    Serve(PoolOrders),
    /// Stop, cooperatively if the job asks [`Context::cancelled`](crate::Context::cancelled).
    Cancel,
}

/// What a worker of a pool must know before its first task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolOrders {
    /// Name of the pool.
    pub pool: String,
    /// By which the program may choose what it serves direct requests with.
    pub mode: String,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// Where it begins; `/` when absent.
    pub working_directory: Option<String>,
    /// Longest payload of a task, in bytes.
    pub max_frame: u64,
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
    /// The program that it is; absent for code of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandLine>,
}
