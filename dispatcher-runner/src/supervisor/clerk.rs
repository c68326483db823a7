//! Between the engine and the store: gathers what the engine asks, and turns answers into events.
//!
//! No I/O but the store that is handed in, so that the simulator runs what a supervisor runs. Ends
//! go before claims in a batch, so a claim sees the freed capacity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::engine::{Assignment, Event, Next, Verdict, WorkerId};
use dispatcher_core::{Cause, JobId, Outcome, Usage};

use crate::store::{
    self, Cancellation, Capture, Claim, ClaimRequest, HandOver, ProgressNote, Record, Serves,
    Store, StoreError, SupervisorId,
};

/// Claims per slot whose end is not on record: running ones, and ends that wait for the store.
const HELD_PER_SLOT_MAX: usize = 8;

/// What a clerk is told at its start.
pub(crate) struct Post {
    pub(crate) supervisor: SupervisorId,
    pub(crate) serves: Serves,
    /// What `concurrency = 0` means here.
    pub(crate) worker_slots: u32,
    /// Build id that stands on every record.
    pub(crate) build: String,
}

pub(crate) struct Clerk {
    post: Post,
    /// The newer supervisor that shall take over.
    heir: Option<SupervisorId>,
    /// Claims whose end is not on record: job and token.
    held: Arc<BTreeSet<(JobId, u64)>>,
    /// Whose end is being recorded.
    recording: BTreeMap<WorkerId, (JobId, u64)>,
    /// A claim may have been granted without an answer.
    doubts: bool,
    next: Batch,
}

/// What the next transaction will ask.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<(WorkerId, Record)>,
    notes: Vec<ProgressNote>,
    claim: Option<ClaimRequest>,
    /// What the supervisor knows that it holds.
    known: Arc<BTreeSet<(JobId, u64)>>,
    /// It may hold more.
    doubts: bool,
    cancellations: Option<SupervisorId>,
    close: Option<Closing>,
}

/// Whose row is to be closed, and how.
struct Closing {
    supervisor: SupervisorId,
    serves: Serves,
    build: String,
    /// What the wall clock showed, in milliseconds since 1970.
    now_ms: i64,
    how: Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    IfIdle,
    /// If this newer one takes over.
    For(SupervisorId),
    Anyway,
}

/// What became of a row that was to be closed.
enum Closed {
    Yes,
    No,
    /// It stays open for these dispatchers only.
    Narrowed(Vec<String>),
}

/// Ends that the store could not take; they are told again.
struct Unrecorded {
    workers: Vec<WorkerId>,
    error: StoreError,
}

/// Whose ends are on record.
type Recorded = Result<Vec<WorkerId>, Unrecorded>;
/// Work, if it was asked for.
type Claimed = Option<Result<Claim, StoreError>>;

/// What the store said.
pub(crate) struct Answer {
    records: Recorded,
    claim: Claimed,
    cancellations: Vec<Cancellation>,
    closed: Option<Result<Closed, StoreError>>,
}

/// What an answer means.
pub(crate) struct Told {
    /// For the engine, in this order.
    pub(crate) events: Vec<Event>,
    /// Whoever sees the row from now on may start another supervisor of this build.
    pub(crate) lets_go: bool,
}

impl Answer {
    /// Dispatchers of the claimed jobs, and how long each was due before.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (&str, Duration)> {
        let jobs = match &self.claim {
            Some(Ok(claim)) => &claim.jobs[..],
            Some(Err(_)) | None => &[],
        };
        jobs.iter().map(|job| (job.dispatcher.as_str(), job.waited))
    }
}

impl Clerk {
    pub(crate) fn new(post: Post) -> Self {
        Self {
            post,
            heir: None,
            held: Arc::default(),
            recording: BTreeMap::new(),
            doubts: false,
            next: Batch::default(),
        }
    }

    pub(crate) fn claim(&mut self, slots: Vec<u32>) {
        self.next.claim = Some(ClaimRequest {
            supervisor: self.post.supervisor,
            serves: self.post.serves.clone(),
            slots,
            worker_slots: self.post.worker_slots,
        });
    }

    pub(crate) fn record(
        &mut self,
        worker: WorkerId,
        verdict: Verdict,
        pid: Option<u32>,
        capture: Capture,
    ) {
        self.recording.insert(worker, (verdict.job, verdict.token));
        let record = Record {
            job: verdict.job,
            token: verdict.token,
            attempt: verdict.attempt,
            started_at: verdict.started_wall_ms,
            ended_at: verdict.ended_wall_ms,
            run_time: verdict.run_time,
            pid,
            build: self.post.build.clone(),
            outcome: verdict.outcome,
            output: verdict.output,
            capture,
            next: next(verdict.next),
        };
        self.next.records.push((worker, record));
    }

    pub(crate) fn note(&mut self, note: ProgressNote) {
        self.next.notes.push(note);
    }

    pub(crate) fn look_for_cancellations(&mut self) {
        self.next.cancellations = Some(self.post.supervisor);
    }

    pub(crate) fn superseded_by(&mut self, heir: SupervisorId) {
        self.heir = Some(heir);
    }

    pub(crate) fn close_if_idle(&mut self, now_ms: i64) {
        self.ask_to_close(Close::IfIdle, now_ms);
    }

    pub(crate) fn hand_over(&mut self, now_ms: i64) {
        let heir = self.heir;
        let heir = heir.expect("invariant: the engine hands over to somebody it was told of");
        self.ask_to_close(Close::For(heir), now_ms);
    }

    pub(crate) fn close(&mut self, now_ms: i64) {
        self.ask_to_close(Close::Anyway, now_ms);
    }

    /// What has gathered, unless there is nothing.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        if self.next.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.next);
        batch.known = Arc::clone(&self.held);
        batch.doubts = self.doubts;
        Some(batch)
    }

    /// Turns an answer into events.
    pub(crate) fn answered(&mut self, answer: Answer) -> Told {
        let mut events = Vec::new();
        match answer.records {
            Ok(recorded) => {
                for worker in recorded {
                    if let Some(claim) = self.recording.remove(&worker) {
                        Arc::make_mut(&mut self.held).remove(&claim);
                    }
                    events.push(Event::Recorded { worker });
                }
            }
            Err(Unrecorded { workers, error }) => {
                tracing::error!(error = %error, advice = error.advice(), "ends were not recorded; tried again");
                events.extend(
                    workers
                        .into_iter()
                        .map(|worker| Event::RecordFailed { worker }),
                );
            }
        }
        for Cancellation { job, token, by } in answer.cancellations {
            events.push(Event::CancelRequested { job, token, by });
        }
        match answer.claim {
            None => {}
            Some(Ok(claim)) => {
                self.doubts = false;
                self.hold(&claim);
                events.push(claimed(claim));
            }
            Some(Err(error)) => {
                self.doubts = true;
                tracing::error!(error = %error, advice = error.advice(), "no work could be claimed");
                events.push(Event::ClaimFailed);
            }
        }
        let mut lets_go = false;
        if let Some(closed) = answer.closed {
            let closed = closed.unwrap_or_else(|error| {
                tracing::error!(error = %error, advice = error.advice(), "the row could not be closed");
                Closed::No
            });
            lets_go = !matches!(closed, Closed::No);
            let closed = self.closed(closed);
            events.push(Event::CloseAnswered { closed });
        }
        Told { events, lets_go }
    }

    /// # Panics
    /// When what is held is never recorded: that would grow for months.
    fn hold(&mut self, claim: &Claim) {
        let jobs = claim.jobs.iter();
        let held = Arc::make_mut(&mut self.held);
        held.extend(jobs.map(|job| (job.job, job.counters.token)));
        let most = HELD_PER_SLOT_MAX * self.post.worker_slots as usize;
        assert!(
            held.len() <= most,
            "invariant: the engine bounds what is claimed and not recorded: {} of {most}",
            held.len()
        );
    }

    fn ask_to_close(&mut self, how: Close, now_ms: i64) {
        self.next.close = Some(Closing {
            supervisor: self.post.supervisor,
            serves: self.post.serves.clone(),
            build: self.post.build.clone(),
            now_ms,
            how,
        });
    }

    /// Whether the row is closed.
    fn closed(&mut self, closed: Closed) -> bool {
        match closed {
            Closed::No => {
                self.heir = None;
                false
            }
            Closed::Yes => {
                let heir = self.heir.map(|newer| newer.0);
                tracing::info!(heir, "supervisor takes nothing new");
                true
            }
            Closed::Narrowed(names) => {
                if names.len() < self.post.serves.dispatchers.len() {
                    tracing::info!(?names, "a newer build serves the other dispatchers");
                }
                self.post.serves.dispatchers = names;
                false
            }
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.notes.is_empty()
            && self.claim.is_none()
            && self.cancellations.is_none()
            && self.close.is_none()
    }

    /// Asks the store.
    pub(crate) fn perform(self, store: &mut dyn Store) -> Answer {
        let mut claims = Claims {
            request: self.claim,
            known: &self.known,
            doubts: self.doubts,
        };
        let (records, claim) = claims.after(self.records, store);
        let doubts = match &claim {
            Some(claim) => claim.is_err(),
            None => claims.doubts,
        };
        if !self.notes.is_empty()
            && let Err(error) = store.note_progress(&self.notes)
        {
            tracing::warn!(%error, "progress was not noted");
        }
        let cancellations = self.cancellations.map(|supervisor| {
            store.cancellations(supervisor).unwrap_or_else(|error| {
                tracing::error!(%error, "cancellations cannot be read; asked again at the next wake-up");
                Vec::new()
            })
        });
        Answer {
            records,
            claim,
            cancellations: cancellations.unwrap_or_default(),
            closed: self
                .close
                .map(|closing| closing.perform(doubts.then_some(&self.known), store)),
        }
    }
}

impl Closing {
    /// With doubts, what may be held besides the known claims is given back first: nobody would
    /// ever run it under a closed row.
    fn perform(
        self,
        doubts: Option<&BTreeSet<(JobId, u64)>>,
        store: &mut dyn Store,
    ) -> Result<Closed, StoreError> {
        if let Some(known) = doubts {
            self.give_back(known, store)?;
        }
        Ok(match self.how {
            Close::IfIdle => match store.close_supervisor_if_idle(self.supervisor, &self.serves)? {
                true => Closed::Yes,
                false => Closed::No,
            },
            Close::For(newer) => match store.hand_over(self.supervisor, &self.serves, newer)? {
                HandOver::Closed => Closed::Yes,
                HandOver::Refused => Closed::No,
                HandOver::Narrowed(names) => Closed::Narrowed(names),
            },
            Close::Anyway => {
                store.close_supervisor(self.supervisor)?;
                Closed::Yes
            }
        })
    }

    fn give_back(
        &self,
        known: &BTreeSet<(JobId, u64)>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let unknown = unknown(known, self.supervisor, store)?;
        if unknown.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            jobs = unknown.len(),
            "claims without an answer are given back"
        );
        let released = unknown.into_iter().map(|job| self.released(&job));
        store.record(&released.collect::<Vec<_>>()).map(drop)
    }

    /// An attempt that never began.
    fn released(&self, job: &store::Claimed) -> Record {
        Record {
            job: job.job,
            token: job.counters.token,
            attempt: job.counters.attempt,
            started_at: None,
            ended_at: self.now_ms,
            run_time: Duration::ZERO,
            pid: None,
            build: self.build.clone(),
            outcome: Outcome {
                cause: Cause::Shutdown,
                exit_status: None,
                unclean_exit: false,
                leaked_output: false,
                left_processes: 0,
                usage: Usage::default(),
            },
            output: None,
            capture: Capture::default(),
            next: store::Next::Release,
        }
    }
}

/// A request for work of a supervisor that may hold more than it knows.
struct Claims<'a> {
    request: Option<ClaimRequest>,
    known: &'a BTreeSet<(JobId, u64)>,
    doubts: bool,
}

impl Claims<'_> {
    /// Records, then claims: in one transaction where that works; otherwise neither must fail for
    /// the other's reason.
    fn after(
        &mut self,
        records: Vec<(WorkerId, Record)>,
        store: &mut dyn Store,
    ) -> (Recorded, Claimed) {
        let (workers, records): (Vec<WorkerId>, Vec<Record>) = records.into_iter().unzip();
        if records.is_empty() {
            return (Ok(workers), self.claim(store));
        }
        if let Some(request) = self.request.as_ref().filter(|_| !self.doubts) {
            match store.record_and_claim(&records, request) {
                Ok((_, claim)) => return (Ok(workers), Some(Ok(claim))),
                Err(_) => self.doubts = true,
            }
        }
        let recorded = match store.record(&records) {
            // A stale token changes nothing, and somebody else answers for the job then.
            Ok(_) => Ok(workers),
            Err(error) => Err(Unrecorded { workers, error }),
        };
        (recorded, self.claim(store))
    }

    /// A claim that failed may have been granted: whatever it gave is taken up first, because its
    /// slots are offered again.
    fn claim(&self, store: &mut dyn Store) -> Claimed {
        let request = self.request.as_ref()?;
        if !self.doubts {
            return Some(store.claim(request));
        }
        let jobs = match unknown(self.known, request.supervisor, store) {
            Ok(jobs) => jobs,
            Err(error) => return Some(Err(error)),
        };
        if jobs.is_empty() {
            return Some(store.claim(request));
        }
        tracing::warn!(jobs = jobs.len(), "claims without an answer are taken up");
        Some(Ok(Claim {
            jobs,
            next_due: Some(Duration::ZERO),
        }))
    }
}

/// What the store says that the supervisor holds, and it does not know of.
fn unknown(
    known: &BTreeSet<(JobId, u64)>,
    supervisor: SupervisorId,
    store: &mut dyn Store,
) -> Result<Vec<store::Claimed>, StoreError> {
    let held = store.claims_of(supervisor)?.into_iter();
    let unknown = held.filter(|job| !known.contains(&(job.job, job.counters.token)));
    Ok(unknown.collect())
}

fn claimed(claim: Claim) -> Event {
    let jobs = claim
        .jobs
        .into_iter()
        .map(|job| Assignment {
            job: job.job,
            slot: job.slot,
            dispatcher: job.dispatcher,
            payload: Arc::from(job.payload),
            options: Arc::new(job.options),
            counters: job.counters,
            snoozes: job.snoozes,
        })
        .collect();
    Event::Claimed {
        jobs,
        next_due: claim.next_due,
    }
}

fn next(next: Next) -> store::Next {
    match next {
        Next::Succeed => store::Next::Succeed,
        Next::Fail => store::Next::Fail,
        Next::Cancel => store::Next::Cancel,
        Next::Retry { after } => store::Next::Retry { after },
        Next::Snooze { after } => store::Next::Snooze { after },
        Next::Release => store::Next::Release,
        Next::Lost { on_lost } => store::Next::Lost { on_lost },
    }
}
