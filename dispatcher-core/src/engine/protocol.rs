//! What a driver and its engine say to each other, as data.
//!
//! Both enums are closed; the table in the engine's documentation says which event answers which
//! effect.

use std::sync::Arc;
use std::time::Duration;

use super::{LeaseSpec, LinkKind, Renewal};
use crate::message::WorkResult;
use crate::{Cause, Counters, ExitStatus, JobId, OnLost, Options, Outcome, Usage};

/// An instant: the driver's monotonic clock, and what its wall clock shows then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since an origin that stays fixed while the engine lives.
    pub monotonic: Duration,
    /// Milliseconds since 1970-01-01 UTC; may jump.
    pub wall_ms: i64,
}

/// Names one worker process during the life of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

/// Names one attempt during the life of an engine. A worker that serves one job has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u32);

/// Names a pool: its place in [`EngineConfig::pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// Names one direct request to a pool; the driver gives the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Where claimed jobs run. Lanes claim by themselves, so a busy one does not hold up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Each job in a worker of its own.
    Process,
    /// In the reused workers of a pool.
    Pool(PoolId),
}

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Workers of one job alive at once.
    pub slots: u32,
    /// Pools of reused workers.
    pub pools: Vec<PoolSpec>,
    /// Claims end by themselves unless they are renewed; `None` where they do not.
    pub lease: Option<LeaseSpec>,
    /// Longest time between two claims while a slot is free: the backstop of lost wake-ups.
    pub poll_interval: Duration,
    /// Idle time after which the supervisor offers to leave; `None` stays for ever.
    pub linger: Option<Duration>,
    /// Time for a worker's hello.
    pub hello_timeout: Duration,
    /// Time that the capture is read after the end of a worker.
    pub drain_timeout: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

/// A pool of reused workers. No limit of time has two meanings.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// The slot that every job in the pool is bound to: its lock is held by all of its workers.
    pub slot: u32,
    /// Whether jobs are claimed for it; otherwise it serves direct requests only.
    pub claims: bool,
    /// Workers that are always there.
    pub min_workers: u32,
    /// Workers at most, those on their way out not counted; at least one.
    pub max_workers: u32,
    /// Jobs claimed ahead for each worker at most, while tasks are short; 0 claims nothing ahead.
    pub prefetch: u32,
    /// Tasks after which a worker is replaced, less a tenth at most; 0 is never.
    pub max_jobs: u32,
    /// Age at which an idle worker is replaced.
    pub ttl: Option<Duration>,
    /// Idle time after which a worker is replaced, or not, if there are enough.
    pub idle_ttl: Option<Duration>,
    /// Time from the start of a worker to its hello.
    pub spawn_timeout: Duration,
    /// Longest wait of a direct request for a worker.
    pub queue_timeout: Option<Duration>,
    /// Longest time of a direct request in a worker.
    pub exec_timeout: Option<Duration>,
    /// Time from the request to end to KILL.
    pub stop_timeout: Duration,
    /// Time for what runs when the supervisor drains.
    pub drain_timeout: Duration,
}

impl PoolSpec {
    /// Jobs claimed ahead of free workers at most.
    #[must_use]
    pub fn ahead_max(&self) -> usize {
        (self.max_workers as usize).saturating_mul(self.prefetch as usize)
    }
}

/// A claimed job, bound to a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The slot that the store bound it to.
    pub slot: u32,
    /// Name of the dispatcher.
    pub dispatcher: String,
    /// What answers for its worker.
    pub link: LinkKind,
    /// JSON text.
    pub payload: Arc<str>,
    /// Frozen options of the job.
    pub options: Arc<Options>,
    /// Counters after the claim.
    pub counters: Counters,
    /// Snoozes so far.
    pub snoozes: u32,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something in the store may have changed.
    Woken,
    /// The store gave work.
    Claimed {
        /// For which lane.
        lane: Lane,
        /// At most one for each slot that was asked for.
        jobs: Vec<Assignment>,
        /// Time until the next queued job is due.
        next_due: Option<Duration>,
    },
    /// The store could not be asked.
    ClaimFailed {
        /// For which lane.
        lane: Lane,
    },
    /// The worker's process exists.
    Spawned {
        /// Which.
        worker: WorkerId,
    },
    /// No process could be made.
    SpawnFailed {
        /// Which.
        worker: WorkerId,
        /// The operating system's error number.
        errno: i32,
        /// It is about resources that may be there again in a moment.
        transient: bool,
    },
    /// The worker said hello, gave an output, or its result.
    Said {
        /// Which.
        worker: WorkerId,
        /// What.
        word: Word,
    },
    /// The worker broke the protocol.
    LinkBroken {
        /// Which.
        worker: WorkerId,
        /// How.
        what: String,
    },
    /// The worker's process ended; everything it had said was delivered before.
    Exited {
        /// Which.
        worker: WorkerId,
        /// How.
        status: ExitStatus,
        /// What it used.
        usage: Usage,
        /// Processes of its tree that still live.
        strays: u32,
        /// What the kernel says about memory.
        memory: MemoryVerdict,
    },
    /// The strays were dealt with and the worker was reaped.
    Buried {
        /// Which.
        worker: WorkerId,
        /// Processes left alive.
        left: u32,
    },
    /// The signals were sent, or there was nobody left to send them to.
    Signalled {
        /// Which.
        worker: WorkerId,
    },
    /// The capture was read to its end or its deadline.
    Drained {
        /// Which.
        worker: WorkerId,
        /// Somebody still holds the pipe.
        leaked: bool,
    },
    /// The store has the end of the attempt (or knows better: a stale token changes nothing).
    Recorded {
        /// Which.
        attempt: AttemptId,
    },
    /// The store could not be told.
    RecordFailed {
        /// Which.
        attempt: AttemptId,
    },
    /// A cancellation of a running job was acknowledged.
    CancelRequested {
        /// The job.
        job: JobId,
        /// The claim it is about.
        token: u64,
        /// Who asked.
        by: String,
    },
    /// The sampler found a worker's tree over its limit.
    LimitExceeded {
        /// Which.
        worker: WorkerId,
    },
    /// A worker of a pool uses more memory than it may keep; it is replaced when it is idle.
    Outgrown {
        /// Which.
        worker: WorkerId,
    },
    /// The last thing that a worker of a pool wrote before it ended without its hello.
    LastWords {
        /// Which.
        worker: WorkerId,
        /// Quoted, with where it was written.
        text: String,
    },
    /// The worker has its task.
    Handed {
        /// Which.
        worker: WorkerId,
    },
    /// Somebody wants a reply from a pool.
    Requested {
        /// The name that the answer will carry.
        request: RequestId,
        /// Whom.
        pool: PoolId,
    },
    /// Somebody wants new workers in a pool.
    ResetRequested {
        /// Which.
        pool: PoolId,
    },
    /// Answer to the wish for a longer lease.
    Renewed(Renewal),
    /// Another row is open in place of the one that was lost, or could not be opened.
    Reopened {
        /// It is open.
        opened: bool,
    },
    /// The keeper is gone and all of its workers are proved dead.
    KeeperLost,
    /// A supervisor of a newer build is there.
    Superseded,
    /// Somebody wants the supervisor to end.
    ShutdownRequested(Shutdown),
    /// Answer to an offer or a wish to leave.
    CloseAnswered {
        /// The row is closed.
        closed: bool,
    },
}

/// An event that nothing waits for. It was ignored, but for what would be lost with it: work that
/// the store gave is given back, and a row that is closed ends the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}: nothing waits for that")]
pub struct Unfit(pub(super) &'static str);

/// What a worker says that decides something.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// It runs; of a pool: it is ready for its first task.
    Hello,
    /// A value to keep with the job.
    Output(String),
    /// What the job has used, of a worker that lives on.
    Used(Usage),
    /// How the job ended.
    Result(WorkResult),
    /// It has answered a direct request; the driver has the reply.
    Replied,
    /// It has answered a direct request with a soft error.
    Refused(String),
    /// It wants to be stopped, and its task to be given to somebody else.
    Unwanted,
    /// It is ready for the next task.
    Ready {
        /// Why what puts shared state back between tasks did not work.
        failure: Option<String>,
    },
}

/// What becomes of a direct request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The driver has the reply.
    Replied,
    /// The worker's soft error.
    Refused(String),
    /// No worker was free in time.
    QueueTimeout,
    /// The worker took too long and is being ended.
    ExecTimeout,
    /// The worker ended before it answered.
    Died(Cause),
    /// So many workers asked to be stopped instead.
    Unwanted(u32),
    /// Workers end before they are ready.
    Degraded(String),
    /// The supervisor ends.
    Stopping,
}

/// What the kernel says about a dead worker's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryVerdict {
    /// Nothing.
    #[default]
    Silent,
    /// The machine's OOM counter moved meanwhile: a hint.
    Suspected,
    /// `memory.events` of the worker's own group counted an OOM kill: proof.
    Killed,
}

/// How to end a supervisor. Later requests only ever make it faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Take nothing new; let everything finish, however long it takes.
    Finish,
    /// Take nothing new; what still runs after this time is stopped and re-queued.
    Drain(Duration),
    /// Kill everything now; it is re-queued.
    Now,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the store for work.
    Claim {
        /// For which lane.
        lane: Lane,
        /// Free slots; of a pool its one slot, once for each job that may come.
        slots: Vec<u32>,
    },
    /// Make a worker and hand it the job.
    Spawn {
        /// Its name from now on.
        worker: WorkerId,
        /// The job.
        assignment: Assignment,
        /// When it will be stopped, in milliseconds since 1970.
        deadline_wall_ms: Option<i64>,
    },
    /// Make a worker for a pool.
    Boot {
        /// Its name from now on.
        worker: WorkerId,
        /// Whose.
        pool: PoolId,
    },
    /// Give a job to a worker of a pool.
    Assign {
        /// Whom.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// The job.
        assignment: Assignment,
        /// When it will be stopped, in milliseconds since 1970.
        deadline_wall_ms: Option<i64>,
    },
    /// Give a direct request to a worker of a pool.
    Hand {
        /// Whom.
        worker: WorkerId,
        /// Which.
        request: RequestId,
    },
    /// Answer a direct request; nothing more is heard of it.
    Answer {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answer,
    },
    /// Answer whoever wanted new workers in a pool.
    ResetOver {
        /// Which.
        pool: PoolId,
        /// Why the old ones stay.
        failure: Option<String>,
    },
    /// Ask an idle worker of a pool to end.
    Retire {
        /// Which.
        worker: WorkerId,
    },
    /// Ask a worker to stop: cancel frame, and TERM to its group.
    Stop {
        /// Which.
        worker: WorkerId,
    },
    /// KILL to its group.
    Kill {
        /// Which.
        worker: WorkerId,
    },
    /// Deal with the strays of a dead worker and reap it.
    Bury {
        /// Which.
        worker: WorkerId,
        /// What to do with them.
        strays: Strays,
    },
    /// Read what is left of the capture.
    Drain {
        /// Which.
        worker: WorkerId,
        /// Monotonic time to give up at.
        until: Duration,
    },
    /// Store how an attempt ended. Takes effect before any later [`Effect::Claim`].
    Record {
        /// Which.
        attempt: AttemptId,
        /// What.
        verdict: Box<Verdict>,
    },
    /// Ask the store for a longer lease.
    Renew,
    /// Have the keeper end everything at this time, should nobody tell it another one.
    Deadline {
        /// Monotonic; `None` is never.
        at: Option<Duration>,
    },
    /// Open another row in place of the one that was lost.
    Reopen,
    /// Close the supervisor's row if nothing is unfinished.
    CloseIfIdle,
    /// Close the supervisor's row if a newer build serves everything that is unfinished.
    HandOver,
    /// Close the supervisor's row. What it runs stays bound to it.
    Close,
    /// Leave.
    Finish,
}

/// What becomes of processes that a worker left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strays {
    /// They stay.
    Leave,
    /// They are killed.
    Kill,
}

/// The end of an attempt, and what its job does next.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The job.
    pub job: JobId,
    /// The fence.
    pub token: u64,
    /// Number of the attempt.
    pub attempt: u32,
    /// When its process started; `None` if none did.
    pub started_wall_ms: Option<i64>,
    /// When it ended.
    pub ended_wall_ms: i64,
    /// Run time by the monotonic clock.
    pub run_time: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Last value given to `Context::output`.
    pub output: Option<String>,
    /// What the job does next.
    pub next: Next,
}

/// What a job does after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It succeeded.
    Succeed,
    /// It failed for good.
    Fail,
    /// It is cancelled.
    Cancel,
    /// Counts a failure, runs again after this time, at the end of the queue.
    Retry {
        /// The back-off.
        after: Duration,
    },
    /// Runs again after this time, at the end of the queue; counts a snooze only.
    Snooze {
        /// As asked.
        after: Duration,
    },
    /// Back to its old place, without a failure (shutdown).
    Release,
    /// Its worker was lost through no fault of its own.
    Lost {
        /// What the job's options say about that.
        on_lost: OnLost,
    },
}

impl Shutdown {
    /// The faster of two requests.
    pub(super) fn max_haste(self, other: Self) -> Self {
        match (self, other) {
            (Self::Drain(a), Self::Drain(b)) => Self::Drain(a.min(b)),
            (a, b) => a.max(b),
        }
    }
}
