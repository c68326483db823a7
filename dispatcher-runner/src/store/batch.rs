//! Batches: jobs that came together, and the one that follows when all of them have ended.
//!
//! A batch belongs to the jobs that were stored for it: a duplicate stays what it was. Its counts
//! change in the transaction that ends a job, and the last end stores the job that follows, so that
//! it comes exactly once, whoever dies.

use dispatcher_core::{JobId, JobState};

use super::{NewJob, UnixMs};

/// Makes a batch of the group of jobs with which it comes.
#[derive(Debug, Clone)]
pub(crate) struct NewBatch {
    /// Its name, which no other has.
    pub(crate) id: String,
    /// Stored when every job has ended, whatever its end; a full queue does not refuse it. The row
    /// of its dispatcher comes with the group.
    pub(crate) on_finished: Option<NewJob>,
}

/// A batch with everything on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRecord {
    pub(crate) id: String,
    pub(crate) counts: BatchCounts,
    pub(crate) created_at: UnixMs,
    /// When its last job ended.
    pub(crate) finished_at: Option<UnixMs>,
    /// Its jobs in their order; finished ones may have been pruned.
    pub(crate) jobs: Vec<JobId>,
    /// The job that follows, which is stored once the batch has finished.
    pub(crate) on_finished: Option<JobId>,
}

/// How far the jobs of a batch have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BatchCounts {
    pub(crate) total: u32,
    /// Those that have not ended.
    pub(crate) pending: u32,
    pub(crate) failed: u32,
    pub(crate) cancelled: u32,
}

impl BatchCounts {
    pub(super) fn of(total: usize) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        Self {
            total,
            pending: total,
            failed: 0,
            cancelled: 0,
        }
    }

    /// One job has ended.
    pub(super) fn end(&mut self, state: JobState) {
        let (failed, cancelled) = end_of(state);
        self.pending = self.pending.saturating_sub(1);
        self.failed += failed;
        self.cancelled += cancelled;
    }
}

/// What an end adds to the counts of failed and of cancelled jobs.
pub(super) fn end_of(state: JobState) -> (u32, u32) {
    match state {
        JobState::Failed => (1, 0),
        JobState::Cancelled => (0, 1),
        JobState::Succeeded | JobState::Queued | JobState::Running => (0, 0),
    }
}
