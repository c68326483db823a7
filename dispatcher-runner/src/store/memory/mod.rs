//! The store of tests and of the simulator: the semantics of the others over ordered maps.
//!
//! Clones share one state, so that several supervisors can work on it. Nothing is durable, and
//! everything is immediately "synced". Counters are counted from the jobs each time, which makes
//! this store the yardstick for those that keep them.

mod attempts;
mod batches;
mod callbacks;
#[cfg(feature = "simulator")]
mod glance;
mod listing;
mod receipts;
mod schedule;
mod state;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dispatcher_core::{JobId, JobState};

#[cfg(feature = "simulator")]
pub(crate) use self::glance::{Glance, Waits};
use self::state::State;
use super::clock::Clock;
use super::{
    BatchRecord, CancelReply, Cancellation, Capture, Claim, ClaimRequest, Claimed, DispatcherRow,
    DispatcherStatus, DueCallback, HandOver, JobFilter, JobRecord, JobSummary, KnownSchedules,
    NewSupervisor, Pause, ProgressNote, Receipt, Record, Recorded, Renewal, Rescued, Retention,
    Serves, Settled, Store, StoreError, Submission, SubmitError, Submitted, SupervisorId,
    SupervisorRow, TickRequest, Ticked, UnixMs,
};

/// Jobs in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    shared: Arc<Mutex<State>>,
    clock: Clock,
}

impl MemoryStore {
    /// An empty store whose clock shows what the caller puts there, in milliseconds since 1970.
    pub(crate) fn with_clock(now: Arc<AtomicI64>) -> Self {
        Self {
            shared: Arc::default(),
            clock: Clock::Given(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug that its own thread has reported.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn submit(&mut self, groups: &[Submission]) -> Vec<Result<Submitted, SubmitError>> {
        let now = self.clock.now();
        let mut state = self.lock();
        groups
            .iter()
            .map(|group| state.submit(group, now))
            .collect()
    }

    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().claim(request, now))
    }

    fn record(&mut self, records: &[Record]) -> Result<Vec<Recorded>, StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        Ok(records
            .iter()
            .map(|record| state.record(record, now))
            .collect())
    }

    fn note_progress(&mut self, notes: &[ProgressNote]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for note in notes {
            state.note_progress(note);
        }
        Ok(())
    }

    fn cancel(&mut self, jobs: &[JobId], by: &str) -> Result<Vec<CancelReply>, StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        Ok(jobs.iter().map(|job| state.cancel(*job, by, now)).collect())
    }

    fn cancellations(&mut self, supervisor: SupervisorId) -> Result<Vec<Cancellation>, StoreError> {
        Ok(self.lock().cancellations(supervisor))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open_supervisor(&mut self, supervisor: &NewSupervisor) -> Result<SupervisorId, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().open_supervisor(supervisor, now))
    }

    fn close_supervisor_if_idle(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let idle = !state.has_unfinished(serves);
        if idle {
            state.close_supervisor(supervisor);
        }
        Ok(idle)
    }

    fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> Result<HandOver, StoreError> {
        Ok(self.lock().hand_over(supervisor, serves, to))
    }

    fn close_supervisor(&mut self, supervisor: SupervisorId) -> Result<(), StoreError> {
        self.lock().close_supervisor(supervisor);
        Ok(())
    }

    fn renew(&mut self, supervisor: SupervisorId, lease: Duration) -> Result<Renewal, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().renew(supervisor, lease, now))
    }

    fn supervisors(&mut self) -> Result<Vec<SupervisorRow>, StoreError> {
        Ok(self.lock().supervisors())
    }

    fn claims_of(&mut self, supervisor: SupervisorId) -> Result<Vec<Claimed>, StoreError> {
        Ok(self.lock().claims_of(supervisor))
    }

    fn rescue(&mut self, dead: SupervisorId) -> Result<Rescued, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().rescue(dead, now))
    }

    fn rescue_expired(&mut self) -> Result<Vec<(SupervisorId, Rescued)>, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().rescue_expired(now))
    }

    fn register(&mut self, dispatchers: &[DispatcherRow]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for row in dispatchers {
            state.upsert(row);
        }
        Ok(())
    }

    fn tick(&mut self, requests: &[TickRequest]) -> Result<Ticked, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().tick(requests, now))
    }

    fn schedules(&mut self) -> Result<KnownSchedules, StoreError> {
        let now = self.clock.now();
        let rows = self.lock().schedule_rows();
        Ok(KnownSchedules { now, rows })
    }

    fn dispatchers(&mut self) -> Result<Vec<DispatcherStatus>, StoreError> {
        Ok(self.lock().dispatchers())
    }

    fn unfinished(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(self.lock().unfinished())
    }

    fn oldest_waiting(&mut self) -> Result<Option<UnixMs>, StoreError> {
        Ok(self.lock().oldest_waiting())
    }

    fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> Result<bool, StoreError> {
        Ok(self.lock().set_paused(dispatcher, pause))
    }

    fn receipt(&mut self, sender: &str, id: &str) -> Result<Option<Receipt>, StoreError> {
        Ok(self.lock().receipts.get(sender, id).cloned())
    }

    fn batch(&mut self, id: &str) -> Result<Option<BatchRecord>, StoreError> {
        let state = self.lock();
        Ok(state.batches.get(id).map(|batch| batch.record.clone()))
    }

    fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().take_callbacks(limit, hold, now))
    }

    fn settle_callback(&mut self, key: i64, settled: Settled) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.lock().settle_callback(key, settled, now);
        Ok(())
    }

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, StoreError> {
        Ok(self.lock().of(job).map(|job| job.state))
    }

    fn job(&mut self, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.lock().of(job).map(listing::record))
    }

    fn find(&mut self, prefix: &str, limit: usize) -> Result<Vec<JobId>, StoreError> {
        Ok(self.lock().find(prefix, limit))
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        Ok(self.lock().list(filter))
    }

    fn capture(&mut self, job: JobId, attempt: u32) -> Result<Option<Capture>, StoreError> {
        Ok(self.lock().of(job).and_then(|job| {
            let attempts = &mut job.attempts.iter();
            attempts
                .find(|one| one.record.attempt == attempt)
                .map(|one| one.capture.clone())
        }))
    }

    fn latest_output(&mut self, dispatcher: &str) -> Result<Option<(JobId, String)>, StoreError> {
        Ok(self.lock().latest_output(dispatcher))
    }

    fn prune(&mut self, retention: &Retention, batch: usize) -> Result<u64, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().prune(retention, batch, now))
    }
}
