//! Who comes and who goes in pools: starts, ends, replacements and resets.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Cause;

use super::super::attempt::Attempt;
use super::super::classify::StopReason;
use super::super::{
    Answer, AttemptId, Effect, Engine, Lane, Now, Phase, PoolId, RequestId, Shutdown, Unfit,
    WorkerId,
};
use super::ahead::WAIT_MAX;
use super::{EndReason, Health, Pool, Purpose, Task, Waiting, Worker, WorkerLife};

/// Time between two KILLs to a worker that does not end.
const KILL_AGAIN: Duration = Duration::from_secs(1);
const STOPPING: &str = "the supervisor is stopping";
const CROWDED: &str = "too many workers from before earlier resets have not ended yet";

/// How a worker is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum How {
    /// It is asked.
    Retire,
    /// It is told, with a signal.
    Stop,
    Kill,
}

impl Engine {
    /// Makes replacements for all workers of a pool.
    pub(in super::super) fn reset(&mut self, now: Now, id: PoolId) {
        let count = match self.pools.get(id.0 as usize) {
            None => Err("there is no such pool"),
            Some(pool) if pool.closed => Err(STOPPING),
            // The answer that is owed answers this as well.
            Some(pool) if pool.resetting => return,
            Some(pool) => pool.replacements().ok_or(CROWDED),
        };
        match count {
            Ok(count) => {
                self.pools[id.0 as usize].resetting = true;
                for _ in 0..count {
                    self.boot(now, id.0 as usize, Purpose::Replace);
                }
            }
            Err(why) => {
                let (pool, failure) = (id, Some(why.to_owned()));
                self.effects.push_back(Effect::ResetOver { pool, failure });
            }
        }
    }

    /// Pools take nothing new from now on.
    pub(in super::super) fn close_pools(&mut self, now: Now, request: Shutdown) {
        for pool in 0..self.pools.len() {
            self.fail_reset(now, pool, STOPPING);
            self.pools[pool].close(now, request);
            if request != Shutdown::Finish {
                self.send_back(now, pool);
            }
        }
    }

    /// Attempts that no worker has begun go back to their place.
    pub(in super::super) fn send_back(&mut self, now: Now, pool: usize) {
        let waiting = self.pools[pool].waiting.iter();
        let attempts = waiting.filter_map(|waiting| match waiting.task {
            Task::Attempt(attempt) => Some(attempt),
            Task::Request(_) => None,
        });
        for attempt in attempts.collect::<Vec<_>>() {
            self.with_attempt(now, attempt, |attempt, out| {
                attempt.stop(now, StopReason::Shutdown, out);
            });
        }
    }

    /// Lets time pass in a pool.
    pub(in super::super) fn pool_timeout(&mut self, now: Now, pool: usize) {
        let passed = |at: Duration| at <= now.monotonic;
        if self.pools[pool].stop_at.is_some_and(passed) {
            self.stop_pool(now, pool, How::Stop);
        }
        let health = &mut self.pools[pool].health;
        if passed(health.not_before) {
            health.not_before = Duration::ZERO;
        }
        let given_up = |waiting: &Waiting| waiting.until.is_some_and(passed);
        let (late, waiting) = self.pools[pool].waiting.drain(..).partition(given_up);
        self.pools[pool].waiting = waiting;
        let late: VecDeque<Waiting> = late;
        for Waiting { task, .. } in late {
            match task {
                Task::Request(request) => self.answer(request, Answer::QueueTimeout),
                Task::Attempt(attempt) => {
                    // Perhaps somebody else has time for it.
                    self.pools[pool].pace.took(WAIT_MAX);
                    self.with_attempt(now, attempt, |attempt, out| {
                        attempt.stop(now, StopReason::Shutdown, out);
                    });
                }
            }
        }
        let workers = self.pools[pool].workers.iter();
        let workers: Vec<_> = workers.map(|(id, worker)| (*id, worker.life)).collect();
        for (id, life) in workers {
            match life {
                WorkerLife::Greeting { until } if passed(until) => {
                    let limit = self.pools[pool].spec.spawn_timeout;
                    let why = format!("it was not ready within {limit:?}");
                    self.boot_failed(now, (pool, id), why);
                    self.end(now, (pool, id), EndReason::BootFailed, How::Kill);
                }
                WorkerLife::Busy {
                    held,
                    until: Some(until),
                } if passed(until) => {
                    if let Task::Request(request) = held.task {
                        self.answer(request, Answer::ExecTimeout);
                        self.end(now, (pool, id), EndReason::Stopped, How::Stop);
                    }
                }
                WorkerLife::Settling { until } if passed(until) => {
                    self.end(now, (pool, id), EndReason::Finalizer, How::Kill);
                }
                WorkerLife::Ending { kill_at } if passed(kill_at) => {
                    self.end(now, (pool, id), EndReason::Stopped, How::Kill);
                }
                WorkerLife::Booting
                | WorkerLife::Greeting { .. }
                | WorkerLife::Standby
                | WorkerLife::Idle
                | WorkerLife::Busy { .. }
                | WorkerLife::Settling { .. }
                | WorkerLife::Ending { .. }
                | WorkerLife::Dead { .. } => {}
            }
        }
    }

    /// Ends what is left of the pools when nothing more is to be done.
    pub(in super::super) fn empty_pools(&mut self, now: Now) {
        let at_once = matches!(
            self.phase,
            Phase::Stopping {
                request: Shutdown::Now,
                ..
            }
        );
        for pool in 0..self.pools.len() {
            let ids: Vec<WorkerId> = self.pools[pool].workers.keys().copied().collect();
            for id in ids {
                let how = if at_once { How::Kill } else { How::Retire };
                self.end(now, (pool, id), EndReason::Shutdown, how);
            }
        }
    }

    /// What waits and runs in a pool has had its time.
    pub(in super::super) fn stop_pool(&mut self, now: Now, pool: usize, how: How) {
        self.pools[pool].stop_at = None;
        let lane = Lane::Pool(self.pools[pool].id);
        let here = self.attempts.iter().filter(|(_, it)| it.lane == lane);
        let here: Vec<AttemptId> = here.map(|(id, _)| *id).collect();
        for attempt in here {
            self.with_attempt(now, attempt, |attempt, out| {
                attempt.stop(now, StopReason::Shutdown, out);
            });
        }
        for Waiting { task, .. } in std::mem::take(&mut self.pools[pool].waiting) {
            if let Task::Request(request) = task {
                self.answer(request, Answer::Stopping);
            }
        }
        for (worker, request) in self.requests_in(pool) {
            self.answer(request, Answer::Stopping);
            self.end(now, (pool, worker), EndReason::Shutdown, how);
        }
        if how == How::Kill {
            // Those that have an attempt are ended by it.
            let idle = self.pools[pool].workers.iter();
            let idle = idle.filter(|(_, worker)| worker.life.task().is_none());
            let idle: Vec<WorkerId> = idle.map(|(id, _)| *id).collect();
            for id in idle {
                self.end(now, (pool, id), EndReason::Shutdown, How::Kill);
            }
        }
    }

    /// What no worker was given yet waits again, in its old order.
    pub(in super::super) fn take_back(&mut self, ungiven: &[WorkerId]) {
        for id in ungiven.iter().rev() {
            let Some(pool) = self.pool_of(*id) else {
                continue;
            };
            let Some(worker) = self.pools[pool].workers.get_mut(id) else {
                continue;
            };
            let WorkerLife::Busy { held, .. } = worker.life else {
                continue;
            };
            let back = match held.task {
                Task::Request(_) => true,
                Task::Attempt(attempt) => {
                    let attempt = self.attempts.get_mut(&attempt);
                    attempt.is_some_and(Attempt::come_back)
                }
            };
            if back {
                worker.life = WorkerLife::Idle;
                self.pools[pool].waiting.push_front(held);
            }
        }
    }

    /// All workers of the keeper are proved dead; those that were not asked for yet will be made.
    pub(in super::super) fn pools_lost(&mut self, now: Now, unmade: &[WorkerId]) {
        for pool in 0..self.pools.len() {
            for (worker, request) in self.requests_in(pool) {
                if !unmade.contains(&worker) {
                    self.answer(request, Answer::Died(Cause::WorkerLost));
                }
            }
            let dead = self.pools[pool].workers.keys().copied();
            let dead: Vec<WorkerId> = dead.filter(|id| !unmade.contains(id)).collect();
            for id in dead {
                self.pools[pool].remove(id, EndReason::KeeperLost);
            }
            self.fail_reset(now, pool, "the keeper was lost");
        }
    }

    pub(super) fn requests_in(&self, pool: usize) -> Vec<(WorkerId, RequestId)> {
        let workers = self.pools[pool].workers.iter();
        let requests = workers.filter_map(|(id, worker)| match worker.life.task()? {
            Task::Request(request) => Some((*id, request)),
            Task::Attempt(_) => None,
        });
        requests.collect()
    }

    pub(super) fn boot(&mut self, now: Now, pool: usize, purpose: Purpose) {
        let worker = self.name_worker();
        let random = &mut self.random;
        self.pools[pool].add(worker, now, purpose, random);
        let pool = self.pools[pool].id;
        self.effects.push_back(Effect::Boot { worker, pool });
    }

    /// Nobody is there for what waits, and nobody comes soon.
    pub(super) fn send_away(&mut self, now: Now, pool: usize) {
        let why = self.pools[pool].health.degraded.clone();
        let why = why.unwrap_or_default();
        self.send_back(now, pool);
        for Waiting { task, .. } in std::mem::take(&mut self.pools[pool].waiting) {
            if let Task::Request(request) = task {
                self.answer(request, Answer::Degraded(why.clone()));
            }
        }
    }

    pub(super) fn boot_failed(&mut self, now: Now, (pool, id): (usize, WorkerId), why: String) {
        let Some(worker) = self.pools[pool].workers.get_mut(&id) else {
            return;
        };
        if worker.leaving.is_some() {
            return;
        }
        let why = match worker.last_words.take() {
            Some(words) => format!("{why}; {words}"),
            None => why,
        };
        if worker.replacement {
            self.fail_reset(now, pool, &why);
        } else {
            self.pools[pool].health.boot_failed(now, why);
        }
    }

    /// The old workers stay.
    pub(super) fn fail_reset(&mut self, now: Now, pool: usize, why: &str) {
        let it = &mut self.pools[pool];
        if !std::mem::take(&mut it.resetting) {
            return;
        }
        let fresh = it.workers.iter().filter(|(_, worker)| worker.replacement);
        let fresh: Vec<WorkerId> = fresh.map(|(id, _)| *id).collect();
        for id in fresh {
            self.end(now, (pool, id), EndReason::Reset, How::Retire);
        }
        let it = &self.pools[pool];
        let (pool, failure) = (it.id, Some(why.to_owned()));
        self.effects.push_back(Effect::ResetOver { pool, failure });
    }

    /// When every replacement is ready they serve, and the others end as soon as they are idle.
    pub(super) fn swap_when_ready(&mut self, now: Now, pool: usize) {
        let it = &mut self.pools[pool];
        let ready = |worker: &Worker| worker.life == WorkerLife::Standby;
        let fresh = |worker: &&Worker| worker.replacement;
        if !it.resetting || !it.workers.values().filter(fresh).all(ready) {
            return;
        }
        it.resetting = false;
        it.health = Health::default();
        let mut unready = Vec::new();
        for (id, worker) in &mut it.workers {
            if std::mem::take(&mut worker.replacement) {
                worker.life = WorkerLife::Idle;
                worker.ready_at = now.monotonic;
                continue;
            }
            match worker.life {
                WorkerLife::Idle | WorkerLife::Busy { .. } | WorkerLife::Settling { .. } => {
                    worker.leaving.get_or_insert(EndReason::Reset);
                }
                WorkerLife::Booting | WorkerLife::Greeting { .. } => unready.push(*id),
                // Its end has begun.
                WorkerLife::Standby | WorkerLife::Ending { .. } | WorkerLife::Dead { .. } => {}
            }
        }
        let (id, failure) = (it.id, None);
        for worker in unready {
            self.end(now, (pool, worker), EndReason::Reset, How::Kill);
        }
        self.effects
            .push_back(Effect::ResetOver { pool: id, failure });
    }

    /// Has a worker end, unless its process is being made: then it ends as soon as it is there.
    pub(super) fn end(
        &mut self,
        now: Now,
        (pool, id): (usize, WorkerId),
        reason: EndReason,
        how: How,
    ) {
        let stop_timeout = self.pools[pool].spec.stop_timeout;
        let Some(worker) = self.pools[pool].workers.get_mut(&id) else {
            return;
        };
        worker.leaving.get_or_insert(reason);
        let how = match worker.life {
            WorkerLife::Booting | WorkerLife::Dead { .. } => return,
            WorkerLife::Ending { .. } if how == How::Retire => return,
            // It was killed a moment ago.
            WorkerLife::Ending { kill_at }
                if kill_at > now.monotonic && kill_at <= now.monotonic + KILL_AGAIN =>
            {
                return;
            }
            // It would not listen.
            WorkerLife::Greeting { .. } => How::Kill,
            WorkerLife::Standby
            | WorkerLife::Idle
            | WorkerLife::Busy { .. }
            | WorkerLife::Settling { .. }
            | WorkerLife::Ending { .. }
                if stop_timeout.is_zero() =>
            {
                How::Kill
            }
            WorkerLife::Standby
            | WorkerLife::Idle
            | WorkerLife::Busy { .. }
            | WorkerLife::Settling { .. }
            | WorkerLife::Ending { .. } => how,
        };
        let (wait, effect) = match how {
            How::Retire => (stop_timeout, Effect::Retire { worker: id }),
            How::Stop => (stop_timeout, Effect::Stop { worker: id }),
            How::Kill => (KILL_AGAIN, Effect::Kill { worker: id }),
        };
        let kill_at = now.monotonic.saturating_add(wait);
        worker.life = WorkerLife::Ending { kill_at };
        self.effects.push_back(effect);
    }

    pub(super) fn bury(&mut self, pool: usize, id: WorkerId) -> Result<(), Unfit> {
        let worker = self.pools[pool].workers.get(&id);
        let dead = |worker: &&Worker| matches!(worker.life, WorkerLife::Dead { .. });
        let Some(worker) = worker.filter(dead) else {
            return Err(Unfit("buried, without being asked for"));
        };
        let reason = worker.leaving.unwrap_or(EndReason::Crashed);
        self.pools[pool].remove(id, reason);
        Ok(())
    }
}

impl Pool {
    /// Takes nothing new from now on; what runs has the shorter of two times.
    pub(in super::super) fn close(&mut self, now: Now, request: Shutdown) {
        self.closed = true;
        self.stop_at = match request {
            Shutdown::Finish | Shutdown::Now => None,
            Shutdown::Drain(time) => {
                let at = now
                    .monotonic
                    .saturating_add(time.min(self.spec.drain_timeout));
                Some(self.stop_at.map_or(at, |earlier| earlier.min(at)))
            }
        };
    }
}
