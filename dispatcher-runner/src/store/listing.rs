//! What a store tells of jobs and dispatchers: only what is on record, as it was at one instant.

use std::time::Duration;

use dispatcher_core::{Counters, JobId, JobState, Options, Outcome};

use super::{Build, DispatcherRow, SupervisorId, UnixMs};

/// A dispatcher with its counters.
#[derive(Debug, Clone)]
pub(crate) struct DispatcherStatus {
    pub(crate) row: DispatcherRow,
    pub(crate) paused: bool,
    /// Queued, delayed and held ones included.
    pub(crate) waiting: u32,
    pub(crate) running: u32,
    pub(crate) mean_run: Option<Duration>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobFilter {
    pub(crate) state: Option<JobState>,
    pub(crate) dispatcher: Option<String>,
    pub(crate) queue: Option<String>,
    /// Path into the payload (`a.b.0`) and the text or JSON value it must have.
    pub(crate) search: Option<(String, String)>,
    pub(crate) limit: usize,
}

/// A job in a listing.
#[derive(Debug, Clone)]
pub(crate) struct JobSummary {
    pub(crate) id: JobId,
    pub(crate) dispatcher: String,
    pub(crate) queue: String,
    pub(crate) priority: i32,
    pub(crate) state: JobState,
    pub(crate) counters: Counters,
    pub(crate) payload: String,
    pub(crate) origin: String,
    pub(crate) submitted_at: UnixMs,
    /// When it may start; `None` for one held by a duplicate.
    pub(crate) run_at: Option<UnixMs>,
    pub(crate) started_at: Option<UnixMs>,
    pub(crate) ended_at: Option<UnixMs>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) progress: Option<(f64, String)>,
}

/// A job with everything on record.
#[derive(Debug, Clone)]
pub(crate) struct JobRecord {
    pub(crate) summary: JobSummary,
    pub(crate) options: Options,
    pub(crate) identity: String,
    pub(crate) build: Build,
    pub(crate) retry_of: Option<JobId>,
    pub(crate) snoozes: u32,
    pub(crate) lost: u32,
    pub(crate) cancel_requested_by: Option<String>,
    /// Who runs it now, in which slot.
    pub(crate) supervisor: Option<(SupervisorId, u32)>,
    pub(crate) output: Option<String>,
    /// The batch that it belongs to.
    pub(crate) batch: Option<String>,
    /// Oldest first.
    pub(crate) attempts: Vec<AttemptRecord>,
}

/// One attempt on record.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRecord {
    pub(crate) attempt: u32,
    pub(crate) started_at: Option<UnixMs>,
    pub(crate) ended_at: UnixMs,
    pub(crate) run_time: Duration,
    pub(crate) pid: Option<u32>,
    pub(crate) build: String,
    pub(crate) outcome: Outcome,
    /// Last bytes of stderr, at most 2 KiB.
    pub(crate) stderr_end: Vec<u8>,
}
