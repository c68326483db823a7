//! Between the engine and the store: gathers what the engine asks, and turns answers into events.
//!
//! No I/O but the store that is handed in, so that the simulator runs what a supervisor runs.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{self, Assignment, AttemptId, Event, Lane, LinkKind, Next, Verdict};

use crate::store::{
    self, Cancellation, Capture, Claim, ClaimRequest, NewSupervisor, ProgressNote, Record, Renewal,
    Serves, StoreError, SupervisorId,
};
use batch::{Close, Closed, Closing, LaneClaim};

pub(crate) use batch::Batch;

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
    /// What `concurrency = 0` means here, besides what is claimed ahead.
    pub(crate) worker_slots: u32,
    /// Jobs claimed ahead of free workers at most.
    pub(crate) ahead: u32,
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
    renewal: Option<Result<Renewal, StoreError>>,
    reopened: Option<Result<SupervisorId, StoreError>>,
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
                worker_slots: post.worker_slots.saturating_add(post.ahead),
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

    /// A longer lease, which goes before everything else.
    pub(crate) fn renew(&mut self, lease: Duration) {
        self.next.renew = Some((self.post.supervisor, lease));
    }

    /// Another row in place of the one that is lost.
    pub(crate) fn reopen(&mut self, row: NewSupervisor) {
        self.next.reopen = Some(row);
    }

    /// Whose row it is now.
    pub(crate) fn supervisor(&self) -> SupervisorId {
        self.post.supervisor
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
        events.extend(answer.renewal.map(renewed));
        events.extend(answer.reopened.map(|row| self.reopened(row)));
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
        let lanes = self.post.lanes.values();
        let most = lanes
            .map(|lane| HELD_PER_SLOT_MAX * (lane.worker_slots as usize + lane.ahead as usize));
        let most: usize = most.sum();
        assert!(
            self.held.len() <= most,
            "invariant: the engine bounds what is claimed and not recorded: {} of {most}",
            self.held.len()
        );
    }

    fn reopened(&mut self, row: Result<SupervisorId, StoreError>) -> Event {
        match row {
            Ok(supervisor) => {
                tracing::warn!(
                    supervisor = supervisor.0,
                    "the lease had ended and its jobs were taken over; the supervisor begins anew"
                );
                self.post.supervisor = supervisor;
                self.doubts.clear();
                Event::Reopened { opened: true }
            }
            Err(error) => {
                tracing::error!(error = %error, advice = error.advice(), "no row could be opened; tried again");
                Event::Reopened { opened: false }
            }
        }
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

/// What a claim gave, by job and token.
fn names(claim: &Claim) -> impl Iterator<Item = (JobId, u64)> {
    claim.jobs.iter().map(|job| (job.job, job.counters.token))
}

fn renewed(renewal: Result<Renewal, StoreError>) -> Event {
    Event::Renewed(match renewal {
        Ok(Renewal::Renewed) => engine::Renewal::Renewed,
        Ok(Renewal::Lost) => engine::Renewal::Lost,
        Err(error) => {
            tracing::warn!(error = %error, advice = error.advice(), "the lease was not renewed; tried again");
            engine::Renewal::Failed
        }
    })
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
