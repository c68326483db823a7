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
//! | [`Effect::CloseIfIdle`], [`Effect::HandOver`], [`Effect::Close`] | [`Event::CloseAnswered`] |
//! | [`Effect::Finish`] | nothing: the driver leaves its loop |
//!
//! Unasked come [`Event::Woken`], [`Event::Said`], [`Event::LinkBroken`], [`Event::Exited`],
//! [`Event::CancelRequested`], [`Event::LimitExceeded`], [`Event::KeeperLost`] (which also answers
//! every open effect about a worker), [`Event::Superseded`] and [`Event::ShutdownRequested`].
//!
//! Whoever takes nothing new closes its row first and then finishes what it runs: a submitter that
//! sees an open row relies on it.
//!
//! A slot is free again when its worker is proved dead, not when the result is stored: the row of
//! the ended attempt and the row of the next one may name the same slot, which is safe because
//! whoever takes the slot's lock has proved both workers dead.

mod attempt;
mod classify;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::JobId;
use attempt::{Attempt, Life};

pub use classify::{Evidence, LinkKind, StopReason, classify};
pub use protocol::{
    Assignment, Effect, EngineConfig, Event, MemoryVerdict, Next, Now, Shutdown, Strays, Unfit,
    Verdict, Word, WorkerId,
};

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
    Offering(Offer),
    /// Takes nothing new. `stop_at` is when the ladder starts for what still runs.
    Stopping {
        request: Shutdown,
        stop_at: Option<Duration>,
        closing: Closing,
    },
    Finished,
}

/// Why it offered to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// It has had nothing to do.
    Idle,
    /// A newer build is there.
    Superseded,
}

/// How far the closing of the row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// The store is asked, after so many failures.
    Asked { failures: u32 },
    /// The store could not do it; it is asked again at this time.
    Waiting { failures: u32, at: Duration },
    /// It is closed, or is left open to whoever rescues it.
    Over,
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
/// Tries to close the row before it is left to whoever rescues it.
const CLOSE_TRIES_MAX: u32 = 5;

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
    /// # Errors
    /// When the driver breaks the protocol (an answer without its effect): that is a bug of its,
    /// but none that running jobs should pay for, so the engine stays as it was.
    pub fn handle(&mut self, now: Now, event: Event) -> Result<(), Unfit> {
        let mut fits = Ok(());
        match event {
            Event::Woken => self.claim.wanted = true,
            Event::Claimed { jobs, next_due } => fits = self.claimed(now, jobs, next_due),
            Event::ClaimFailed => fits = self.claim_failed(now),
            Event::CancelRequested { job, token, by } => self.cancel(now, job, token, by),
            Event::KeeperLost => self.keeper_lost(now),
            Event::Superseded => self.superseded(),
            Event::ShutdownRequested(request) => self.shutdown(now, request),
            Event::CloseAnswered { closed } => fits = self.close_answered(now, closed),
            Event::Recorded { worker } => fits = self.recorded(now, worker),
            Event::Spawned { worker }
            | Event::SpawnFailed { worker, .. }
            | Event::Said { worker, .. }
            | Event::LinkBroken { worker, .. }
            | Event::Exited { worker, .. }
            | Event::Buried { worker, .. }
            | Event::Signalled { worker }
            | Event::Drained { worker, .. }
            | Event::RecordFailed { worker }
            | Event::LimitExceeded { worker } => fits = self.about_worker(now, worker, event),
        }
        self.advance(now);
        fits
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
        let claim = self.may_claim().then_some(self.claim.at);
        let leave = match (self.phase, self.config.linger) {
            (Phase::Serving, Some(linger)) if self.attempts.is_empty() && !self.claim.in_flight => {
                Some(self.idle_since + linger)
            }
            _ => None,
        };
        let stop = match self.phase {
            Phase::Stopping { stop_at, .. } => stop_at,
            Phase::Serving | Phase::Offering(_) | Phase::Finished => None,
        };
        let close = match self.phase {
            Phase::Stopping {
                closing: Closing::Waiting { at, .. },
                ..
            } => Some(at),
            Phase::Stopping { .. } | Phase::Serving | Phase::Offering(_) | Phase::Finished => None,
        };
        let attempts = self.attempts.values().filter_map(Attempt::timer).min();
        [claim, leave, stop, close, attempts]
            .into_iter()
            .flatten()
            .min()
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

    fn claimed(
        &mut self,
        now: Now,
        jobs: Vec<Assignment>,
        next_due: Option<Duration>,
    ) -> Result<(), Unfit> {
        let mut fits = Ok(());
        if !self.claim.in_flight {
            fits = Err(Unfit("claimed, without a claim"));
        }
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
            let worker = self.name_worker();
            let position = self.free.iter().position(|slot| *slot == assignment.slot);
            let mut attempt = Attempt::new(assignment, &self.config);
            let Some(position) = position else {
                // Nobody would ever run it: it goes back to its place.
                attempt.stop(now, StopReason::Shutdown, &mut self.out(worker));
                self.attempts.insert(worker, attempt);
                fits = Err(Unfit("claimed, for a slot that is not free"));
                continue;
            };
            self.free.remove(position);
            self.attempts.insert(worker, attempt);
            match self.phase {
                Phase::Serving | Phase::Offering(_) => {
                    self.with_attempt(now, worker, |attempt, out| attempt.spawn(now, out));
                }
                Phase::Stopping { .. } | Phase::Finished => {
                    self.with_attempt(now, worker, |attempt, out| {
                        attempt.stop(now, StopReason::Shutdown, out);
                    });
                }
            }
        }
        fits
    }

    fn claim_failed(&mut self, now: Now) -> Result<(), Unfit> {
        if !self.claim.in_flight {
            return Err(Unfit("a claim failed, without a claim"));
        }
        self.claim.in_flight = false;
        self.claim.wanted = false;
        self.claim.at = now.monotonic + store_retry(self.claim.failures);
        self.claim.failures = self.claim.failures.saturating_add(1);
        Ok(())
    }

    fn recorded(&mut self, now: Now, worker: WorkerId) -> Result<(), Unfit> {
        let recording = |attempt: &Attempt| matches!(attempt.life, Life::Recording { .. });
        if !self.attempts.get(&worker).is_some_and(recording) {
            return Err(Unfit("recorded, before its end"));
        }
        self.attempts.remove(&worker);
        self.idle_since = now.monotonic;
        Ok(())
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

    fn about_worker(&mut self, now: Now, worker: WorkerId, event: Event) -> Result<(), Unfit> {
        // What nobody asked for may come late.
        let unasked = matches!(
            event,
            Event::Said { .. }
                | Event::LinkBroken { .. }
                | Event::LimitExceeded { .. }
                | Event::Signalled { .. }
        );
        match self.with_attempt(now, worker, |attempt, out| attempt.handle(now, event, out)) {
            Some(fits) => fits,
            None if unasked => Ok(()),
            None => Err(Unfit("about a worker that is over")),
        }
    }

    /// What was not performed yet goes to the next keeper or, about a dead worker, to nobody.
    fn keeper_lost(&mut self, now: Now) {
        let spawning = |effect: &Effect| {
            let Effect::Spawn { worker, .. } = effect else {
                return None;
            };
            Some(*worker)
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

    /// A newer build takes over, unless the store knows better.
    fn superseded(&mut self) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Offering(Offer::Superseded);
            self.effects.push_back(Effect::HandOver);
        }
    }

    fn shutdown(&mut self, now: Now, request: Shutdown) {
        let (request, closing, earlier) = match self.phase {
            Phase::Serving => {
                self.effects.push_back(Effect::Close);
                (request, Closing::Asked { failures: 0 }, None)
            }
            Phase::Offering(_) => (request, Closing::Asked { failures: 0 }, None),
            Phase::Stopping {
                request: earlier,
                closing,
                stop_at,
            } => (earlier.max_haste(request), closing, stop_at),
            Phase::Finished => return,
        };
        let stop_at = match request {
            Shutdown::Finish => None,
            Shutdown::Drain(time) => {
                let at = now.monotonic.saturating_add(time);
                Some(earlier.map_or(at, |earlier| earlier.min(at)))
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

    fn close_answered(&mut self, now: Now, closed: bool) -> Result<(), Unfit> {
        match (self.phase, closed) {
            (Phase::Offering(_), true) => {
                // Something may still run if it was superseded.
                self.phase = Phase::Stopping {
                    request: Shutdown::Finish,
                    stop_at: None,
                    closing: Closing::Over,
                };
            }
            (Phase::Offering(offer), false) => {
                self.phase = Phase::Serving;
                self.claim.wanted = true;
                if offer == Offer::Idle {
                    self.idle_since = now.monotonic;
                }
            }
            (
                Phase::Stopping {
                    request,
                    stop_at,
                    closing: Closing::Asked { failures },
                },
                closed,
            ) => {
                let failures = failures + 1;
                let closing = if closed || failures >= CLOSE_TRIES_MAX {
                    // An open row without its supervisor is what a crash leaves: it is rescued.
                    Closing::Over
                } else {
                    let at = now.monotonic + store_retry(failures - 1);
                    Closing::Waiting { failures, at }
                };
                self.phase = Phase::Stopping {
                    request,
                    stop_at,
                    closing,
                };
            }
            (Phase::Serving, true) => {
                // Nothing can be claimed any more.
                self.shutdown(now, Shutdown::Finish);
                return Err(Unfit("closed, without a wish to"));
            }
            (Phase::Serving, false) | (Phase::Stopping { .. } | Phase::Finished, _) => {
                return Err(Unfit("an answer about closing, without a question"));
            }
        }
        Ok(())
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
                    self.phase = Phase::Offering(Offer::Idle);
                    self.effects.push_back(Effect::CloseIfIdle);
                }
            }
            Phase::Stopping {
                request,
                stop_at,
                closing: Closing::Waiting { failures, at },
            } if at <= now.monotonic => {
                self.phase = Phase::Stopping {
                    request,
                    stop_at,
                    closing: Closing::Asked { failures },
                };
                self.effects.push_back(Effect::Close);
            }
            Phase::Stopping {
                closing: Closing::Over,
                ..
            } if self.attempts.is_empty() && !self.claim.in_flight => {
                self.phase = Phase::Finished;
                self.effects.push_back(Effect::Finish);
            }
            Phase::Offering(_) | Phase::Stopping { .. } | Phase::Finished => {}
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
    fn with_attempt<R>(
        &mut self,
        now: Now,
        worker: WorkerId,
        step: impl FnOnce(&mut Attempt, &mut attempt::Out<'_>) -> R,
    ) -> Option<R> {
        let attempt = self.attempts.get_mut(&worker)?;
        let held = attempt.holds_slot();
        let mut out = attempt::Out {
            worker,
            effects: &mut self.effects,
            random: &mut self.random,
        };
        let answer = step(attempt, &mut out);
        if held && !attempt.holds_slot() {
            self.free.push(attempt.assignment.slot);
            self.free.sort_unstable_by(|a, b| b.cmp(a));
            self.claim.wanted = true;
            self.idle_since = now.monotonic;
        }
        Some(answer)
    }

    /// Where an attempt that holds no slot puts its effects.
    fn out(&mut self, worker: WorkerId) -> attempt::Out<'_> {
        attempt::Out {
            worker,
            effects: &mut self.effects,
            random: &mut self.random,
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

/// Waiting time before the store is asked again.
fn store_retry(failures: u32) -> Duration {
    STORE_RETRY_MIN
        .saturating_mul(1 << failures.min(10))
        .min(STORE_RETRY_MAX)
}
