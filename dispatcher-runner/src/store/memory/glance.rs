//! What the simulator sees of every row after each operation, without a copy of what is long.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dispatcher_core::{Counters, JobId, JobState};

use super::MemoryStore;
use super::state::WaitsFor;
use crate::store::{SupervisorId, UnixMs};

/// A job's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) dispatcher: String,
    pub(crate) state: JobState,
    pub(crate) counters: Counters,
    pub(crate) lost: u32,
    pub(crate) waits: Waits,
    pub(crate) run_at: UnixMs,
    pub(crate) seq: i64,
    pub(crate) priority: i32,
    pub(crate) retries: u32,
    pub(crate) build: i64,
    pub(crate) holder: Option<(SupervisorId, u32)>,
    pub(crate) cancel_requested: bool,
    /// What makes it a duplicate of others; `None` when nobody looks for that.
    pub(crate) identity: Option<String>,
    /// Attempts on record.
    pub(crate) attempts: usize,
}

/// What keeps a queued job from being claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    Nothing,
    DueTime,
    Duplicate,
}

impl MemoryStore {
    /// Every row.
    pub(crate) fn glance(&self) -> BTreeMap<JobId, Glance> {
        let state = self.lock();
        let rows = state.jobs.values().map(|job| {
            let glance = Glance {
                dispatcher: job.new.dispatcher.clone(),
                state: job.state,
                counters: job.counters,
                lost: job.lost,
                waits: match job.waits_for {
                    WaitsFor::Nothing => Waits::Nothing,
                    WaitsFor::DueTime => Waits::DueTime,
                    WaitsFor::Duplicate => Waits::Duplicate,
                },
                run_at: job.run_at,
                seq: job.seq,
                priority: job.new.options.priority,
                retries: job.new.options.retries,
                build: job.new.build.modified_ns,
                holder: job.supervisor,
                cancel_requested: job.cancel_by.is_some(),
                identity: job.identity().map(Cow::into_owned),
                attempts: job.attempts.len(),
            };
            (job.new.id, glance)
        });
        rows.collect()
    }

    /// Names of paused dispatchers.
    pub(crate) fn paused(&self) -> Vec<String> {
        let state = self.lock();
        let rows = state.dispatchers.iter();
        rows.filter(|(_, row)| row.paused)
            .map(|(name, _)| name.clone())
            .collect()
    }
}
