//! Between the engine and the store: gathers what the engine asks, and turns answers into events.
//!
//! No I/O but the store that is handed in, so that the simulator runs what a supervisor runs. Ends
//! go before claims in a batch, so a claim sees the freed capacity.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::engine::{Assignment, AttemptId, Event, Lane, LinkKind, Next, Verdict};
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
    pub(crate) lanes: BTreeMap<Lane, LanePost>,
    /// Dispatchers whose jobs are plain commands.
    pub(crate) commands: BTreeSet<String>,
    /// Build id that stands on every record.
    pub(crate) build: String,
}

/// What is claimed for one lane.
#[derive(Debug, Clone)]
pub(crate) struct LanePost {
    pub(crate) serves: Serves,
    /// What `concurrency = 0` means here.
    pub(crate) worker_slots: u32,
    /// The one slot of a pool.
    pub(crate) pool_slot: Option<u32>,
}

pub(crate) struct Clerk {
    post: Post,
    /// The newer supervisor that shall take over.
    heir: Option<SupervisorId>,
    /// Claims whose end is not on record: job and token.
    held: Arc<BTreeSet<(JobId, u64)>>,
    /// Whose end is being recorded.
    recording: BTreeMap<AttemptId, (JobId, u64)>,
    /// Lanes for which a claim may have been granted without an answer.
    doubts: BTreeSet<Lane>,
    next: Batch,
}

/// What the next transaction will ask.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<(AttemptId, Record)>,
    notes: Vec<ProgressNote>,
    claims: BTreeMap<Lane, LaneClaim>,
    /// What the supervisor knows that it holds.
    known: Arc<BTreeSet<(JobId, u64)>>,
    /// Lanes for which it may hold more.
    doubts: BTreeSet<Lane>,
    cancellations: Option<SupervisorId>,
    close: Option<Closing>,
}

/// What one lane asks for.
struct LaneClaim {
    request: ClaimRequest,
    pool_slot: Option<u32>,
    /// Slots of all pools: a job in another one is of the lane without pool.
    pool_slots: Vec<u32>,
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
    attempts: Vec<AttemptId>,
    error: StoreError,
}

/// Whose ends are on record.
type Recorded = Result<Vec<AttemptId>, Unrecorded>;
/// Work, for each lane that asked.
type Claimed = Vec<(Lane, Result<Claim, StoreError>)>;

/// What the store said.
pub(crate) struct Answer {
    records: Recorded,
    claims: Claimed,
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
        let claims = self
            .claims
            .iter()
            .filter_map(|(_, claim)| claim.as_ref().ok());
        let jobs = claims.flat_map(|claim| &claim.jobs);
        jobs.map(|job| (job.dispatcher.as_str(), job.waited))
    }
}

impl Clerk {
    pub(crate) fn new(post: Post) -> Self {
        Self {
            post,
            heir: None,
            held: Arc::default(),
            recording: BTreeMap::new(),
            doubts: BTreeSet::new(),
            next: Batch::default(),
        }
    }

    pub(crate) fn claim(&mut self, lane: Lane, slots: Vec<u32>) {
        let lanes = self.post.lanes.values();
        let pool_slots = lanes.filter_map(|lane| lane.pool_slot).collect();
        let post = self.post.lanes.get(&lane);
        let post = post.expect("invariant: the engine claims for lanes that it was told of");
        let claim = LaneClaim {
            request: ClaimRequest {
                supervisor: self.post.supervisor,
                serves: post.serves.clone(),
                slots,
                worker_slots: post.worker_slots,
            },
            pool_slot: post.pool_slot,
            pool_slots,
        };
        self.next.claims.insert(lane, claim);
    }

    pub(crate) fn record(
        &mut self,
        attempt: AttemptId,
        verdict: Verdict,
        pid: Option<u32>,
        capture: Capture,
    ) {
        self.recording.insert(attempt, (verdict.job, verdict.token));
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
        self.next.records.push((attempt, record));
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
        batch.doubts = self.doubts.clone();
        Some(batch)
    }

    /// Turns an answer into events.
    pub(crate) fn answered(&mut self, answer: Answer) -> Told {
        let mut events = Vec::new();
        match answer.records {
            Ok(recorded) => {
                for attempt in recorded {
                    if let Some(claim) = self.recording.remove(&attempt) {
                        Arc::make_mut(&mut self.held).remove(&claim);
                    }
                    events.push(Event::Recorded { attempt });
                }
            }
            Err(Unrecorded { attempts, error }) => {
                tracing::error!(error = %error, advice = error.advice(), "ends were not recorded; tried again");
                events.extend(
                    attempts
                        .into_iter()
                        .map(|attempt| Event::RecordFailed { attempt }),
                );
            }
        }
        for Cancellation { job, token, by } in answer.cancellations {
            events.push(Event::CancelRequested { job, token, by });
        }
        for (lane, claim) in answer.claims {
            match claim {
                Ok(claim) => {
                    self.doubts.remove(&lane);
                    self.hold(&claim);
                    events.push(self.claimed(lane, claim));
                }
                Err(error) => {
                    self.doubts.insert(lane);
                    tracing::error!(error = %error, advice = error.advice(), "no work could be claimed");
                    events.push(Event::ClaimFailed { lane });
                }
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
        Arc::make_mut(&mut self.held).extend(names(claim));
        let slots = self.post.lanes.values().map(|lane| lane.worker_slots);
        let most = HELD_PER_SLOT_MAX * slots.sum::<u32>() as usize;
        assert!(
            self.held.len() <= most,
            "invariant: the engine bounds what is claimed and not recorded: {} of {most}",
            self.held.len()
        );
    }

    fn ask_to_close(&mut self, how: Close, now_ms: i64) {
        self.next.close = Some(Closing {
            supervisor: self.post.supervisor,
            serves: self.serves(),
            build: self.post.build.clone(),
            now_ms,
            how,
        });
    }

    /// Everything that it serves, in whichever lane.
    fn serves(&self) -> Serves {
        let lanes = self.post.lanes.values();
        let names = lanes.clone().flat_map(|lane| &lane.serves.dispatchers);
        let mut dispatchers: Vec<String> = names.cloned().collect();
        dispatchers.sort_unstable();
        let mut queues = lanes.map(|lane| lane.serves.queues.clone());
        Serves {
            dispatchers,
            queues: queues.next().unwrap_or_default(),
        }
    }

    fn claimed(&self, lane: Lane, claim: Claim) -> Event {
        let assigned = |job: store::Claimed| Assignment {
            link: if self.post.commands.contains(&job.dispatcher) {
                LinkKind::ExitStatus
            } else {
                LinkKind::Framed
            },
            job: job.job,
            slot: job.slot,
            dispatcher: job.dispatcher,
            payload: Arc::from(job.payload),
            options: Arc::new(job.options),
            counters: job.counters,
            snoozes: job.snoozes,
        };
        Event::Claimed {
            lane,
            jobs: claim.jobs.into_iter().map(assigned).collect(),
            next_due: claim.next_due,
        }
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
                if names.len() < self.serves().dispatchers.len() {
                    tracing::info!(?names, "a newer build serves the other dispatchers");
                }
                for lane in self.post.lanes.values_mut() {
                    lane.serves.dispatchers.retain(|name| names.contains(name));
                }
                false
            }
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.notes.is_empty()
            && self.claims.is_empty()
            && self.cancellations.is_none()
            && self.close.is_none()
    }

    /// Asks the store.
    pub(crate) fn perform(self, store: &mut dyn Store) -> Answer {
        let mut claims = Claims {
            lanes: self.claims,
            known: &self.known,
            doubts: self.doubts,
        };
        let (records, claimed) = claims.after(self.records, store);
        let mut doubts = claims.doubts;
        for (lane, claim) in &claimed {
            if claim.is_err() {
                doubts.insert(*lane);
            } else {
                doubts.remove(lane);
            }
        }
        let doubts = !doubts.is_empty();
        let mut known = self.known;
        if doubts && self.close.is_some() {
            // What one lane was given just now is not given back for another's doubts.
            let given = claimed.iter().filter_map(|(_, claim)| claim.as_ref().ok());
            Arc::make_mut(&mut known).extend(given.flat_map(names));
        }
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
            claims: claimed,
            cancellations: cancellations.unwrap_or_default(),
            closed: self
                .close
                .map(|closing| closing.perform(doubts.then_some(&known), store)),
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

/// Requests for work of a supervisor that may hold more than it knows.
struct Claims<'a> {
    lanes: BTreeMap<Lane, LaneClaim>,
    known: &'a BTreeSet<(JobId, u64)>,
    doubts: BTreeSet<Lane>,
}

impl Claims<'_> {
    /// Records, then claims: in one transaction where that works; otherwise neither must fail for
    /// the other's reason.
    fn after(
        &mut self,
        records: Vec<(AttemptId, Record)>,
        store: &mut dyn Store,
    ) -> (Recorded, Claimed) {
        let (attempts, records): (Vec<AttemptId>, Vec<Record>) = records.into_iter().unzip();
        if records.is_empty() {
            return (Ok(attempts), self.claims(None, store));
        }
        let mut lanes = self.lanes.iter();
        if let Some((&lane, claim)) = lanes.find(|(lane, _)| !self.doubts.contains(lane)) {
            match store.record_and_claim(&records, &claim.request) {
                Ok((_, claim)) => {
                    let mut claims = self.claims(Some(lane), store);
                    claims.push((lane, Ok(claim)));
                    return (Ok(attempts), claims);
                }
                Err(_) => drop(self.doubts.insert(lane)),
            }
        }
        let recorded = match store.record(&records) {
            // A stale token changes nothing, and somebody else answers for the job then.
            Ok(_) => Ok(attempts),
            Err(error) => Err(Unrecorded { attempts, error }),
        };
        (recorded, self.claims(None, store))
    }

    fn claims(&self, but: Option<Lane>, store: &mut dyn Store) -> Claimed {
        let lanes = self.lanes.iter().filter(|(lane, _)| Some(**lane) != but);
        let claims = lanes.map(|(lane, claim)| (*lane, self.claim(*lane, claim, store)));
        claims.collect()
    }

    /// A claim that failed may have been granted: whatever it gave is taken up first, because its
    /// slots are offered again.
    fn claim(
        &self,
        lane: Lane,
        claim: &LaneClaim,
        store: &mut dyn Store,
    ) -> Result<Claim, StoreError> {
        let request = &claim.request;
        if !self.doubts.contains(&lane) {
            return store.claim(request);
        }
        let mut jobs = unknown(self.known, request.supervisor, store)?;
        jobs.retain(|job| claim.is_of_lane(job.slot));
        if jobs.is_empty() {
            return store.claim(request);
        }
        tracing::warn!(jobs = jobs.len(), "claims without an answer are taken up");
        Ok(Claim {
            jobs,
            next_due: Some(Duration::ZERO),
        })
    }
}

impl LaneClaim {
    fn is_of_lane(&self, slot: u32) -> bool {
        match self.pool_slot {
            Some(pool) => pool == slot,
            None => !self.pool_slots.contains(&slot),
        }
    }
}

/// What a claim gave, by job and token.
fn names(claim: &Claim) -> impl Iterator<Item = (JobId, u64)> {
    claim.jobs.iter().map(|job| (job.job, job.counters.token))
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
