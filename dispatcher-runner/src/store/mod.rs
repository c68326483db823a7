//! Where jobs are remembered: one sealed seam, real implementations behind it.
//!
//! Every operation is named by its intent and is one atomic step. Due times are decided by the
//! store's own clock; callers pass durations. A write about an attempt carries the `token` of its
//! claim; when the token is no longer valid nothing changes, and that is no error.
//! The store knows no processes: proof of death is the caller's business.

mod batch;
mod callback;
mod clock;
#[cfg(test)]
mod conformance;
mod error;
mod group;
#[cfg(feature = "postgres")]
mod host;
mod listing;
mod memory;
mod pick;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
mod receipt;
mod rules;
mod schedule;
mod sqlite;

pub(crate) use batch::{BatchCounts, BatchRecord, NewBatch};
pub(crate) use callback::{DueCallback, NewCallback, Settled};
pub(crate) use error::StoreError;
#[cfg(feature = "service")]
pub(crate) use group::SubmitFuture;
pub(crate) use group::{StoreClient, StoreThread};
pub(crate) use listing::{AttemptRecord, DispatcherStatus, JobFilter, JobRecord, JobSummary};
pub(crate) use memory::MemoryStore;
#[cfg(feature = "simulator")]
pub(crate) use memory::{Glance, Waits};
pub(crate) use place::{SchemaState, migrate, node_label, open, schema};
#[cfg(feature = "postgres")]
pub(crate) use postgres::{Ear, submit_in};
pub(crate) use receipt::{NewReceipt, Receipt, ReceiptError};
pub(crate) use rules::{payload_matches, serves_all, serves_label};
pub(crate) use schedule::{KnownSchedules, ScheduledJobs, TickRequest, Ticked};
pub(crate) use sqlite::SqliteStore;

use std::path::PathBuf;
use std::time::Duration;

use dispatcher_core::{
    Cause, Counters, DispatcherOptions, JobId, JobState, OnLost, Options, Outcome,
};
use serde::{Deserialize, Serialize};

/// Wall-clock time, milliseconds since 1970-01-01 UTC.
pub(crate) type UnixMs = i64;

/// The seam. One value serves one thread; `sqlite` opens its own connection per value.
pub(crate) trait Store: Send {
    /// Submits groups of jobs. Each group is all or nothing; the groups share one durable commit.
    /// When this returns `Ok` for a group, its jobs survive a power cut.
    fn submit(&mut self, groups: &[Submission]) -> Vec<Result<Submitted, SubmitError>>;

    /// Ends expired jobs, promotes due ones, then claims up to `request.slots.len()` ready jobs.
    /// Need not be durable when it returns. Order: between dispatchers by priority, then oldest
    /// due; each dispatcher with ready jobs and free capacity gets one before any gets a second;
    /// inside a dispatcher by (priority descending, sequence).
    ///
    /// A dispatcher of which nothing runs goes before the others of a round, so that each has a
    /// slot even when slots become free one at a time. A supervisor without an open row gets
    /// nothing: what it took could never be rescued. A job that a newer build sent is left to that
    /// for ten seconds. `concurrency = 0` is bounded by the slots
    /// offered and by `worker_slots` per claim. At most 1,000 jobs are promoted, and as many
    /// expired, per claim; `next_due` is zero while there are more.
    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError>;

    /// Records how attempts ended. Need not be durable when it returns; see [`Store::sync`].
    /// A job with an acknowledged cancellation ends as cancelled whatever `next` says
    /// (the attempt's own outcome is kept as it was, the job's outcome is `Cancelled`).
    fn record(&mut self, records: &[Record]) -> Result<Vec<Recorded>, StoreError>;

    /// [`Store::record`], then [`Store::claim`], at the price of one transaction where the store
    /// can. After an error either may have happened, and both may be asked again.
    fn record_and_claim(
        &mut self,
        records: &[Record],
        request: &ClaimRequest,
    ) -> Result<(Vec<Recorded>, Claim), StoreError> {
        Ok((self.record(records)?, self.claim(request)?))
    }

    /// Keeps the latest progress of running attempts; lost on a crash, and that is fine.
    fn note_progress(&mut self, notes: &[ProgressNote]) -> Result<(), StoreError>;

    /// Cancels jobs durably. Queued ones end at once; for running ones the request is remembered.
    /// An end that a reply tells of is durable, too.
    fn cancel(&mut self, jobs: &[JobId], by: &str) -> Result<Vec<CancelReply>, StoreError>;

    /// Running jobs of a supervisor whose cancellation was requested.
    fn cancellations(&mut self, supervisor: SupervisorId) -> Result<Vec<Cancellation>, StoreError>;

    /// Makes everything that this store has shown so far durable. Whoever reports a terminal
    /// state to somebody calls it after reading and before reporting.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Opens a supervisor's row, durably.
    fn open_supervisor(&mut self, supervisor: &NewSupervisor) -> Result<SupervisorId, StoreError>;

    /// Closes the row unless something that the supervisor serves is unfinished (delayed and held
    /// jobs count), in one write transaction. `true` when closed.
    fn close_supervisor_if_idle(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
    ) -> Result<bool, StoreError>;

    /// Hands over to the open supervisor `to`, in one write transaction: closes the row of
    /// `supervisor` if `to` serves everything unfinished that it serves itself; otherwise lowers
    /// the row's names to those that only it serves.
    fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> Result<HandOver, StoreError>;

    /// Closes the row whatever is unfinished. Jobs still claimed by it stay for the rescuer.
    fn close_supervisor(&mut self, supervisor: SupervisorId) -> Result<(), StoreError>;

    /// Renews the lease of a supervisor, open or closed, by the store's clock: until it ends nobody
    /// takes over what the supervisor has claimed. [`Renewal::Lost`] when there is no such row any
    /// more. A store whose supervisors all share one kernel has locks instead, and no leases.
    fn renew(&mut self, supervisor: SupervisorId, lease: Duration) -> Result<Renewal, StoreError> {
        let _ = (supervisor, lease);
        Ok(Renewal::Renewed)
    }

    /// Supervisors that are open, or that still hold claimed jobs.
    fn supervisors(&mut self) -> Result<Vec<SupervisorRow>, StoreError>;

    /// What a supervisor has claimed and not recorded, as the claims said it.
    fn claims_of(&mut self, supervisor: SupervisorId) -> Result<Vec<Claimed>, StoreError>;

    /// Re-queues (or, by `on_lost`, ends) everything claimed by a supervisor that is proved dead
    /// with all of its workers, and removes its row. Each attempt is recorded as `WorkerLost`.
    fn rescue(&mut self, dead: SupervisorId) -> Result<Rescued, StoreError>;

    /// [`Store::rescue`] for each supervisor whose lease has ended by the store's clock, which is
    /// looked at in the same step: a renewal comes before it or finds the row gone.
    fn rescue_expired(&mut self) -> Result<Vec<(SupervisorId, Rescued)>, StoreError> {
        Ok(Vec::new())
    }

    /// Inserts or refreshes rows of dispatchers; an older build never replaces a newer one.
    fn register(&mut self, dispatchers: &[DispatcherRow]) -> Result<(), StoreError>;

    /// Decides, by the store's clock, the ticks of schedules that have passed since the last time,
    /// and submits the jobs of those that run. Each tick is decided once, whoever asks how often
    /// and whatever the clock does; decision and jobs share one durable commit. A tick refused by
    /// a full queue or an overlap is decided, too: only its record is written.
    fn tick(&mut self, requests: &[TickRequest]) -> Result<Ticked, StoreError>;

    /// The store's time, and what is on record about schedules.
    fn schedules(&mut self) -> Result<KnownSchedules, StoreError>;

    /// All dispatchers with their counters, by name.
    fn dispatchers(&mut self) -> Result<Vec<DispatcherStatus>, StoreError>;

    /// Dispatchers and queue labels of unfinished jobs, each pair once.
    fn unfinished(&mut self) -> Result<Vec<(String, String)>, StoreError>;

    /// When the job that has waited longest was submitted; cheap as long as history is pruned.
    fn oldest_waiting(&mut self) -> Result<Option<UnixMs>, StoreError>;

    /// Pauses or resumes a dispatcher; `false` when there is no such row.
    fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> Result<bool, StoreError>;

    /// What is on record about a message from outside.
    #[cfg_attr(
        not(any(test, feature = "http", feature = "simulator")),
        expect(dead_code, reason = "only what comes over HTTP has receipts")
    )]
    fn receipt(&mut self, sender: &str, id: &str) -> Result<Option<Receipt>, StoreError>;

    /// A batch, by its id.
    #[cfg_attr(
        not(any(test, feature = "http", feature = "simulator")),
        expect(dead_code, reason = "only what comes over HTTP makes batches")
    )]
    fn batch(&mut self, id: &str) -> Result<Option<BatchRecord>, StoreError>;

    /// Takes callbacks that are due, the earliest first; each is due again after `hold`, unless it
    /// was settled. Need not be durable.
    #[cfg_attr(
        not(any(test, feature = "http", feature = "simulator")),
        expect(dead_code, reason = "only what comes over HTTP asks for callbacks")
    )]
    fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, StoreError>;

    /// Forgets a callback, or puts it off. Need not be durable: it may be told once more.
    #[cfg_attr(
        not(any(test, feature = "http", feature = "simulator")),
        expect(dead_code, reason = "only what comes over HTTP asks for callbacks")
    )]
    fn settle_callback(&mut self, key: i64, settled: Settled) -> Result<(), StoreError>;

    /// The state of one job; cheap, for waiters.
    fn state(&mut self, job: JobId) -> Result<Option<JobState>, StoreError>;

    /// One job with all of its attempts.
    fn job(&mut self, job: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// Jobs whose id starts with `prefix` (lower case), at most `limit`.
    fn find(&mut self, prefix: &str, limit: usize) -> Result<Vec<JobId>, StoreError>;

    /// Jobs that match, newest first.
    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError>;

    /// What an attempt wrote.
    fn capture(&mut self, job: JobId, attempt: u32) -> Result<Option<Capture>, StoreError>;

    /// The newest output of a succeeded job of the dispatcher, with the job's id.
    fn latest_output(&mut self, dispatcher: &str) -> Result<Option<(JobId, String)>, StoreError>;

    /// Removes finished jobs over the limits, at most `batch` of them; returns how many.
    /// The newest succeeded job with an output of each dispatcher is always kept.
    fn prune(&mut self, retention: &Retention, batch: usize) -> Result<u64, StoreError>;
}

/// Row id of a supervisor; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SupervisorId(pub(crate) i64);

/// Which image of the program somebody runs. Ordered: a later modification time is newer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Build {
    /// Modification time of the image, nanoseconds since 1970.
    pub(crate) modified_ns: i64,
    /// `device-inode-size-mtime` in hexadecimal.
    pub(crate) id: String,
}

/// A group of jobs submitted together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Submission {
    pub(crate) jobs: Vec<NewJob>,
    /// Rows of the dispatchers named by `jobs`, refreshed in the same transaction when newer.
    pub(crate) dispatchers: Vec<DispatcherRow>,
    /// Of the message that they came with. If there is one already, nothing is written, and the
    /// answer is that of the first time.
    pub(crate) receipt: Option<NewReceipt>,
    /// Makes a batch of the jobs.
    pub(crate) batch: Option<NewBatch>,
    /// Who is told of the ends of its jobs.
    pub(crate) callbacks: Vec<NewCallback>,
}

/// A job to be stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NewJob {
    pub(crate) id: JobId,
    pub(crate) dispatcher: String,
    /// JSON text, as it will be handed to the worker.
    pub(crate) payload: String,
    /// What makes two jobs duplicates, a hash of the canonical payload; not looked at where there
    /// is a `unique_key`.
    pub(crate) identity: String,
    pub(crate) options: Options,
    pub(crate) retry_of: Option<JobId>,
    /// Who submitted it, for `show`: `"pid 1234 (myapp)"`, `"schedule, tick 2027-03-01T02:30:00Z"`.
    pub(crate) origin: String,
    /// Build of the submitting program.
    pub(crate) build: Build,
}

/// What belongs to a dispatcher as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DispatcherRow {
    pub(crate) name: String,
    pub(crate) build: Build,
    pub(crate) options: DispatcherOptions,
    /// JSON for listings (documentation, fields, place, job options); opaque to the store.
    pub(crate) about: String,
}

/// Answer to one group.
#[derive(Debug, Clone)]
pub(crate) struct Submitted {
    /// One for each job, in order.
    pub(crate) jobs: Vec<Accepted>,
    /// Open supervisors, read in the same transaction.
    pub(crate) supervisors: Vec<SupervisorRow>,
    /// The note of the receipt, if the group had been accepted before.
    #[cfg_attr(
        not(any(test, feature = "http")),
        expect(dead_code, reason = "only what comes over HTTP has receipts")
    )]
    pub(crate) replay_of: Option<String>,
}

/// What became of a submitted job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The job's id, or the surviving job's.
    pub(crate) id: JobId,
    /// The submission was dropped because an unfinished job has the same identity.
    pub(crate) duplicate: bool,
}

/// Why a group was not accepted. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// A dispatcher's queue is full.
    #[error("the queue of {dispatcher} is full: {unfinished} of {max_queue} jobs are unfinished")]
    QueueFull {
        dispatcher: String,
        max_queue: u32,
        unfinished: u32,
        concurrency: u32,
        /// Mean run time of recent attempts; `None` before the first.
        mean_run: Option<Duration>,
    },
    /// There is a batch of this id.
    #[error("there is a batch {id} already")]
    BatchExists { id: String },
    /// Its receipt says so.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which jobs a supervisor takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Serves {
    /// Names of dispatchers that its program knows.
    pub(crate) dispatchers: Vec<String>,
    /// Queue labels, as [`serves_label`] reads them.
    pub(crate) queues: Vec<String>,
}

/// A request for work.
#[derive(Debug, Clone)]
pub(crate) struct ClaimRequest {
    pub(crate) supervisor: SupervisorId,
    pub(crate) serves: Serves,
    /// Free worker slots; a claimed job is bound to one each, in order.
    pub(crate) slots: Vec<u32>,
    /// What `concurrency = 0` means here.
    pub(crate) worker_slots: u32,
}

/// What became of a supervisor that wanted to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// The other one has left: nothing changed.
    Refused,
    /// Its row is closed.
    Closed,
    /// It goes on for these names, which the other one does not serve.
    Narrowed(Vec<String>),
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It lasts from now on as long as was asked.
    Renewed,
    /// It had ended, and somebody has taken over: every claim is void, and so is the row.
    Lost,
}

/// Work, and when to ask again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    pub(crate) jobs: Vec<Claimed>,
    /// Time until the next queued job becomes due or expires; `None` when there is none.
    pub(crate) next_due: Option<Duration>,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) job: JobId,
    pub(crate) slot: u32,
    pub(crate) dispatcher: String,
    pub(crate) payload: String,
    pub(crate) options: Options,
    /// After the claim: `attempt` is this attempt's number, `token` its fence.
    pub(crate) counters: Counters,
    pub(crate) snoozes: u32,
    /// Since it was due.
    pub(crate) waited: Duration,
}

/// How an attempt ended, and what its job does next.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) job: JobId,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    /// When its process started; `None` if none did.
    pub(crate) started_at: Option<UnixMs>,
    pub(crate) ended_at: UnixMs,
    /// Run time by the monotonic clock.
    pub(crate) run_time: Duration,
    pub(crate) pid: Option<u32>,
    /// Build that ran it.
    pub(crate) build: String,
    pub(crate) outcome: Outcome,
    /// Last value given to `Context::output`; kept for succeeded jobs.
    pub(crate) output: Option<String>,
    pub(crate) capture: Capture,
    pub(crate) next: Next,
}

/// What a job does after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Succeed,
    Fail,
    Cancel,
    /// Counts a failure, runs again after `after`, with a new sequence number.
    Retry {
        after: Duration,
    },
    /// Runs again after `after`, with a new sequence number; counts a snooze only.
    Snooze {
        after: Duration,
    },
    /// Back to its old place in the queue, without a failure (shutdown).
    Release,
    /// As [`Store::rescue`] treats it: re-queued at most `LOST_RERUNS_MAX` times.
    Lost {
        on_lost: OnLost,
    },
}

impl Record {
    /// Of a claim that nobody has begun.
    pub(crate) fn released(job: &Claimed, build: &str, now: UnixMs) -> Self {
        Self {
            job: job.job,
            token: job.counters.token,
            attempt: job.counters.attempt,
            started_at: None,
            ended_at: now,
            run_time: Duration::ZERO,
            pid: None,
            build: build.to_owned(),
            outcome: rules::outcome(Cause::Shutdown),
            output: None,
            capture: Capture::default(),
            next: Next::Release,
        }
    }
}

/// Answer to one [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Written; the job's state now.
    Applied(JobState),
    /// The token is no longer valid; nothing changed.
    Fenced,
}

/// Bounded output of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capture {
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

/// Head and tail of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) head: Vec<u8>,
    /// Empty unless the stream was longer than the head may be.
    pub(crate) tail: Vec<u8>,
    /// Bytes between head and tail that were not kept.
    pub(crate) dropped: u64,
}

/// Progress of a running attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProgressNote {
    pub(crate) job: JobId,
    pub(crate) token: u64,
    pub(crate) fraction: f64,
    pub(crate) text: String,
}

/// Answer to a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelReply {
    /// It was queued and is cancelled now.
    Cancelled,
    /// It runs; the named supervisor must be woken to stop it. Acknowledged: it will not succeed.
    Stopping(SupervisorId),
    /// It had ended before.
    Ended(JobState),
    /// There is no such job.
    Unknown,
}

/// A requested cancellation of a running job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cancellation {
    pub(crate) job: JobId,
    pub(crate) token: u64,
    pub(crate) by: String,
}

/// A supervisor about to open its row.
#[derive(Debug, Clone)]
pub(crate) struct NewSupervisor {
    /// Name of the program.
    pub(crate) program: String,
    pub(crate) build: Build,
    pub(crate) pid: u32,
    pub(crate) slots: u32,
    /// Where its kernel lock, slot locks and wake-up socket lie.
    pub(crate) directory: PathBuf,
    /// Names that it serves.
    pub(crate) serves: Vec<String>,
    /// Queue labels that it serves; empty is all.
    pub(crate) queues: Vec<String>,
    /// How long it has without a renewal; `None` where proof of death is all that counts.
    pub(crate) lease: Option<Duration>,
}

/// A supervisor's row.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorRow {
    pub(crate) id: SupervisorId,
    pub(crate) program: String,
    pub(crate) build: Build,
    pub(crate) pid: u32,
    pub(crate) slots: u32,
    pub(crate) directory: PathBuf,
    pub(crate) serves: Vec<String>,
    pub(crate) queues: Vec<String>,
    pub(crate) started_at: UnixMs,
    pub(crate) open: bool,
    pub(crate) seat: Seat,
}

/// Where a supervisor sits, seen from who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// On this host, in this state: kernel locks say whether it lives.
    Here,
    /// On another: its lease says so, and nothing else may.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a store of many hosts has others")
    )]
    Elsewhere {
        /// The lease has run out by the store's clock.
        lapsed: bool,
    },
}

/// What a rescue did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rescued {
    pub(crate) requeued: Vec<JobId>,
    pub(crate) failed: Vec<JobId>,
    /// Those with an acknowledged cancellation.
    pub(crate) cancelled: Vec<JobId>,
}

/// Whether a dispatcher's jobs may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    Paused,
    Running,
}

/// How long finished jobs are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) age: Duration,
    pub(crate) count_per_dispatcher: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: dispatcher_core::limits::FINISHED_AGE_MAX,
            count_per_dispatcher: dispatcher_core::limits::FINISHED_COUNT_MAX,
        }
    }
}
