//! How far a service has come, for everybody in it who waits for that.
//!
//! It only ever goes on: from starting to serving, to stopping, to its end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::supervisor::Turn;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    /// Jobs are run.
    Serving,
    /// Nothing new is started.
    Stopping,
    Ended,
}

/// The phase of a service.
#[derive(Debug)]
pub(crate) struct Stage {
    now: Mutex<Phase>,
    changed: Condvar,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            now: Mutex::new(Phase::Starting),
            changed: Condvar::new(),
        }
    }

    /// What the supervisor says.
    pub(crate) fn turn(&self, turn: Turn) {
        match turn {
            Turn::Ready(_) => self.reach(Phase::Serving),
            Turn::Stopping => self.reach(Phase::Stopping),
        }
    }

    /// It has come at least this far.
    pub(crate) fn reach(&self, phase: Phase) {
        let mut now = self.lock();
        *now = phase.max(*now);
        drop(now);
        self.changed.notify_all();
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.lock()
    }

    /// Waits until it has come as far, and says how far it has come then.
    pub(crate) fn wait(&self, phase: Phase) -> Phase {
        let now = self.changed.wait_while(self.lock(), |now| *now < phase);
        *now.unwrap_or_else(PoisonError::into_inner)
    }

    /// [`wait`](Self::wait) for at most this time.
    pub(crate) fn wait_for(&self, phase: Phase, time: Duration) -> Phase {
        let end = Instant::now() + time;
        let mut now = self.lock();
        while *now < phase {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(now, left);
            now = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *now
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_wakes_whoever_waits() {
        let stage = Stage::new();
        assert_eq!(
            stage.wait_for(Phase::Serving, Duration::ZERO),
            Phase::Starting
        );
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stage.wait(Phase::Stopping));
            stage.turn(Turn::Ready("/d".into()));
            assert_eq!(stage.wait(Phase::Serving), Phase::Serving);
            stage.reach(Phase::Ended);
            assert_eq!(waiting.join().unwrap(), Phase::Ended);
        });
        stage.turn(Turn::Stopping);
        assert_eq!(stage.phase(), Phase::Ended);
        let long = Duration::from_secs(60);
        assert_eq!(stage.wait_for(Phase::Serving, long), Phase::Ended);
    }
}
