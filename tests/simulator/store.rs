//! The memory store behind a layer of faults, watched by the invariants of single operations.
//!
//! A fault says no before the operation, says no after it (the commit was applied, the answer is
//! lost), or shortens a claim. Every operation that may change something is looked at afterwards.

use std::path::PathBuf;
use std::time::Duration;

use dispatcher_core::{JobId, JobState};

use crate::store::{
    BatchRecord, CancelReply, Cancellation, Capture, Claim, ClaimRequest, Claimed, DispatcherRow,
    DispatcherStatus, DueCallback, HandOver, JobFilter, JobRecord, JobSummary, KnownSchedules,
    MemoryStore, NewSupervisor, Pause, ProgressNote, Receipt, Record, Recorded, Renewal, Rescued,
    Retention, Serves, Settled, Store, StoreError, Submission, SubmitError, Submitted,
    SupervisorId, SupervisorRow, TickRequest, Ticked, UnixMs,
};

use super::coverage::Coverage;
use super::dice::Dice;
use super::faults::{Fault, Faults};
use super::ledger::{Ledger, Operation};

/// One caller's view of the store, for the length of one call.
pub(super) struct FaultyStore<'a> {
    pub(super) inner: MemoryStore,
    pub(super) now: UnixMs,
    pub(super) faults: &'a Faults,
    pub(super) dice: &'a mut Dice,
    pub(super) coverage: &'a mut Coverage,
    pub(super) ledger: &'a mut Ledger,
    /// Nothing gets through.
    pub(super) cut_off: bool,
}

impl FaultyStore<'_> {
    fn strikes(&mut self, fault: Fault) -> bool {
        self.faults.strikes(fault, self.dice, self.coverage)
    }

    /// A fault that comes before the operation.
    fn refused(&mut self) -> Option<StoreError> {
        if self.cut_off || self.strikes(Fault::StoreUnavailable) {
            return Some(unavailable());
        }
        self.strikes(Fault::StoreConflict).then(conflict)
    }

    /// A fault that comes after it.
    fn answer<T>(&mut self, answer: T) -> Result<T, StoreError> {
        if self.strikes(Fault::AnswerLost) {
            return Err(unavailable());
        }
        Ok(answer)
    }

    fn look(&mut self, operation: &Operation<'_>) {
        let rows = self.inner.glance();
        self.ledger.look(operation, rows, self.now, self.coverage);
    }
}

fn unavailable() -> StoreError {
    StoreError::Busy {
        path: PathBuf::from("memory"),
        waited: Duration::from_secs(10),
    }
}

fn conflict() -> StoreError {
    StoreError::Database {
        path: PathBuf::from("memory"),
        detail: "a made-up conflict".into(),
    }
}

impl Store for FaultyStore<'_> {
    fn submit(&mut self, groups: &[Submission]) -> Vec<Result<Submitted, SubmitError>> {
        if let Some(error) = self.refused() {
            let text = error.to_string();
            let refuse = |_: &Submission| {
                Err(SubmitError::Store(StoreError::Database {
                    path: PathBuf::from("memory"),
                    detail: text.clone(),
                }))
            };
            return groups.iter().map(refuse).collect();
        }
        let answers: Vec<_> = groups
            .iter()
            .map(|group| {
                let answers = self.inner.submit(std::slice::from_ref(group));
                let answer = answers.into_iter().next();
                let answer = answer.expect("invariant: one answer for each group");
                self.look(&Operation::Submit(group, &answer));
                answer
            })
            .collect();
        if self.strikes(Fault::AnswerLost) {
            self.ledger.forget_acknowledgements(groups);
            let lost = |_| Err(SubmitError::Store(unavailable()));
            return answers.into_iter().map(lost).collect();
        }
        answers
    }

    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let mut request = request.clone();
        if request.slots.len() > 1 && self.strikes(Fault::ClaimFewer) {
            request.slots.truncate(1);
        }
        let paused = self.inner.paused();
        let claim = self.inner.claim(&request)?;
        self.look(&Operation::Claim(&request, &claim, &paused));
        self.answer(claim)
    }

    fn record(&mut self, records: &[Record]) -> Result<Vec<Recorded>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let mut answers = Vec::new();
        // One by one, so that each can be looked at; nobody else comes between.
        for record in records {
            let recorded = self.inner.record(std::slice::from_ref(record))?;
            for answer in &recorded {
                self.look(&Operation::Record(record, *answer));
            }
            answers.extend(recorded);
        }
        self.answer(answers)
    }

    fn note_progress(&mut self, notes: &[ProgressNote]) -> Result<(), StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        self.inner.note_progress(notes)?;
        self.look(&Operation::Other);
        self.answer(())
    }

    fn cancel(&mut self, jobs: &[JobId], by: &str) -> Result<Vec<CancelReply>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let replies = self.inner.cancel(jobs, by)?;
        self.look(&Operation::Cancel(jobs, &replies));
        self.answer(replies)
    }

    fn cancellations(&mut self, supervisor: SupervisorId) -> Result<Vec<Cancellation>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        self.inner.cancellations(supervisor)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn open_supervisor(&mut self, supervisor: &NewSupervisor) -> Result<SupervisorId, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let id = self.inner.open_supervisor(supervisor)?;
        self.answer(id)
    }

    fn close_supervisor_if_idle(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
    ) -> Result<bool, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let closed = self.inner.close_supervisor_if_idle(supervisor, serves)?;
        self.look(&Operation::CloseIfIdle(serves, closed));
        self.answer(closed)
    }

    fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> Result<HandOver, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let answer = self.inner.hand_over(supervisor, serves, to)?;
        self.look(&Operation::Other);
        self.answer(answer)
    }

    fn close_supervisor(&mut self, supervisor: SupervisorId) -> Result<(), StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        self.inner.close_supervisor(supervisor)?;
        self.look(&Operation::Other);
        self.answer(())
    }

    fn supervisors(&mut self) -> Result<Vec<SupervisorRow>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        self.inner.supervisors()
    }

    fn claims_of(&mut self, supervisor: SupervisorId) -> Result<Vec<Claimed>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        self.inner.claims_of(supervisor)
    }

    fn rescue(&mut self, dead: SupervisorId) -> Result<Rescued, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let rescued = self.inner.rescue(dead)?;
        self.look(&Operation::Rescue(&[dead]));
        self.answer(rescued)
    }

    fn renew(&mut self, supervisor: SupervisorId, lease: Duration) -> Result<Renewal, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let renewal = self.inner.renew(supervisor, lease)?;
        self.answer(renewal)
    }

    fn rescue_expired(&mut self) -> Result<Vec<(SupervisorId, Rescued)>, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let rescued = self.inner.rescue_expired()?;
        let dead: Vec<SupervisorId> = rescued.iter().map(|(dead, _)| *dead).collect();
        self.look(&Operation::Rescue(&dead));
        self.answer(rescued)
    }

    fn register(&mut self, dispatchers: &[DispatcherRow]) -> Result<(), StoreError> {
        self.inner.register(dispatchers)
    }

    fn tick(&mut self, requests: &[TickRequest]) -> Result<Ticked, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let ticked = self.inner.tick(requests)?;
        self.look(&Operation::Tick(requests, &ticked));
        self.answer(ticked)
    }

    fn schedules(&mut self) -> Result<KnownSchedules, StoreError> {
        self.inner.schedules()
    }

    fn dispatchers(&mut self) -> Result<Vec<DispatcherStatus>, StoreError> {
        self.inner.dispatchers()
    }

    fn unfinished(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.unfinished()
    }

    fn oldest_waiting(&mut self) -> Result<Option<UnixMs>, StoreError> {
        self.inner.oldest_waiting()
    }

    fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> Result<bool, StoreError> {
        let known = self.inner.set_paused(dispatcher, pause)?;
        self.look(&Operation::Other);
        Ok(known)
    }

    fn receipt(&mut self, sender: &str, id: &str) -> Result<Option<Receipt>, StoreError> {
        self.inner.receipt(sender, id)
    }

    fn batch(&mut self, id: &str) -> Result<Option<BatchRecord>, StoreError> {
        self.inner.batch(id)
    }

    fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, StoreError> {
        self.inner.take_callbacks(limit, hold)
    }

    fn settle_callback(&mut self, key: i64, settled: Settled) -> Result<(), StoreError> {
        self.inner.settle_callback(key, settled)
    }

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, StoreError> {
        self.inner.state(job)
    }

    fn job(&mut self, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.inner.job(job)
    }

    fn find(&mut self, prefix: &str, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.inner.find(prefix, limit)
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        self.inner.jobs(filter)
    }

    fn capture(&mut self, job: JobId, attempt: u32) -> Result<Option<Capture>, StoreError> {
        self.inner.capture(job, attempt)
    }

    fn latest_output(&mut self, dispatcher: &str) -> Result<Option<(JobId, String)>, StoreError> {
        self.inner.latest_output(dispatcher)
    }

    fn prune(&mut self, retention: &Retention, batch: usize) -> Result<u64, StoreError> {
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let pruned = self.inner.prune(retention, batch)?;
        self.look(&Operation::Prune);
        self.answer(pruned)
    }
}
