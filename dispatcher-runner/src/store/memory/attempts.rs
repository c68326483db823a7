//! How attempts end, by record, cancellation or rescue.
//!
//! A record without the valid token changes nothing.

use std::time::Duration;

use dispatcher_core::{Cause, JobId, JobState, Transition};

use super::state::{Attempt, Job, State, WaitsFor};
use crate::store::rules::{self, Place, Step};
use crate::store::{
    AttemptRecord, CancelReply, Cancellation, Capture, Claimed, HandOver, ProgressNote, Record,
    Recorded, Renewal, Rescued, Serves, SupervisorId, SupervisorRow, UnixMs,
};

impl State {
    /// The running job of an attempt, if the token is still valid.
    fn fenced(&mut self, job: JobId, token: u64) -> Option<(i64, &mut Job)> {
        let key = *self.keys.get(&job)?;
        let job = self.jobs.get_mut(&key)?;
        let valid = job.state == JobState::Running && job.counters.token == token;
        valid.then_some((key, job))
    }

    fn running(&self) -> impl Iterator<Item = (i64, &Job)> {
        let all = self.jobs.iter().map(|(key, job)| (*key, job));
        all.filter(|(_, job)| job.state == JobState::Running)
    }

    fn held_by(&self, supervisor: SupervisorId) -> impl Iterator<Item = (i64, &Job, u32)> {
        self.running().filter_map(move |(key, job)| {
            let (holder, slot) = job.supervisor?;
            (holder == supervisor).then_some((key, job, slot))
        })
    }

    pub(super) fn record(&mut self, record: &Record, now: UnixMs) -> Recorded {
        let Some((key, job)) = self.fenced(record.job, record.token) else {
            return Recorded::Fenced;
        };
        let dispatcher = job.new.dispatcher.clone();
        job.attempts.push(Attempt {
            record: AttemptRecord {
                attempt: record.attempt,
                started_at: record.started_at,
                ended_at: record.ended_at,
                run_time: Duration::from_micros(rules::micros(record.run_time).unsigned_abs()),
                pid: record.pid,
                build: record.build.clone(),
                outcome: record.outcome.clone(),
                stderr_end: rules::end_of(&record.capture.stderr),
            },
            capture: record.capture.clone(),
        });
        let step = rules::after_attempt(record.next, job.lost, job.cancel_by.as_deref());
        let state = self.follow(key, step, now);
        let output = record.output.as_ref();
        let output = output.filter(|_| state == JobState::Succeeded);
        if let (Some(output), Some(job)) = (output, self.jobs.get_mut(&key)) {
            job.output = Some(output.clone());
        }
        let has_output = output.is_some();
        let dispatcher = self.dispatcher(&dispatcher);
        if record.started_at.is_some() {
            let mean = rules::mean_us(dispatcher.mean_run_us, record.run_time);
            dispatcher.mean_run_us = Some(mean);
        }
        if has_output {
            dispatcher.latest_output = Some(key);
        }
        Recorded::Applied(state)
    }

    /// Lets a running job take its next step, after its attempt was written.
    fn follow(&mut self, key: i64, step: Step, now: UnixMs) -> JobState {
        let seq = self.sequence + 1;
        let Some(job) = self.jobs.get_mut(&key) else {
            unreachable!("invariant: the caller found the job under the same lock");
        };
        match step {
            Step::End {
                transition,
                outcome,
            } => {
                let last = job.attempts.last();
                let outcome = outcome.or_else(|| last.map(|last| last.record.outcome.clone()));
                let outcome = outcome.unwrap_or_else(|| rules::outcome(Cause::WorkerLost));
                job.end(transition, outcome, now);
                let state = job.state;
                self.release(key, now);
                state
            }
            Step::Again(again) => {
                job.apply(Transition::Requeue);
                job.waits_for = WaitsFor::Nothing;
                job.started_at = None;
                job.progress = None;
                job.supervisor = None;
                job.counters.failures += again.failures;
                job.snoozes += again.snoozes;
                job.lost += again.lost;
                let mut waits_since = now;
                if let Place::Behind(after) = again.place {
                    let after = rules::millis(after);
                    waits_since = now.saturating_add(after);
                    job.run_at = waits_since;
                    job.seq = seq;
                    self.sequence = seq;
                    if after > 0 {
                        job.waits_for = WaitsFor::DueTime;
                    }
                }
                let expires = job.expires_ms();
                job.expires_at = expires.map(|expires| waits_since.saturating_add(expires));
                JobState::Queued
            }
        }
    }

    pub(super) fn note_progress(&mut self, note: &ProgressNote) {
        if let Some((_, job)) = self.fenced(note.job, note.token) {
            job.progress = Some((note.fraction, note.text.clone()));
        }
    }

    pub(super) fn cancel(&mut self, id: JobId, by: &str, now: UnixMs) -> CancelReply {
        let Some(key) = self.keys.get(&id).copied() else {
            return CancelReply::Unknown;
        };
        let Some(job) = self.jobs.get_mut(&key) else {
            return CancelReply::Unknown;
        };
        match job.state {
            JobState::Queued => {
                let cause = Cause::Cancelled { by: by.to_owned() };
                job.end(Transition::Cancel, rules::outcome(cause), now);
                self.release(key, now);
                CancelReply::Cancelled
            }
            JobState::Running => {
                job.cancel_by.get_or_insert_with(|| by.to_owned());
                let (supervisor, _) = job.supervisor.unwrap_or((SupervisorId(0), 0));
                CancelReply::Stopping(supervisor)
            }
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
                CancelReply::Ended(job.state)
            }
        }
    }

    pub(super) fn cancellations(&self, supervisor: SupervisorId) -> Vec<Cancellation> {
        let held = self.held_by(supervisor);
        held.filter_map(|(_, job, _)| {
            Some(Cancellation {
                job: job.new.id,
                token: job.counters.token,
                by: job.cancel_by.clone()?,
            })
        })
        .collect()
    }

    pub(super) fn claims_of(&self, supervisor: SupervisorId) -> Vec<Claimed> {
        let held = self.held_by(supervisor);
        held.map(|(_, job, slot)| job.as_claimed(slot)).collect()
    }

    pub(super) fn close_supervisor(&mut self, supervisor: SupervisorId) {
        if let Some(row) = self.supervisors.get_mut(&supervisor) {
            row.open = false;
        }
    }

    pub(super) fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> HandOver {
        let theirs = self.supervisors.get(&to).filter(|row| row.open);
        let unfinished = self.jobs.values().filter(|job| job.is_unfinished());
        let unfinished =
            unfinished.map(|job| (job.new.dispatcher.as_str(), job.new.options.queue.as_str()));
        let answer = rules::hand_over(serves, theirs.map(|row| &row.serves[..]), unfinished);
        match &answer {
            HandOver::Refused => {}
            HandOver::Closed => self.close_supervisor(supervisor),
            HandOver::Narrowed(names) => {
                if let Some(row) = self.supervisors.get_mut(&supervisor) {
                    row.serves.clone_from(names);
                }
            }
        }
        answer
    }

    pub(super) fn supervisors(&self) -> Vec<SupervisorRow> {
        let rows = self.supervisors.values();
        rows.filter(|row| row.open || self.held_by(row.id).next().is_some())
            .cloned()
            .collect()
    }

    pub(super) fn renew(
        &mut self,
        supervisor: SupervisorId,
        lease: Duration,
        now: UnixMs,
    ) -> Renewal {
        if !self.supervisors.contains_key(&supervisor) {
            return Renewal::Lost;
        }
        self.leases.insert(supervisor, now + rules::millis(lease));
        Renewal::Renewed
    }

    pub(super) fn rescue_expired(&mut self, now: UnixMs) -> Vec<(SupervisorId, Rescued)> {
        let ended = self.leases.iter().filter(|(_, until)| **until <= now);
        let ended: Vec<SupervisorId> = ended.map(|(id, _)| *id).collect();
        let rescue = |id| (id, self.rescue(id, now));
        ended.into_iter().map(rescue).collect()
    }

    pub(super) fn rescue(&mut self, dead: SupervisorId, now: UnixMs) -> Rescued {
        let mut held: Vec<_> = self
            .held_by(dead)
            .map(|(key, job, _)| (job.seq, key))
            .collect();
        held.sort_unstable();
        self.leases.remove(&dead);
        let build = self.supervisors.remove(&dead).map(|row| row.build.id);
        let build = build.unwrap_or_default();
        let mut rescued = Rescued::default();
        for (_, key) in held {
            let Some(job) = self.jobs.get_mut(&key) else {
                continue;
            };
            let id = job.new.id;
            job.attempts.push(Attempt {
                record: lost_attempt(job, &build, now),
                capture: Capture::default(),
            });
            let on_lost = job.new.options.on_lost;
            let step = rules::after_loss(on_lost, job.lost, job.cancel_by.as_deref());
            match self.follow(key, step, now) {
                JobState::Queued | JobState::Running => rescued.requeued.push(id),
                JobState::Failed | JobState::Succeeded => rescued.failed.push(id),
                JobState::Cancelled => rescued.cancelled.push(id),
            }
        }
        rescued
    }
}

fn lost_attempt(job: &Job, build: &str, now: UnixMs) -> AttemptRecord {
    AttemptRecord {
        attempt: job.counters.attempt,
        started_at: job.started_at,
        ended_at: now,
        run_time: rules::until(job.started_at.unwrap_or(now), now),
        pid: None,
        build: build.to_owned(),
        outcome: rules::outcome(Cause::WorkerLost),
        stderr_end: Vec::new(),
    }
}
