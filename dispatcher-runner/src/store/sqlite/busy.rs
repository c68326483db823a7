//! Bounded waits for SQLite's locks, so that no caller ever sees "database is locked".
//!
//! Waits are short: a commit holds the write lock for about one disk sync. SQLite's own handler
//! backs off to 100 ms, which starves whoever has waited longest; this one never sleeps longer
//! than [`SLEEP_MAX`].

use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

/// The longest wait for a lock.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);
const YIELDS: u32 = 8;
const SLEEP_MIN: Duration = Duration::from_micros(100);
const SLEEP_MAX: Duration = Duration::from_millis(4);

/// The connection's busy handler.
pub(super) fn handler(wait_max: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    move |count| {
        if count == 0 {
            since = Instant::now();
        }
        let goes_on = since.elapsed() < wait_max;
        if goes_on {
            pause(count.unsigned_abs());
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
        pause(count);
        count += 1;
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn pause(count: u32) {
    if count < YIELDS {
        std::thread::yield_now();
    } else {
        let doubled = SLEEP_MIN.saturating_mul(1 << (count - YIELDS).min(10));
        std::thread::sleep(doubled.min(SLEEP_MAX));
    }
}
