//! How many jobs a pool claims ahead of its workers: as many as will begin in a moment.
//!
//! A store asks little more for many jobs than for one, and a worker that ends a short task should
//! find the next one here. But what is claimed runs nowhere else, so that nothing is claimed ahead
//! that would wait for long, as far as the last tasks tell; whatever waits all the same is given
//! back.

use std::time::Duration;

/// What is claimed ahead begins within this time, if tasks go on as they did.
const HORIZON: Duration = Duration::from_millis(10);
/// Longest wait of what was claimed ahead.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(500);
/// Payloads of what is claimed ahead have so many bytes together, if they go on as they did.
const BYTES_MAX: usize = 4 << 20;
/// A task that takes longer than those before counts at once, a shorter one by an eighth.
const MEMORY: u32 = 8;

/// What the last tasks of a pool were like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// Time in a worker; `None` before the first.
    task: Option<Duration>,
    bytes: usize,
}

impl Pace {
    /// A task has taken so long, until its worker was ready again.
    pub(super) fn took(&mut self, time: Duration) {
        let task = match self.task {
            Some(known) if known > time => known - (known - time) / MEMORY,
            Some(_) | None => time,
        };
        self.task = Some(task);
    }

    /// A payload of so many bytes was claimed.
    pub(super) fn claimed(&mut self, bytes: usize) {
        self.bytes = match self.bytes > bytes {
            true => self.bytes - (self.bytes - bytes) / MEMORY as usize,
            false => bytes,
        };
    }

    /// Jobs to be claimed ahead, at most `most` for each of these workers.
    pub(super) fn ahead(&self, workers: usize, most: u32) -> usize {
        let Some(task) = self.task else {
            return 0;
        };
        let each = HORIZON.as_nanos() / task.as_nanos().max(1);
        let each = u32::try_from(each).unwrap_or(u32::MAX).min(most);
        let all = workers.saturating_mul(each as usize);
        all.min(BYTES_MAX / self.bytes.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_ahead_of_what_is_unknown_or_long() {
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(4, 32), 0);
        pace.took(Duration::from_millis(11));
        assert_eq!(pace.ahead(4, 32), 0);
        pace.took(Duration::from_secs(100));
        assert_eq!(pace.ahead(4, 32), 0);
    }

    #[test]
    fn as_much_as_begins_within_the_horizon() {
        let mut pace = Pace::default();
        pace.took(Duration::from_millis(2));
        assert_eq!(pace.ahead(4, 32), 20);
        assert_eq!(pace.ahead(4, 3), 12);
        assert_eq!(pace.ahead(0, 32), 0);
        pace.took(Duration::ZERO);
        assert_eq!(pace.ahead(1, 32), 5, "1.75 ms");
    }

    #[test]
    fn a_long_task_counts_at_once_and_is_forgotten_slowly() {
        let mut pace = Pace::default();
        pace.took(Duration::from_micros(50));
        assert_eq!(pace.ahead(2, 32), 64);
        pace.took(Duration::from_secs(1));
        assert_eq!(pace.ahead(2, 32), 0);
        let again = (0..).find(|_| {
            pace.took(Duration::from_micros(50));
            pace.ahead(2, 32) > 0
        });
        assert_eq!(again, Some(34));
    }

    #[test]
    fn large_payloads_are_not_gathered() {
        let mut pace = Pace::default();
        pace.took(Duration::from_micros(50));
        pace.claimed(2 << 20);
        assert_eq!(pace.ahead(8, 32), 2);
        (0..40).for_each(|_| pace.claimed(100));
        assert!(pace.ahead(8, 32) > 200);
    }
}
