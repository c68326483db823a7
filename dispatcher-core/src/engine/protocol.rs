//! What a driver and its engine say to each other, as data.
//!
//! Both enums are closed; the table in the engine's documentation says which event answers which
//! effect.

use std::sync::Arc;
use std::time::Duration;

use crate::message::WorkResult;
use crate::{Counters, ExitStatus, JobId, OnLost, Options, Outcome, Usage};

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

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Workers alive at once.
    pub slots: u32,
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

/// A claimed job, bound to a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The slot that the store bound it to.
    pub slot: u32,
    /// Name of the dispatcher.
    pub dispatcher: String,
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
        /// At most one for each slot that was asked for.
        jobs: Vec<Assignment>,
        /// Time until the next queued job is due.
        next_due: Option<Duration>,
    },
    /// The store could not be asked.
    ClaimFailed,
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
        worker: WorkerId,
    },
    /// The store could not be told.
    RecordFailed {
        /// Which.
        worker: WorkerId,
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
    /// It runs.
    Hello,
    /// A value to keep with the job.
    Output(String),
    /// How the job ended.
    Result(WorkResult),
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
        /// Free slots.
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
        worker: WorkerId,
        /// What.
        verdict: Box<Verdict>,
    },
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
