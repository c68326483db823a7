//! Bounded waits for SQLite's locks, so that no caller ever sees "database is locked".
//!
//! SQLite hands its write lock to nobody: whoever asks at the right moment has it. Its own handler
//! asks less and less often, up to every 100 ms, so that who has waited longest is the least
//! likely to get it. This one keeps asking often for as long as a wait is of an ordinary length.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

/// The longest wait for a lock.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);
const YIELDS: u32 = 4;

/// Transactions for which a connection that had to wait lets others go first.
const COURTESIES: u32 = 32;
const COURTESY: Duration = Duration::from_micros(50);

/// How often a connection still steps back before it asks for the write lock. Without this a
/// process that commits in a row would take the lock again before anybody else is awake.
#[derive(Debug, Clone, Default)]
pub(super) struct Courtesy(Arc<AtomicU32>);

impl Courtesy {
    /// Steps back if there was somebody else lately.
    pub(super) fn step_back(&self) {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
            std::thread::sleep(COURTESY);
        }
    }
}

/// The connection's busy handler.
pub(super) fn handler(
    wait_max: Duration,
    courtesy: Courtesy,
) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    move |count| {
        if count == 0 {
            since = Instant::now();
            courtesy.0.store(COURTESIES, Ordering::Relaxed);
        }
        let goes_on = since.elapsed() < wait_max;
        if goes_on {
            pause(count.unsigned_abs(), since.elapsed());
        }
        goes_on
    }
}

/// Repeats a step that SQLite answers with "busy" without asking the handler: a race over
/// `journal_mode`, the recovery of a log, a last connection that is just closing.
pub(super) fn retrying<R>(
    wait_max: Duration,
    mut step: impl FnMut() -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    let since = Instant::now();
    let mut count = 0;
    loop {
        let result = step();
        let busy = matches!(&result, Err(error) if is_busy(error));
        if !busy || since.elapsed() >= wait_max {
            return result;
        }
        pause(count, since.elapsed());
        count += 1;
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn pause(count: u32, waited: Duration) {
    if count < YIELDS {
        std::thread::yield_now();
        return;
    }
    std::thread::sleep(match waited.as_millis() {
        0..100 => Duration::from_micros(50),
        100..1000 => Duration::from_millis(1),
        _ => Duration::from_millis(10),
    });
}
