//! Jobs, dispatchers and supervisors, and how work enters and is taken.
//!
//! `jobs` is ordered by key, and a key is the number of a submission; `JobState::apply` is the
//! only way to a new state.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;

use dispatcher_core::{
    Cause, Counters, DispatcherOptions, JobId, JobState, OnDuplicate, Outcome, ScheduleRecord,
    Transition,
};

use super::batches::Batch;
use super::callbacks::Callback;
use super::receipts::Receipts;
use crate::store::pick::{self, Contender, Fetch, Head};
use crate::store::rules::{self, DUE_PER_CLAIM_MAX, Verdict};
use crate::store::{
    Accepted, AttemptRecord, Build, Capture, Claim, ClaimRequest, Claimed, DispatcherRow, NewJob,
    NewSupervisor, Seat, Serves, StoreError, Submission, SubmitError, Submitted, SupervisorId,
    SupervisorRow, UnixMs,
};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) jobs: BTreeMap<i64, Job>,
    pub(super) keys: BTreeMap<JobId, i64>,
    pub(super) dispatchers: BTreeMap<String, Dispatcher>,
    pub(super) supervisors: BTreeMap<SupervisorId, SupervisorRow>,
    /// When each lease ends.
    pub(super) leases: BTreeMap<SupervisorId, UnixMs>,
    pub(super) schedules: BTreeMap<String, ScheduleRecord>,
    pub(super) receipts: Receipts,
    pub(super) batches: BTreeMap<String, Batch>,
    pub(super) callbacks: BTreeMap<i64, Callback>,
    pub(super) sequence: i64,
    opened: i64,
}

/// What keeps a queued job from being claimed. The order is that of the survivors of a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WaitsFor {
    Nothing,
    DueTime,
    Duplicate,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) new: NewJob,
    pub(super) state: JobState,
    /// Somebody may look for it as a duplicate.
    watched: bool,
    pub(super) waits_for: WaitsFor,
    pub(super) seq: i64,
    pub(super) submitted_at: UnixMs,
    pub(super) run_at: UnixMs,
    pub(super) expires_at: Option<UnixMs>,
    pub(super) started_at: Option<UnixMs>,
    pub(super) ended_at: Option<UnixMs>,
    pub(super) counters: Counters,
    pub(super) snoozes: u32,
    pub(super) lost: u32,
    pub(super) supervisor: Option<(SupervisorId, u32)>,
    pub(super) cancel_by: Option<String>,
    pub(super) outcome: Option<Outcome>,
    pub(super) progress: Option<(f64, String)>,
    pub(super) output: Option<String>,
    pub(super) batch: Option<String>,
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) record: AttemptRecord,
    pub(super) capture: Capture,
}

#[derive(Debug, Clone)]
pub(super) struct Dispatcher {
    pub(super) row: DispatcherRow,
    pub(super) paused: bool,
    pub(super) mean_run_us: Option<i64>,
    /// Key of the newest succeeded job with an output.
    pub(super) latest_output: Option<i64>,
}

impl Job {
    pub(super) fn is_unfinished(&self) -> bool {
        !self.state.is_terminal()
    }

    pub(super) fn is_queued(&self, waits_for: WaitsFor) -> bool {
        self.state == JobState::Queued && self.waits_for == waits_for
    }

    /// What makes it a duplicate of others, if anybody looks for that.
    pub(super) fn identity(&self) -> Option<Cow<'_, str>> {
        self.watched.then(|| rules::identity(&self.new))
    }

    fn has_identity(&self, dispatcher: &str, identity: &str) -> bool {
        self.is_unfinished()
            && self.new.dispatcher == dispatcher
            && self.identity().as_deref() == Some(identity)
    }

    pub(super) fn apply(&mut self, transition: Transition) {
        self.state = self
            .state
            .apply(transition)
            .expect("invariant: the caller looked at the state under the same lock");
    }

    /// Ends for good.
    pub(super) fn end(&mut self, transition: Transition, outcome: Outcome, now: UnixMs) {
        self.apply(transition);
        self.waits_for = WaitsFor::Nothing;
        self.ended_at = Some(now);
        self.outcome = Some(outcome);
        self.progress = None;
        self.supervisor = None;
    }

    /// What the claim of a running job says.
    pub(super) fn as_claimed(&self, slot: u32) -> Claimed {
        Claimed {
            job: self.new.id,
            slot,
            dispatcher: self.new.dispatcher.clone(),
            payload: self.new.payload.clone(),
            options: self.new.options.clone(),
            counters: self.counters,
            snoozes: self.snoozes,
            waited: rules::until(self.run_at, self.started_at.unwrap_or(self.run_at)),
        }
    }

    pub(super) fn expires_ms(&self) -> Option<i64> {
        self.new.options.expires.map(rules::millis)
    }
}

impl Serves {
    fn takes(&self, job: &Job) -> bool {
        rules::serves_label(&self.queues, &job.new.options.queue)
            && self.dispatchers.contains(&job.new.dispatcher)
    }
}

impl State {
    pub(super) fn of(&self, job: JobId) -> Option<&Job> {
        self.keys.get(&job).and_then(|key| self.jobs.get(key))
    }

    pub(super) fn next_sequence(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    /// Queued and running jobs of a dispatcher.
    pub(super) fn counts(&self, dispatcher: &str) -> (u32, u32) {
        let mut counts = (0, 0);
        for job in self.jobs.values() {
            if job.new.dispatcher == dispatcher {
                match job.state {
                    JobState::Queued => counts.0 += 1,
                    JobState::Running => counts.1 += 1,
                    JobState::Succeeded | JobState::Failed | JobState::Cancelled => {}
                }
            }
        }
        counts
    }

    pub(super) fn submit(
        &mut self,
        group: &Submission,
        now: UnixMs,
    ) -> Result<Submitted, SubmitError> {
        let wanted = group.receipt.as_ref();
        let before = wanted.map_or(Ok(None), |wanted| self.receipts.before(wanted, now))?;
        if let Some(before) = before {
            return Ok(self.submitted(before.jobs, Some(before.note)));
        }
        if let Some(batch) = &group.batch
            && self.batches.contains_key(&batch.id)
        {
            let id = batch.id.clone();
            return Err(SubmitError::BatchExists { id });
        }
        let dispatchers = self.dispatchers.clone();
        let before = self.sequence;
        for row in &group.dispatchers {
            self.upsert(row);
        }
        let accepted: Result<Vec<_>, _> = group
            .jobs
            .iter()
            .map(|job| self.submit_one(job, now))
            .collect();
        let jobs = match accepted {
            Ok(jobs) => jobs,
            Err(refusal) => {
                self.dispatchers = dispatchers;
                self.sequence = before;
                for job in self.jobs.split_off(&(before + 1)).into_values() {
                    self.keys.remove(&job.new.id);
                }
                return Err(refusal);
            }
        };
        if let Some(batch) = &group.batch {
            self.add_batch(batch, &jobs, now);
        }
        self.add_callbacks(&group.callbacks, &jobs);
        if let Some(wanted) = wanted {
            self.receipts.write(wanted, &jobs, now);
        }
        Ok(self.submitted(jobs, None))
    }

    fn submitted(&self, jobs: Vec<Accepted>, replay_of: Option<String>) -> Submitted {
        let open = self.supervisors.values().filter(|row| row.open);
        Submitted {
            jobs,
            supervisors: open.cloned().collect(),
            replay_of,
        }
    }

    pub(super) fn submit_one(
        &mut self,
        job: &NewJob,
        now: UnixMs,
    ) -> Result<Accepted, SubmitError> {
        let dispatcher = self.dispatcher(&job.dispatcher);
        let mean_run_us = dispatcher.mean_run_us;
        let DispatcherOptions {
            max_queue,
            concurrency,
            on_duplicate,
            ..
        } = dispatcher.row.options;
        let policy = rules::policy(on_duplicate, &job.options);
        let verdict = if rules::watches(policy) {
            rules::verdict(policy, &self.twins(job))
        } else {
            Verdict::Accept
        };
        if let Verdict::Drop(id) = verdict {
            return Ok(Accepted {
                id,
                duplicate: true,
            });
        }
        let (waiting, running) = self.counts(&job.dispatcher);
        if max_queue > 0 && waiting + running >= max_queue {
            return Err(SubmitError::QueueFull {
                dispatcher: job.dispatcher.clone(),
                max_queue,
                unfinished: waiting + running,
                concurrency,
                mean_run: mean_run_us.map(|us| std::time::Duration::from_micros(us.unsigned_abs())),
            });
        }
        if self.keys.contains_key(&job.id) {
            return Err(SubmitError::Store(StoreError::Database {
                path: "memory".into(),
                detail: format!("there is a job {} already", job.id),
            }));
        }
        self.insert(job, policy, verdict, now);
        Ok(Accepted {
            id: job.id,
            duplicate: false,
        })
    }

    fn insert(&mut self, job: &NewJob, policy: OnDuplicate, verdict: Verdict, now: UnixMs) {
        let key = self.next_sequence();
        let delay = job.options.delay.map_or(0, rules::millis);
        let waits_for = match verdict {
            Verdict::Hold => WaitsFor::Duplicate,
            Verdict::Accept | Verdict::Drop(_) if delay > 0 => WaitsFor::DueTime,
            Verdict::Accept | Verdict::Drop(_) => WaitsFor::Nothing,
        };
        let expires_ms = job.options.expires.map(rules::millis);
        let job = Job {
            new: job.clone(),
            state: JobState::Queued,
            watched: rules::is_watched(policy, &job.options),
            waits_for,
            seq: key,
            submitted_at: now,
            run_at: now + delay,
            expires_at: expires_ms.map(|expires| (now + delay).saturating_add(expires)),
            started_at: None,
            ended_at: None,
            counters: Counters::default(),
            snoozes: 0,
            lost: 0,
            supervisor: None,
            cancel_by: None,
            outcome: None,
            progress: None,
            output: None,
            batch: None,
            attempts: Vec::new(),
        };
        self.keys.insert(job.new.id, key);
        self.jobs.insert(key, job);
    }

    /// Stores a job that nothing refuses and that no duplicate holds.
    pub(super) fn insert_whatever_the_queue(&mut self, job: &NewJob, now: UnixMs) {
        self.dispatcher(&job.dispatcher);
        self.insert(job, OnDuplicate::Parallel, Verdict::Accept, now);
    }

    /// Unfinished jobs of the same identity, the one that would survive first.
    fn twins(&self, job: &NewJob) -> Vec<JobId> {
        let identity = rules::identity(job);
        let all = self.jobs.values();
        let mut twins: Vec<_> = all
            .filter(|other| other.has_identity(&job.dispatcher, &identity))
            .map(|other| (other.waits_for, other.seq, other.new.id))
            .collect();
        twins.sort_unstable();
        twins.into_iter().rev().map(|(_, _, id)| id).collect()
    }

    /// What the end of a job sets off: it is counted in its batch, and the first duplicate that it
    /// held goes on, once nothing is ahead of that.
    pub(super) fn release(&mut self, ended: i64, now: UnixMs) {
        self.count_in_batch(ended, now);
        if let Some(id) = self.jobs.get(&ended).map(|job| job.new.id) {
            self.callbacks_due(id, now);
        }
        let Some(ended) = self.jobs.get(&ended).filter(|ended| ended.watched) else {
            return;
        };
        let dispatcher = ended.new.dispatcher.clone();
        let identity = rules::identity(&ended.new).into_owned();
        let all = self.jobs.values_mut();
        let same: Vec<_> = all
            .filter(|job| job.has_identity(&dispatcher, &identity))
            .collect();
        let held = same.iter().all(|job| job.waits_for == WaitsFor::Duplicate);
        let first = same.into_iter().min_by_key(|job| job.seq);
        if let Some(first) = first.filter(|_| held) {
            first.waits_for = if first.run_at <= now {
                WaitsFor::Nothing
            } else {
                WaitsFor::DueTime
            };
        }
    }

    /// The row of a dispatcher; one that nobody has registered gives way to any build.
    pub(super) fn dispatcher(&mut self, name: &str) -> &mut Dispatcher {
        let row = || DispatcherRow {
            name: name.to_owned(),
            build: Build {
                modified_ns: i64::MIN,
                id: String::new(),
            },
            options: DispatcherOptions::default(),
            about: String::new(),
        };
        self.dispatchers
            .entry(name.to_owned())
            .or_insert_with(|| Dispatcher::new(row()))
    }

    pub(super) fn upsert(&mut self, row: &DispatcherRow) {
        let new = || Dispatcher::new(row.clone());
        let stored = self.dispatchers.entry(row.name.clone()).or_insert_with(new);
        if rules::replaces(row, &stored.row) {
            let watched = rules::watches(stored.row.options.on_duplicate);
            stored.row = row.clone();
            if rules::watches(row.options.on_duplicate) && !watched {
                for job in self.jobs.values_mut() {
                    job.watched |= job.new.dispatcher == row.name && job.is_unfinished();
                }
            }
        }
    }

    pub(super) fn open_supervisor(&mut self, new: &NewSupervisor, now: UnixMs) -> SupervisorId {
        self.opened += 1;
        let id = SupervisorId(self.opened);
        let row = SupervisorRow {
            id,
            program: new.program.clone(),
            build: new.build.clone(),
            pid: new.pid,
            slots: new.slots,
            directory: new.directory.clone(),
            serves: new.serves.clone(),
            queues: new.queues.clone(),
            started_at: now,
            open: true,
            seat: Seat::Here,
        };
        self.supervisors.insert(id, row);
        if let Some(lease) = new.lease {
            self.leases.insert(id, now + rules::millis(lease));
        }
        id
    }

    pub(super) fn has_unfinished(&self, serves: &Serves) -> bool {
        let mut unfinished = self.jobs.values().filter(|job| job.is_unfinished());
        unfinished.any(|job| serves.takes(job))
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest, now: UnixMs) -> Claim {
        self.expire(now);
        self.promote(now);
        let mut claim = Claim::default();
        let open = self.supervisors.get(&request.supervisor);
        if let Some(build) = open.filter(|row| row.open).map(|row| row.build.modified_ns) {
            let keys = self.choose(request);
            for (key, slot) in keys.into_iter().zip(&request.slots) {
                if !self.is_left(key, build, now) {
                    claim.jobs.extend(self.take(request, key, *slot, now));
                }
            }
        }
        let queued = self.jobs.values();
        let instants = queued
            .filter(|job| job.state == JobState::Queued)
            .flat_map(|job| {
                let due = (job.waits_for == WaitsFor::DueTime).then_some(job.run_at);
                [due, job.expires_at]
            });
        claim.next_due = instants
            .flatten()
            .min()
            .map(|instant| rules::until(now, instant));
        claim
    }

    fn expire(&mut self, now: UnixMs) {
        let expired = self.earliest(|job| {
            (job.state == JobState::Queued)
                .then_some(job.expires_at)
                .flatten()
                .filter(|at| *at <= now)
        });
        for key in &expired {
            if let Some(job) = self.jobs.get_mut(key) {
                job.end(Transition::Expire, rules::outcome(Cause::Expired), now);
            }
        }
        for key in expired {
            self.release(key, now);
        }
    }

    fn promote(&mut self, now: UnixMs) {
        let due = self.earliest(|job| {
            (job.is_queued(WaitsFor::DueTime) && job.run_at <= now).then_some(job.run_at)
        });
        for key in due {
            if let Some(job) = self.jobs.get_mut(&key) {
                job.waits_for = WaitsFor::Nothing;
            }
        }
    }

    /// Keys of the jobs with the earliest instants, as many as one claim may touch.
    fn earliest(&self, instant: impl Fn(&Job) -> Option<UnixMs>) -> Vec<i64> {
        let all = self.jobs.iter();
        let mut found: Vec<_> = all
            .filter_map(|(key, job)| instant(job).map(|at| (at, *key)))
            .collect();
        found.sort_unstable();
        found.truncate(DUE_PER_CLAIM_MAX);
        found.into_iter().map(|(_, key)| key).collect()
    }

    fn choose(&self, request: &ClaimRequest) -> Vec<i64> {
        let mut ready: BTreeMap<&str, Vec<Head>> = BTreeMap::new();
        for (key, job) in &self.jobs {
            if job.is_queued(WaitsFor::Nothing) && request.serves.takes(job) {
                let heads = ready.entry(&job.new.dispatcher).or_default();
                heads.push(Head {
                    key: *key,
                    rank: -i64::from(job.new.options.priority),
                    seq: job.seq,
                    run_at: job.run_at,
                });
            }
        }
        ready.retain(|name, _| !self.dispatchers[*name].paused);
        let contenders = ready.keys().map(|name| {
            let running = self.counts(name).1;
            let concurrency = self.dispatchers[*name].row.options.concurrency;
            let capacity = rules::capacity(concurrency, running, request.worker_slots);
            Contender::new(capacity, running, 1)
        });
        let contenders = contenders.collect();
        let mut lanes: Vec<_> = ready.into_values().collect();
        for lane in &mut lanes {
            lane.sort_unstable_by_key(|head| (head.rank, head.seq));
        }
        let picked = pick::pick(contenders, request.slots.len(), |fetch: Fetch| {
            let lane = lanes[fetch.contender].iter();
            let after = fetch.after;
            let next = lane.filter(|head| Some((head.rank, head.seq)) > after);
            Ok::<_, Infallible>(next.take(fetch.limit).copied().collect())
        });
        let Ok(keys) = picked;
        keys
    }

    /// Whether a job of a newer build is left to that.
    fn is_left(&self, key: i64, build: i64, now: UnixMs) -> bool {
        let waited = |job: &Job| rules::until(job.run_at, now);
        self.jobs.get(&key).is_some_and(|job| {
            job.new.build.modified_ns > build && waited(job) < rules::LEFT_TO_NEWER_MAX
        })
    }

    fn take(
        &mut self,
        request: &ClaimRequest,
        key: i64,
        slot: u32,
        now: UnixMs,
    ) -> Option<Claimed> {
        let job = self.jobs.get_mut(&key)?;
        job.apply(Transition::Claim);
        job.supervisor = Some((request.supervisor, slot));
        job.started_at = Some(now);
        job.counters.attempt += 1;
        job.counters.token += 1;
        Some(job.as_claimed(slot))
    }
}

impl Dispatcher {
    fn new(row: DispatcherRow) -> Self {
        Self {
            row,
            paused: false,
            mean_run_us: None,
            latest_output: None,
        }
    }
}
