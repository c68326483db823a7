//! Decides what a supervisor does; performs nothing.
//!
//! The driver feeds events, performs effects, and answers **every effect with exactly one event**:
//!
//! | effect | answered by |
//! |---|---|
//! | [`Effect::Claim`] | [`Event::Claimed`] or [`Event::ClaimFailed`] |
//! | [`Effect::Spawn`] | [`Event::Spawned`] or [`Event::SpawnFailed`] |
//! | [`Effect::Stop`], [`Effect::Kill`] | [`Event::Signalled`] |
//! | [`Effect::Bury`] | [`Event::Buried`] |
//! | [`Effect::Drain`] | [`Event::Drained`] |
//! | [`Effect::Record`] | [`Event::Recorded`] or [`Event::RecordFailed`] |
//! | [`Effect::CloseIfIdle`] | [`Event::CloseAnswered`] |
//! | [`Effect::Close`] | [`Event::CloseAnswered`] |
//! | [`Effect::Finish`] | nothing: the driver leaves its loop |
//!
//! Unasked come [`Event::Woken`], [`Event::Said`], [`Event::LinkBroken`], [`Event::Exited`],
//! [`Event::CancelRequested`], [`Event::LimitExceeded`], [`Event::KeeperLost`] (which also answers
//! every open effect about a worker) and [`Event::ShutdownRequested`].
//!
//! A slot is free again when its worker is proved dead, not when the result is stored: the row of
//! the ended attempt and the row of the next one may name the same slot, which is safe because
//! whoever takes the slot's lock has proved both workers dead.

mod attempt;
mod classify;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::message::WorkResult;
use crate::{Counters, ExitStatus, JobId, OnLost, Options, Outcome, Usage};
use attempt::{Attempt, Life};

pub use classify::{Evidence, LinkKind, StopReason, classify};

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
    /// Somebody wants the supervisor to end.
    ShutdownRequested(Shutdown),
    /// Answer to an offer or a wish to leave.
    CloseAnswered {
        /// The row is closed.
        closed: bool,
    },
}

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
    /// Close the supervisor's row.
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

/// The pure engine. See the module's documentation for its protocol.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    effects: VecDeque<Effect>,
    attempts: BTreeMap<WorkerId, Attempt>,
    /// Free slots, ordered so that the lowest is used first.
    free: Vec<u32>,
    next_worker: u32,
    claim: ClaimState,
    phase: Phase,
    idle_since: Duration,
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ClaimState {
    in_flight: bool,
    /// Something happened since the last claim was sent that may have made work ready.
    wanted: bool,
    /// Monotonic time of the next claim without a reason.
    at: Duration,
    /// Consecutive failures.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Offered to leave; waiting for the answer.
    Offering,
    /// Takes nothing new. `stop_at` is when the ladder starts for what still runs.
    Stopping {
        request: Shutdown,
        stop_at: Option<Duration>,
        closing: bool,
    },
    Finished,
}

/// What an engine is doing, for `status` and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Jobs with a living worker, and the slot of each.
    pub live: Vec<(JobId, u32)>,
    /// Attempts whose end is being stored.
    pub recording: usize,
    /// Whether it takes work.
    pub serving: bool,
}

/// Attempts waiting for the store before claiming stops: bounds memory when the disk is full.
const RECORDING_PER_SLOT_MAX: usize = 4;
const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

impl Engine {
    /// An engine that takes work from its first event on.
    ///
    /// # Panics
    /// Without slots.
    #[must_use]
    pub fn new(config: EngineConfig, now: Now) -> Self {
        assert!(config.slots > 0, "an engine needs at least one slot");
        let free = (0..config.slots).rev().collect();
        let random = config.seed;
        Self {
            config,
            effects: VecDeque::new(),
            attempts: BTreeMap::new(),
            free,
            next_worker: 0,
            claim: ClaimState {
                in_flight: false,
                wanted: true,
                at: now.monotonic,
                failures: 0,
            },
            phase: Phase::Serving,
            idle_since: now.monotonic,
            random,
        }
    }

    /// Takes in one event.
    ///
    /// # Panics
    /// When the driver breaks the protocol (an answer without its effect): that is a bug.
    pub fn handle(&mut self, now: Now, event: Event) {
        match event {
            Event::Woken => self.claim.wanted = true,
            Event::Claimed { jobs, next_due } => self.claimed(now, jobs, next_due),
            Event::ClaimFailed => self.claim_failed(now),
            Event::CancelRequested { job, token, by } => self.cancel(now, job, token, by),
            Event::KeeperLost => self.keeper_lost(now),
            Event::ShutdownRequested(request) => self.shutdown(now, request),
            Event::CloseAnswered { closed } => self.close_answered(now, closed),
            Event::Recorded { worker } => {
                let attempt = self.attempts.remove(&worker);
                assert!(
                    attempt.is_some_and(|attempt| matches!(attempt.life, Life::Recording { .. })),
                    "an attempt is recorded once, after it ended"
                );
                self.idle_since = now.monotonic;
            }
            Event::Spawned { worker }
            | Event::SpawnFailed { worker, .. }
            | Event::Said { worker, .. }
            | Event::LinkBroken { worker, .. }
            | Event::Exited { worker, .. }
            | Event::Buried { worker, .. }
            | Event::Signalled { worker }
            | Event::Drained { worker, .. }
            | Event::RecordFailed { worker }
            | Event::LimitExceeded { worker } => self.about_worker(now, worker, event),
        }
        self.advance(now);
    }

    /// Lets time pass: whatever is due at `now` is decided.
    pub fn handle_timeout(&mut self, now: Now) {
        if now.monotonic >= self.claim.at {
            self.claim.wanted = true;
        }
        let due: Vec<WorkerId> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.timer().is_some_and(|at| at <= now.monotonic))
            .map(|(worker, _)| *worker)
            .collect();
        for worker in due {
            self.with_attempt(now, worker, |attempt, out| attempt.timeout(now, out));
        }
        if let Phase::Stopping {
            stop_at: Some(at), ..
        } = self.phase
            && at <= now.monotonic
        {
            self.stop_all(now);
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Monotonic time at which [`Engine::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let claim = (self.may_claim() || self.phase == Phase::Serving && self.claim.failures > 0)
            .then_some(self.claim.at);
        let leave = match (self.phase, self.config.linger) {
            (Phase::Serving, Some(linger)) if self.attempts.is_empty() && !self.claim.in_flight => {
                Some(self.idle_since + linger)
            }
            _ => None,
        };
        let stop = match self.phase {
            Phase::Stopping { stop_at, .. } => stop_at,
            Phase::Serving | Phase::Offering | Phase::Finished => None,
        };
        let attempts = self.attempts.values().filter_map(Attempt::timer).min();
        [claim, leave, stop, attempts].into_iter().flatten().min()
    }

    /// What it is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let live: Vec<_> = self
            .attempts
            .values()
            .filter(|attempt| attempt.holds_slot())
            .map(|attempt| (attempt.assignment.job, attempt.assignment.slot))
            .collect();
        Snapshot {
            recording: self.attempts.len() - live.len(),
            live,
            serving: self.phase == Phase::Serving,
        }
    }

    fn claimed(&mut self, now: Now, jobs: Vec<Assignment>, next_due: Option<Duration>) {
        assert!(self.claim.in_flight, "a claim is answered once");
        self.claim.in_flight = false;
        self.claim.failures = 0;
        let wait = next_due
            .unwrap_or(self.config.poll_interval)
            .min(self.config.poll_interval);
        self.claim.at = now.monotonic + wait;
        if !jobs.is_empty() {
            self.claim.wanted = true;
        }
        for assignment in jobs {
            let position = self.free.iter().position(|slot| *slot == assignment.slot);
            let position = position.expect("invariant: a job is bound to a slot that was free");
            self.free.remove(position);
            let worker = self.name_worker();
            let attempt = Attempt::new(assignment, &self.config);
            self.attempts.insert(worker, attempt);
            if self.phase == Phase::Serving {
                self.with_attempt(now, worker, |attempt, out| attempt.spawn(now, out));
            } else {
                self.with_attempt(now, worker, |attempt, out| {
                    attempt.stop(now, StopReason::Shutdown, out);
                });
            }
        }
    }

    fn claim_failed(&mut self, now: Now) {
        assert!(self.claim.in_flight, "a claim is answered once");
        self.claim.in_flight = false;
        self.claim.wanted = false;
        self.claim.at = now.monotonic + store_retry(self.claim.failures);
        self.claim.failures += 1;
    }

    fn cancel(&mut self, now: Now, job: JobId, token: u64, by: String) {
        let worker = self.attempts.iter().find(|(_, attempt)| {
            attempt.assignment.job == job && attempt.assignment.counters.token == token
        });
        let Some((&worker, _)) = worker else { return };
        self.with_attempt(now, worker, |attempt, out| {
            attempt.stop(now, StopReason::Cancelled { by }, out);
        });
    }

    fn about_worker(&mut self, now: Now, worker: WorkerId, event: Event) {
        self.with_attempt(now, worker, |attempt, out| attempt.handle(now, event, out));
    }

    /// What was not performed yet goes to the next keeper or, about a dead worker, to nobody.
    fn keeper_lost(&mut self, now: Now) {
        let spawning = |effect: &Effect| match effect {
            Effect::Spawn { worker, .. } => Some(*worker),
            _ => None,
        };
        let unmade: Vec<WorkerId> = self.effects.iter().filter_map(spawning).collect();
        self.effects.retain(|effect| {
            !matches!(
                effect,
                Effect::Stop { .. }
                    | Effect::Kill { .. }
                    | Effect::Bury { .. }
                    | Effect::Drain { .. }
            )
        });
        let workers: Vec<WorkerId> = self.attempts.keys().copied().collect();
        for worker in workers {
            if unmade.contains(&worker) {
                continue;
            }
            self.with_attempt(now, worker, |attempt, out| attempt.keeper_lost(now, out));
        }
    }

    fn shutdown(&mut self, now: Now, request: Shutdown) {
        let (request, closing) = match self.phase {
            Phase::Serving => (request, false),
            Phase::Offering => (request, true),
            Phase::Stopping {
                request: earlier,
                closing,
                ..
            } => (earlier.max_haste(request), closing),
            Phase::Finished => return,
        };
        let stop_at = match request {
            Shutdown::Finish => None,
            Shutdown::Drain(time) => {
                let at = now.monotonic + time;
                match self.phase {
                    Phase::Stopping {
                        stop_at: Some(earlier),
                        ..
                    } => Some(earlier.min(at)),
                    _ => Some(at),
                }
            }
            Shutdown::Now => Some(now.monotonic),
        };
        self.phase = Phase::Stopping {
            request,
            stop_at,
            closing,
        };
        if stop_at.is_some_and(|at| at <= now.monotonic) {
            self.stop_all(now);
        }
    }

    fn stop_all(&mut self, now: Now) {
        let Phase::Stopping {
            request, closing, ..
        } = self.phase
        else {
            return;
        };
        self.phase = Phase::Stopping {
            request,
            stop_at: None,
            closing,
        };
        let workers: Vec<WorkerId> = self.attempts.keys().copied().collect();
        for worker in workers {
            self.with_attempt(now, worker, |attempt, out| {
                attempt.stop(now, StopReason::Shutdown, out);
                if request == Shutdown::Now {
                    attempt.kill_now(now, out);
                }
            });
        }
    }

    fn close_answered(&mut self, now: Now, closed: bool) {
        match (self.phase, closed) {
            (Phase::Offering | Phase::Stopping { .. }, true) => {
                self.phase = Phase::Finished;
                self.effects.push_back(Effect::Finish);
            }
            (Phase::Offering, false) => {
                self.phase = Phase::Serving;
                self.idle_since = now.monotonic;
                self.claim.wanted = true;
            }
            (
                Phase::Stopping {
                    request, stop_at, ..
                },
                false,
            ) => {
                self.phase = Phase::Stopping {
                    request,
                    stop_at,
                    closing: false,
                };
            }
            (Phase::Serving | Phase::Finished, _) => {
                unreachable!("a close is answered once, while it is waited for")
            }
        }
    }

    /// Decides what follows from the state as a whole: claim, offer to leave, close.
    fn advance(&mut self, now: Now) {
        if self.may_claim()
            && self.claim.wanted
            && (self.claim.failures == 0 || now.monotonic >= self.claim.at)
        {
            self.claim.in_flight = true;
            self.claim.wanted = false;
            let slots = self.free.iter().rev().copied().collect();
            self.effects.push_back(Effect::Claim { slots });
        }
        match self.phase {
            Phase::Serving => {
                let quiet = self.attempts.is_empty() && !self.claim.in_flight;
                if let Some(linger) = self.config.linger
                    && quiet
                    && now.monotonic >= self.idle_since + linger
                {
                    self.phase = Phase::Offering;
                    self.effects.push_back(Effect::CloseIfIdle);
                }
            }
            Phase::Stopping {
                request,
                stop_at,
                closing: false,
            } if self.attempts.is_empty() && !self.claim.in_flight => {
                self.phase = Phase::Stopping {
                    request,
                    stop_at,
                    closing: true,
                };
                self.effects.push_back(Effect::Close);
            }
            Phase::Offering | Phase::Stopping { .. } | Phase::Finished => {}
        }
    }

    fn may_claim(&self) -> bool {
        let recording = self.attempts.len() + self.free.len() - self.config.slots as usize;
        self.phase == Phase::Serving
            && !self.claim.in_flight
            && !self.free.is_empty()
            && recording <= RECORDING_PER_SLOT_MAX * self.config.slots as usize
    }

    /// Runs one step of an attempt, then looks whether it let go of its slot.
    fn with_attempt(
        &mut self,
        now: Now,
        worker: WorkerId,
        step: impl FnOnce(&mut Attempt, &mut attempt::Out<'_>),
    ) {
        let Some(attempt) = self.attempts.get_mut(&worker) else {
            return;
        };
        let held = attempt.holds_slot();
        let mut out = attempt::Out {
            worker,
            effects: &mut self.effects,
            random: &mut self.random,
        };
        step(attempt, &mut out);
        if held && !attempt.holds_slot() {
            self.free.push(attempt.assignment.slot);
            self.free.sort_unstable_by(|a, b| b.cmp(a));
            self.claim.wanted = true;
            self.idle_since = now.monotonic;
        }
    }

    fn name_worker(&mut self) -> WorkerId {
        loop {
            let worker = WorkerId(self.next_worker);
            self.next_worker = self.next_worker.wrapping_add(1);
            if !self.attempts.contains_key(&worker) {
                return worker;
            }
        }
    }
}

impl Shutdown {
    /// The faster of two requests.
    fn max_haste(self, other: Self) -> Self {
        match (self, other) {
            (Self::Drain(a), Self::Drain(b)) => Self::Drain(a.min(b)),
            (a, b) => a.max(b),
        }
    }
}

/// Waiting time before the store is asked again.
fn store_retry(failures: u32) -> Duration {
    STORE_RETRY_MIN
        .saturating_mul(1 << failures.min(10))
        .min(STORE_RETRY_MAX)
}
