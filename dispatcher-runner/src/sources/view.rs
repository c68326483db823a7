//! What a source may see of its service and its jobs.
//!
//! Values only: whoever looks changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use dispatcher_core::{JobId, JobState};

use super::SourceState;

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedJob {
    /// The job.
    pub id: JobId,
    /// Name of its dispatcher.
    pub dispatcher: String,
    /// Queued or running.
    pub state: JobState,
    /// What it waits for, if it is queued.
    pub wait: JobWait,
    /// JSON. Fields that are declared secret are not masked here.
    pub payload: String,
    /// Who sent it.
    pub origin: String,
}

/// What a queued job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobWait {
    /// For a worker.
    Worker,
    /// For the end of a job of the same identity.
    Duplicate,
    /// For its time.
    Time,
}

/// What a service does now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServiceView {
    /// Workers that live.
    pub workers: Vec<WorkerView>,
    /// Jobs that ended here.
    pub ended: u64,
    /// Those of them that were cancelled.
    pub cancelled: u64,
    /// Workers of pools that were replaced.
    pub retired: u64,
    /// Sources that have a section.
    pub sources: Vec<SourceState>,
    /// Where metrics are told, as it is configured.
    pub metrics: Option<SocketAddr>,
}

/// A worker that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerView {
    /// Its number among the workers of this service.
    pub id: u32,
    /// Its process, once it is started.
    pub pid: Option<u32>,
    /// `starting`, `ready`, `working` or `stopping`.
    pub state: &'static str,
    /// The job that it serves.
    pub job: Option<JobId>,
    /// Tasks that it has served.
    pub served: u64,
    /// Since it was started.
    pub age: Duration,
}
