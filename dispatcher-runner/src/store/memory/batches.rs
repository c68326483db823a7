//! Batches, and what follows when they have finished.

use dispatcher_core::JobId;

use super::state::State;
use crate::store::{Accepted, BatchCounts, BatchRecord, NewBatch, NewJob, UnixMs};

/// A batch, and the job that follows it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) record: BatchRecord,
    on_finished: Option<NewJob>,
}

impl State {
    /// Makes a batch of jobs that are stored; duplicates stay what they were.
    pub(super) fn add_batch(&mut self, batch: &NewBatch, jobs: &[Accepted], now: UnixMs) {
        let own: Vec<JobId> = jobs
            .iter()
            .filter(|job| !job.duplicate)
            .map(|job| job.id)
            .collect();
        for id in &own {
            if let Some(job) = self.keys.get(id).and_then(|key| self.jobs.get_mut(key)) {
                job.batch = Some(batch.id.clone());
            }
        }
        let record = BatchRecord {
            id: batch.id.clone(),
            counts: BatchCounts::of(own.len()),
            created_at: now,
            finished_at: own.is_empty().then_some(now),
            jobs: own,
            on_finished: batch.on_finished.as_ref().map(|job| job.id),
        };
        let is_over = record.finished_at.is_some();
        let on_finished = batch.on_finished.clone();
        let batch = Batch {
            record,
            on_finished,
        };
        let id = batch.record.id.clone();
        self.batches.insert(id.clone(), batch);
        if is_over {
            self.follow_batch(&id, now);
        }
    }

    /// Counts the end of a job; the last one of a batch stores the job that follows.
    pub(super) fn count_in_batch(&mut self, ended: i64, now: UnixMs) {
        let Some(job) = self.jobs.get(&ended) else {
            return;
        };
        let Some(id) = job.batch.clone() else { return };
        let state = job.state;
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.record.counts.end(state);
        if batch.record.counts.pending == 0 {
            batch.record.finished_at = Some(now);
            self.follow_batch(&id, now);
        }
    }

    fn follow_batch(&mut self, id: &str, now: UnixMs) {
        let job = self.batches.get(id).and_then(|it| it.on_finished.clone());
        if let Some(job) = job {
            self.insert_whatever_the_queue(&job, now);
        }
    }

    pub(super) fn prune_batches(&mut self, before: UnixMs) {
        let finished = |batch: &Batch| batch.record.finished_at;
        let is_old = |batch: &mut Batch| finished(batch).is_some_and(|at| at < before);
        for (_, batch) in self.batches.extract_if(.., |_, batch| is_old(batch)) {
            for id in batch.record.jobs {
                if let Some(job) = self.keys.get(&id).and_then(|key| self.jobs.get_mut(key)) {
                    job.batch = None;
                }
            }
        }
    }
}
