//! How a supervisor leaves: it offers to, is superseded, or is told to end.
//!
//! Whoever takes nothing new closes its row first and then finishes what it runs.

use std::time::Duration;

use super::classify::StopReason;
use super::lane::store_retry;
use super::pool::{How, Pool};
use super::{AttemptId, Effect, Engine, Now, Shutdown, Unfit};

/// Tries to close the row before it is left to whoever rescues it.
const CLOSE_TRIES_MAX: u32 = 5;
const UNASKED: Unfit = Unfit("an answer about closing, without a question");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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
pub(super) enum Offer {
    /// It has had nothing to do.
    Idle,
    /// A newer build is there.
    Superseded,
}

/// How far the closing of the row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// It is being opened, and closed as soon as it is.
    Opening,
    /// The store is asked, after so many failures.
    Asked { failures: u32 },
    /// The store could not do it; it is asked again at this time.
    Waiting { failures: u32, at: Duration },
    /// It is closed, or is left open to whoever rescues it.
    Over,
}

impl Engine {
    /// A newer build takes over, unless the store knows better.
    pub(super) fn superseded(&mut self) {
        if self.phase == Phase::Serving && self.has_row() {
            self.phase = Phase::Offering(Offer::Superseded);
            self.effects.push_back(Effect::HandOver);
        }
    }

    pub(super) fn shutdown(&mut self, now: Now, request: Shutdown) {
        let (request, closing, earlier) = match self.phase {
            Phase::Serving if self.opens_row() => (request, Closing::Opening, None),
            Phase::Serving if !self.has_row() => (request, Closing::Over, None),
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
        self.close_pools(now, request);
        if stop_at.is_some_and(|at| at <= now.monotonic) {
            self.stop_all(now);
        }
    }

    pub(super) fn stop_all(&mut self, now: Now) {
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
        let attempts: Vec<AttemptId> = self.attempts.keys().copied().collect();
        for attempt in attempts {
            self.with_attempt(now, attempt, |attempt, out| {
                attempt.stop(now, StopReason::Shutdown, out);
                if request == Shutdown::Now {
                    attempt.kill_now(now, out);
                }
            });
        }
        let how = match request {
            Shutdown::Now => How::Kill,
            Shutdown::Finish | Shutdown::Drain(_) => How::Stop,
        };
        for pool in 0..self.pools.len() {
            self.stop_pool(now, pool, how);
        }
    }

    /// The row is closed.
    pub(super) fn closed(&mut self, now: Now) -> Result<(), Unfit> {
        match self.phase {
            Phase::Offering(_) => {
                // Something may still run if it was superseded.
                self.phase = Phase::Stopping {
                    request: Shutdown::Finish,
                    stop_at: None,
                    closing: Closing::Over,
                };
                self.close_pools(now, Shutdown::Finish);
                Ok(())
            }
            Phase::Stopping {
                closing: Closing::Asked { .. },
                ..
            } => {
                self.set_closing(Closing::Over);
                Ok(())
            }
            Phase::Serving => {
                // Nothing can be claimed any more.
                self.shutdown(now, Shutdown::Finish);
                Err(Unfit("closed, without a wish to"))
            }
            Phase::Stopping { .. } | Phase::Finished => Err(UNASKED),
        }
    }

    /// The row stays open, or could not be closed.
    pub(super) fn not_closed(&mut self, now: Now) -> Result<(), Unfit> {
        match self.phase {
            Phase::Offering(offer) => {
                self.phase = Phase::Serving;
                self.want_work();
                if offer == Offer::Idle {
                    self.idle_since = now.monotonic;
                }
            }
            Phase::Stopping {
                closing: Closing::Asked { failures },
                ..
            } => {
                let failures = failures + 1;
                self.set_closing(if failures >= CLOSE_TRIES_MAX {
                    // An open row without its supervisor is what a crash leaves: it is rescued.
                    Closing::Over
                } else {
                    let at = now.monotonic + store_retry(failures - 1);
                    Closing::Waiting { failures, at }
                });
            }
            Phase::Serving | Phase::Stopping { .. } | Phase::Finished => return Err(UNASKED),
        }
        Ok(())
    }

    /// Whoever is about to end closes the row that it has got late.
    pub(super) fn close_late_row(&mut self) {
        if self.closes_late() {
            self.set_closing(Closing::Asked { failures: 0 });
            self.effects.push_back(Effect::Close);
        }
    }

    pub(super) fn close_no_row(&mut self) {
        if self.closes_late() {
            self.set_closing(Closing::Over);
        }
    }

    fn closes_late(&self) -> bool {
        matches!(
            self.phase,
            Phase::Stopping {
                closing: Closing::Opening,
                ..
            }
        )
    }

    fn set_closing(&mut self, to: Closing) {
        if let Phase::Stopping { closing, .. } = &mut self.phase {
            *closing = to;
        }
    }

    /// Offers to leave when it has been idle long enough; finishes when everything is over.
    pub(super) fn advance_phase(&mut self, now: Now) {
        match self.phase {
            Phase::Serving => {
                if let Some(linger) = self.config.linger
                    && self.is_quiet()
                    && self.has_row()
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
            } if self.is_quiet() && !self.awaits_lease() => {
                self.empty_pools(now);
                if self.pools.iter().all(Pool::is_empty) {
                    self.phase = Phase::Finished;
                    self.effects.push_back(Effect::Finish);
                }
            }
            Phase::Offering(_) | Phase::Stopping { .. } | Phase::Finished => {}
        }
    }

    /// Monotonic time at which something is due that concerns the whole.
    pub(super) fn phase_timer(&self) -> Option<Duration> {
        match self.phase {
            Phase::Serving if self.is_quiet() && self.has_row() => {
                self.config.linger.map(|linger| self.idle_since + linger)
            }
            Phase::Stopping {
                stop_at,
                closing: Closing::Waiting { at, .. },
                ..
            } => Some(stop_at.map_or(at, |stop| stop.min(at))),
            Phase::Stopping { stop_at, .. } => stop_at,
            Phase::Serving | Phase::Offering(_) | Phase::Finished => None,
        }
    }

    /// Whether nothing runs, waits or is asked for.
    fn is_quiet(&self) -> bool {
        self.attempts.is_empty() && !self.is_asking() && !self.pools.iter().any(Pool::has_tasks)
    }

    /// Whether a claim is under way.
    pub(super) fn is_asking(&self) -> bool {
        self.claim.in_flight || self.pools.iter().any(|pool| pool.claim.in_flight)
    }
}
