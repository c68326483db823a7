//! Listings, and what is removed from them in the end.
//!
//! The newest succeeded job with an output of each dispatcher is never pruned.

use std::collections::BTreeSet;
use std::time::Duration;

use dispatcher_core::{JobId, JobState};

use super::state::{Job, State, WaitsFor};
use crate::store::{
    DispatcherStatus, JobFilter, JobRecord, JobSummary, Pause, Retention, UnixMs, rules,
};

impl State {
    pub(super) fn dispatchers(&self) -> Vec<DispatcherStatus> {
        let rows = self.dispatchers.values();
        rows.map(|dispatcher| {
            let (waiting, running) = self.counts(&dispatcher.row.name);
            DispatcherStatus {
                row: dispatcher.row.clone(),
                paused: dispatcher.paused,
                waiting,
                running,
                mean_run: dispatcher
                    .mean_run_us
                    .map(|us| Duration::from_micros(us.unsigned_abs())),
            }
        })
        .collect()
    }

    pub(super) fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> bool {
        let Some(dispatcher) = self.dispatchers.get_mut(dispatcher) else {
            return false;
        };
        dispatcher.paused = match pause {
            Pause::Paused => true,
            Pause::Running => false,
        };
        true
    }

    pub(super) fn find(&self, prefix: &str, limit: usize) -> Vec<JobId> {
        let ids = self.keys.keys();
        ids.filter(|id| id.as_str().starts_with(prefix))
            .take(limit)
            .copied()
            .collect()
    }

    pub(super) fn list(&self, filter: &JobFilter) -> Vec<JobSummary> {
        let newest_first = self.jobs.values().rev();
        newest_first
            .filter(|job| {
                let JobFilter {
                    state,
                    dispatcher,
                    queue,
                    search,
                    limit: _,
                } = filter;
                state.is_none_or(|state| state == job.state)
                    && dispatcher
                        .as_ref()
                        .is_none_or(|name| *name == job.new.dispatcher)
                    && queue
                        .as_ref()
                        .is_none_or(|queue| *queue == job.new.options.queue)
                    && search.as_ref().is_none_or(|(path, wanted)| {
                        rules::payload_matches(&job.new.payload, path, wanted)
                    })
            })
            .take(filter.limit)
            .map(summary)
            .collect()
    }

    pub(super) fn unfinished(&self) -> Vec<(String, String)> {
        let jobs = self.jobs.values().filter(|job| job.is_unfinished());
        let lanes = jobs.map(|job| (job.new.dispatcher.clone(), job.new.options.queue.clone()));
        lanes.collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn oldest_waiting(&self) -> Option<UnixMs> {
        let mut jobs = self.jobs.values();
        let oldest = jobs.find(|job| job.state == JobState::Queued);
        oldest.map(|job| job.submitted_at)
    }

    pub(super) fn latest_output(&self, dispatcher: &str) -> Option<(JobId, String)> {
        let key = self.dispatchers.get(dispatcher)?.latest_output?;
        let job = self.jobs.get(&key)?;
        Some((job.new.id, job.output.clone()?))
    }

    pub(super) fn prune(&mut self, retention: &Retention, batch: usize, now: UnixMs) -> u64 {
        let before = now.saturating_sub(rules::millis(retention.age));
        let mut doomed = Vec::new();
        for (name, dispatcher) in &self.dispatchers {
            let all = self.jobs.iter();
            let mut finished: Vec<_> = all
                .filter(|(_, job)| job.new.dispatcher == *name)
                .filter_map(|(key, job)| job.ended_at.map(|ended| (ended, *key)))
                .collect();
            finished.sort_unstable();
            let kept = usize::try_from(retention.count_per_dispatcher).unwrap_or(usize::MAX);
            let excess = finished.len().saturating_sub(kept);
            let prunable = finished
                .into_iter()
                .filter(|(_, key)| Some(*key) != dispatcher.latest_output)
                .enumerate()
                .filter(|(index, (ended, _))| *index < excess || *ended < before);
            doomed.extend(prunable.map(|(_, (_, key))| key));
        }
        self.prune_batches(before);
        doomed.truncate(batch);
        for key in &doomed {
            if let Some(job) = self.jobs.remove(key) {
                self.keys.remove(&job.new.id);
            }
        }
        doomed.len() as u64
    }
}

pub(super) fn summary(job: &Job) -> JobSummary {
    let held = job.waits_for == WaitsFor::Duplicate;
    JobSummary {
        id: job.new.id,
        dispatcher: job.new.dispatcher.clone(),
        queue: job.new.options.queue.clone(),
        priority: job.new.options.priority,
        state: job.state,
        counters: job.counters,
        payload: job.new.payload.clone(),
        origin: job.new.origin.clone(),
        submitted_at: job.submitted_at,
        run_at: (!held).then_some(job.run_at),
        started_at: job.started_at,
        ended_at: job.ended_at,
        outcome: job.outcome.clone(),
        progress: job.progress.clone(),
    }
}

pub(super) fn record(job: &Job) -> JobRecord {
    JobRecord {
        summary: summary(job),
        options: job.new.options.clone(),
        identity: rules::identity(&job.new).into_owned(),
        build: job.new.build.clone(),
        retry_of: job.new.retry_of,
        snoozes: job.snoozes,
        lost: job.lost,
        cancel_requested_by: job.cancel_by.clone(),
        supervisor: job.supervisor,
        output: job.output.clone(),
        batch: job.batch.clone(),
        attempts: job.attempts.iter().map(|one| one.record.clone()).collect(),
    }
}
