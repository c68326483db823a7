//! The control socket: what a command asks a running service, and what it answers.
//!
//! A stream socket named [`NAME`] in the supervisor's directory, mode 0600, for the same user and
//! root. Each side writes lines of JSON; every line has `version`, and one of another version is
//! refused. A request is at most [`REQUEST_BYTES_MAX`] long and must arrive whole in time.
//!
//! | request | answer |
//! |---|---|
//! | `{"version":1,"ask":"look"}` | `{"version":1,"answer":"seen",…}`, see [`Seen`] |
//! | `{"version":1,"ask":"reset","pool":"php"}` (`null`: all) | `{"version":1,"answer":"done"}` once the new workers serve |
//! | `{"version":1,"ask":"stop","now":false}` | `{"version":1,"answer":"done"}` at once; it then drains |
//! | `{"version":1,"ask":"metrics"}` | `{"version":1,"answer":"metrics","text":"…"}` |
//! | anything else, or what cannot be done | `{"version":1,"answer":"refused","why":"…"}` |
//!
//! A connection may ask again after each answer. The shapes are for this program's own commands:
//! they stay as they are within a version, and programs should read the commands' `--json`.

mod board;
mod client;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use dispatcher_core::JobId;
use serde::{Deserialize, Serialize};

pub(crate) use board::{Board, ResetSources};
#[cfg(feature = "service")]
pub(crate) use board::{LOOK_TIMEOUT, Unseen};
pub(crate) use client::{ControlError, ask, has_socket};
pub(crate) use server::{Hatch, bind, serve};

/// Version of the conversation.
const VERSION: u32 = 1;
/// Name of the socket in the supervisor's directory.
const NAME: &str = "control.sock";
/// Longest request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Longest answer that a client reads: thousands of workers.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A line, either way.
#[derive(Debug, Serialize, Deserialize)]
struct Line<T> {
    version: u32,
    #[serde(flatten)]
    body: T,
}

/// What a service is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Request {
    /// What it does now.
    Look,
    /// New workers for one pool, or for all.
    Reset { pool: Option<String> },
    /// It shall end.
    Stop { now: bool },
    /// Everything that it counts.
    Metrics,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    Seen(Box<Seen>),
    Done,
    Metrics { text: String },
    Refused { why: String },
}

/// What a service does now. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    pub(crate) program: String,
    pub(crate) build: String,
    /// Whether it takes work; otherwise it drains.
    pub(crate) serving: bool,
    /// Jobs that may run at once.
    pub(crate) slots: u32,
    /// Labels that it claims; none is all.
    pub(crate) queues: Vec<String>,
    pub(crate) pools: Vec<PoolSeen>,
    pub(crate) workers: Vec<WorkerSeen>,
    pub(crate) sources: Vec<SourceSeen>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolSeen {
    pub(crate) name: String,
    /// Tasks without a worker.
    pub(crate) waiting: u64,
    /// Tasks in workers.
    pub(crate) running: u64,
    /// Why it is degraded.
    pub(crate) degraded: Option<String>,
    /// Workers that were replaced, by reason.
    pub(crate) restarts: BTreeMap<String, u64>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerSeen {
    /// `null` for one that serves one job only.
    pub(crate) pool: Option<String>,
    pub(crate) pid: Option<u32>,
    /// `starting`, `ready`, `working`, `stopping`.
    pub(crate) state: String,
    pub(crate) job: Option<JobSeen>,
    /// Tasks that it has served.
    pub(crate) served: u64,
    pub(crate) age_ms: u64,
    /// Since its last task ended.
    pub(crate) idle_ms: Option<u64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) cpu_ms: Option<u64>,
}

/// The job of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobSeen {
    pub(crate) id: JobId,
    pub(crate) dispatcher: String,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceSeen {
    pub(crate) name: String,
    /// Why it does not run.
    pub(crate) unhealthy: Option<String>,
    pub(crate) counters: BTreeMap<String, u64>,
}

/// A socket's path may have 108 bytes (`unix(7)`); a path through an open directory has few.
fn short(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))
}
