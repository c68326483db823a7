//! When a lane asks the store for work: after something may have changed, and every so often.
//!
//! One claim of a lane is under way at a time; a store that fails is asked more and more rarely.

use std::time::Duration;

use super::Now;

const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClaimState {
    pub(super) in_flight: bool,
    /// Something happened since the last claim was sent that may have made work ready.
    pub(super) wanted: bool,
    /// Monotonic time of the next claim without a reason.
    pub(super) at: Duration,
    /// Consecutive failures.
    failures: u32,
}

impl ClaimState {
    pub(super) fn new(now: Now) -> Self {
        Self {
            in_flight: false,
            wanted: true,
            at: now.monotonic,
            failures: 0,
        }
    }

    /// Whether a claim is to be sent, if there is room.
    pub(super) fn is_due(&self, now: Now) -> bool {
        !self.in_flight && self.wanted && (self.failures == 0 || now.monotonic >= self.at)
    }

    pub(super) fn pass(&mut self, now: Now) {
        if now.monotonic >= self.at {
            self.wanted = true;
        }
    }

    pub(super) fn sent(&mut self) {
        self.in_flight = true;
        self.wanted = false;
    }

    /// Whoever got something asks again: there may be more.
    pub(super) fn answered(&mut self, now: Now, jobs: usize, wait: Duration) {
        self.in_flight = false;
        self.failures = 0;
        self.at = now.monotonic + wait;
        if jobs > 0 {
            self.wanted = true;
        }
    }

    /// `false` when nothing was asked.
    pub(super) fn failed(&mut self, now: Now) -> bool {
        if !self.in_flight {
            return false;
        }
        self.in_flight = false;
        self.wanted = false;
        self.at = now.monotonic + store_retry(self.failures);
        self.failures = self.failures.saturating_add(1);
        true
    }
}

/// Waiting time before the store is asked again.
pub(super) fn store_retry(failures: u32) -> Duration {
    STORE_RETRY_MIN
        .saturating_mul(1 << failures.min(10))
        .min(STORE_RETRY_MAX)
}
