//! Callbacks, in the order in which they were asked for.

use std::time::Duration;

use dispatcher_core::JobId;

use super::state::State;
use crate::store::{Accepted, DueCallback, NewCallback, Settled, UnixMs, rules};

/// A callback, and when it is due.
#[derive(Debug)]
pub(super) struct Callback {
    told: DueCallback,
    due_at: Option<UnixMs>,
}

impl State {
    pub(super) fn add_callbacks(&mut self, callbacks: &[NewCallback], jobs: &[Accepted]) {
        for callback in callbacks {
            let Some(job) = jobs.get(callback.job) else {
                continue;
            };
            let key = self.next_sequence();
            let told = DueCallback {
                key,
                job: job.id,
                url: callback.url.clone(),
                sender: callback.sender.clone(),
                tries: 0,
            };
            self.callbacks.insert(key, Callback { told, due_at: None });
        }
    }

    /// The job has ended.
    pub(super) fn callbacks_due(&mut self, job: JobId, now: UnixMs) {
        for callback in self.callbacks.values_mut() {
            if callback.told.job == job && callback.due_at.is_none() {
                callback.due_at = Some(now);
            }
        }
    }

    pub(super) fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
        now: UnixMs,
    ) -> Vec<DueCallback> {
        let until = now.saturating_add(rules::millis(hold));
        let mut due: Vec<_> = self
            .callbacks
            .iter()
            .filter_map(|(key, callback)| Some((callback.due_at?, *key)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut taken = Vec::with_capacity(due.len());
        for (_, key) in due {
            if let Some(callback) = self.callbacks.get_mut(&key) {
                callback.due_at = Some(until);
                callback.told.tries += 1;
                taken.push(callback.told.clone());
            }
        }
        taken
    }

    pub(super) fn settle_callback(&mut self, key: i64, settled: Settled, now: UnixMs) {
        match settled {
            Settled::Done => drop(self.callbacks.remove(&key)),
            Settled::Again(after) => {
                if let Some(callback) = self.callbacks.get_mut(&key) {
                    callback.due_at = Some(now.saturating_add(rules::millis(after)));
                }
            }
        }
    }
}
