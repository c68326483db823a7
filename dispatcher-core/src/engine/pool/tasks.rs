//! What happens to tasks in pools: they wait, find workers, and are answered or given elsewhere.

use crate::{Cause, ExitStatus, Usage};

use super::super::classify::{Evidence, LinkKind, StopReason, classify, ended};
use super::super::{
    Answer, AttemptId, Effect, Engine, Event, Lane, MemoryVerdict, Now, Phase, PoolId, RequestId,
    Strays, Unfit, Word, WorkerId,
};
use super::staff::How;
use super::{EndReason, Pool, Purpose, Task, Waiting, Worker, WorkerLife};

/// How often a task is given to another worker because one did not want it.
const UNWANTED_MAX: u32 = 3;

impl Engine {
    pub(in super::super) fn pool_of(&self, worker: WorkerId) -> Option<usize> {
        let has = |pool: &Pool| pool.workers.contains_key(&worker);
        self.pools.iter().position(has)
    }

    /// Takes in what concerns one worker of a pool.
    pub(in super::super) fn about_pooled(
        &mut self,
        now: Now,
        (pool, id): (usize, WorkerId),
        event: Event,
    ) -> Result<(), Unfit> {
        match event {
            Event::Spawned { .. } => return self.pooled_spawned(now, pool, id),
            Event::SpawnFailed { errno, .. } => {
                return self.pooled_unmade(now, (pool, id), errno);
            }
            Event::Said { word, .. } => self.pooled_said(now, (pool, id), word),
            Event::LinkBroken { what, .. } => self.pooled_broken(now, (pool, id), what),
            Event::Exited { .. } => return self.pooled_exited(now, (pool, id), event),
            Event::Buried { .. } => match self.attempt_in(pool, id) {
                Some(attempt) => return self.about_attempt(now, attempt, event),
                None => return self.bury(pool, id),
            },
            Event::Drained { .. } => match self.attempt_in(pool, id) {
                Some(attempt) => return self.about_attempt(now, attempt, event),
                None => return Err(Unfit("drained, without being asked for")),
            },
            Event::LimitExceeded { .. } => {
                if let Some(attempt) = self.attempt_in(pool, id) {
                    return self.about_attempt(now, attempt, event);
                }
            }
            Event::Outgrown { .. } => {
                if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
                    worker.outgrown = true;
                }
            }
            Event::LastWords { text, .. } => {
                if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
                    worker.last_words = Some(text);
                }
            }
            Event::Signalled { .. } | Event::Handed { .. } => {}
            Event::Woken
            | Event::Claimed { .. }
            | Event::ClaimFailed { .. }
            | Event::Recorded { .. }
            | Event::RecordFailed { .. }
            | Event::CancelRequested { .. }
            | Event::Requested { .. }
            | Event::ResetRequested { .. }
            | Event::Renewed(_)
            | Event::Reopened { .. }
            | Event::KeeperLost
            | Event::Superseded
            | Event::ShutdownRequested(_)
            | Event::CloseAnswered { .. } => return Err(Unfit("about no worker")),
        }
        Ok(())
    }

    pub(in super::super) fn requested(&mut self, now: Now, request: RequestId, pool: PoolId) {
        let serving = matches!(self.phase, Phase::Serving | Phase::Offering(_));
        match self.pools.get_mut(pool.0 as usize) {
            Some(pool) if serving => pool.push_request(now, request),
            Some(_) | None => self.answer(request, Answer::Stopping),
        }
    }

    /// Decides what follows from a pool as a whole: who is replaced, who gets what, who is made,
    /// whether there is room for more.
    pub(in super::super) fn advance_pool(&mut self, now: Now, pool: usize) {
        self.swap_when_ready(now, pool);
        for (id, reason) in self.pools[pool].outdated(now) {
            self.end(now, (pool, id), reason, How::Retire);
        }
        while let Some(worker) = self.pools[pool].idle() {
            let Some(waiting) = self.pools[pool].pop() else {
                break;
            };
            self.hand(now, (pool, worker), waiting);
        }
        if self.pools[pool].is_down(now) {
            self.send_away(now, pool);
        }
        for _ in 0..self.pools[pool].boots(now) {
            self.boot(now, pool, Purpose::Serve);
        }
        let room = self.pools[pool].room(now);
        let lane = Lane::Pool(self.pools[pool].id);
        if self.may_claim() && room > 0 && self.pools[pool].claim.is_due(now) {
            let pool = &mut self.pools[pool];
            pool.claim.sent();
            let slots = vec![pool.spec.slot; room];
            self.effects.push_back(Effect::Claim { lane, slots });
        }
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        self.effects.push_back(Effect::Answer { request, answer });
    }

    fn hand(&mut self, now: Now, (pool, id): (usize, WorkerId), mut held: Waiting) {
        if matches!(held.task, Task::Attempt(_)) {
            // Wherever it goes from here, it was not too late.
            held.until = None;
        }
        let limit = self.pools[pool].spec.exec_timeout;
        let until = match held.task {
            Task::Request(_) => limit.map(|time| now.monotonic.saturating_add(time)),
            // It has a limit of its own.
            Task::Attempt(_) => None,
        };
        if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
            worker.busy_at = now.monotonic;
            worker.life = WorkerLife::Busy { held, until };
        }
        match held.task {
            Task::Request(request) => self.effects.push_back(Effect::Hand {
                worker: id,
                request,
            }),
            Task::Attempt(attempt) => {
                self.with_attempt(now, attempt, |attempt, out| attempt.assign(now, id, out));
            }
        }
    }

    fn pooled_spawned(&mut self, now: Now, pool: usize, id: WorkerId) -> Result<(), Unfit> {
        let limit = self.pools[pool].spec.spawn_timeout;
        let until = now.monotonic.saturating_add(limit);
        let worker = self.pools[pool].workers.get_mut(&id);
        let Some(worker) = worker.filter(|worker| worker.life == WorkerLife::Booting) else {
            return Err(Unfit("spawned, without being asked for"));
        };
        worker.life = WorkerLife::Greeting { until };
        if let Some(reason) = worker.leaving {
            self.end(now, (pool, id), reason, How::Kill);
        } else if worker.greeted {
            self.greeted(now, (pool, id));
        }
        Ok(())
    }

    fn pooled_unmade(
        &mut self,
        now: Now,
        (pool, id): (usize, WorkerId),
        errno: i32,
    ) -> Result<(), Unfit> {
        let worker = self.pools[pool].workers.get(&id);
        let Some(worker) = worker.filter(|worker| worker.life == WorkerLife::Booting) else {
            return Err(Unfit("a spawn failed, without being asked for"));
        };
        let reason = worker.leaving.unwrap_or(EndReason::BootFailed);
        let why = format!("no process could be made (error {errno})");
        self.boot_failed(now, (pool, id), why);
        self.pools[pool].remove(id, reason);
        Ok(())
    }

    /// A worker is ready for its first task.
    fn greeted(&mut self, now: Now, (pool, id): (usize, WorkerId)) {
        let Some(worker) = self.pools[pool].workers.get_mut(&id) else {
            return;
        };
        worker.ready_at = now.monotonic;
        worker.life = match worker.replacement {
            true => WorkerLife::Standby,
            false => WorkerLife::Idle,
        };
        self.pools[pool].health.booted();
    }

    fn pooled_said(&mut self, now: Now, (pool, id): (usize, WorkerId), word: Word) {
        let Some(worker) = self.pools[pool].workers.get_mut(&id) else {
            return;
        };
        match (worker.life, word) {
            // The answer to its boot comes first: nothing is asked of whoever may not be there.
            (WorkerLife::Booting, Word::Hello) => worker.greeted = true,
            (WorkerLife::Greeting { .. }, Word::Hello) => self.greeted(now, (pool, id)),
            (WorkerLife::Busy { held, .. }, word) => self.task_said(now, (pool, id), held, word),
            (WorkerLife::Settling { .. }, Word::Ready { failure: None }) => {
                worker.ready_at = now.monotonic;
                worker.life = WorkerLife::Idle;
                let took = now.monotonic.saturating_sub(worker.busy_at);
                self.pools[pool].pace.took(took);
            }
            (WorkerLife::Settling { .. }, Word::Ready { failure: Some(_) }) => {
                self.end(now, (pool, id), EndReason::Finalizer, How::Retire);
            }
            (WorkerLife::Ending { .. } | WorkerLife::Dead { .. }, _) => {}
            (
                WorkerLife::Booting
                | WorkerLife::Greeting { .. }
                | WorkerLife::Standby
                | WorkerLife::Idle
                | WorkerLife::Settling { .. },
                _,
            ) => {
                let what = "it answers what nobody asked".to_owned();
                self.pooled_broken(now, (pool, id), what);
            }
        }
    }

    fn task_said(&mut self, now: Now, (pool, id): (usize, WorkerId), held: Waiting, word: Word) {
        match (held.task, word) {
            (_, Word::Unwanted) => self.give_elsewhere(now, (pool, id), held),
            (
                Task::Attempt(attempt),
                word @ (Word::Output(_) | Word::Used(_) | Word::Result(_)),
            ) => {
                let event = Event::Said { worker: id, word };
                // What it says after it was told to end is not listened to.
                let _ = self.about_attempt(now, attempt, event);
            }
            (Task::Attempt(attempt), _) => {
                let ends = self.attempts.get(&attempt);
                if ends.is_some_and(|attempt| !attempt.ends_its_worker()) {
                    let what = "it answers what nobody asked".to_owned();
                    self.pooled_broken(now, (pool, id), what);
                }
            }
            (Task::Request(request), Word::Replied) => {
                self.answer(request, Answer::Replied);
                self.pools[pool].answered(now, id);
            }
            (Task::Request(request), Word::Refused(text)) => {
                self.answer(request, Answer::Refused(text));
                self.pools[pool].answered(now, id);
            }
            (
                Task::Request(_),
                Word::Hello
                | Word::Output(_)
                | Word::Used(_)
                | Word::Result(_)
                | Word::Ready { .. },
            ) => {
                let what = "it answers what nobody asked".to_owned();
                self.pooled_broken(now, (pool, id), what);
            }
        }
    }

    fn give_elsewhere(&mut self, now: Now, (pool, id): (usize, WorkerId), held: Waiting) {
        let held = Waiting {
            unwanted: held.unwanted + 1,
            ..held
        };
        let again = held.unwanted <= UNWANTED_MAX;
        match held.task {
            Task::Request(_) if again => self.pools[pool].waiting.push_front(held),
            Task::Request(request) => self.answer(request, Answer::Unwanted(held.unwanted)),
            Task::Attempt(attempt) => {
                let back = self.with_attempt(now, attempt, |attempt, _| attempt.come_back());
                if back != Some(true) {
                    return;
                }
                if again {
                    self.pools[pool].waiting.push_front(held);
                } else {
                    let what = format!("{} workers asked to be stopped instead", held.unwanted);
                    self.with_attempt(now, attempt, |attempt, out| {
                        attempt.stop(now, StopReason::Protocol { what }, out);
                    });
                }
            }
        }
        self.end(now, (pool, id), EndReason::Asked, How::Retire);
    }

    fn pooled_broken(&mut self, now: Now, (pool, id): (usize, WorkerId), what: String) {
        let Some(worker) = self.pools[pool].workers.get(&id) else {
            return;
        };
        match worker.life {
            WorkerLife::Booting | WorkerLife::Greeting { .. } => {
                self.boot_failed(now, (pool, id), what);
                self.end(now, (pool, id), EndReason::BootFailed, How::Kill);
            }
            WorkerLife::Standby => {
                self.fail_reset(now, pool, &what);
                self.end(now, (pool, id), EndReason::Protocol, How::Kill);
            }
            WorkerLife::Idle | WorkerLife::Settling { .. } => {
                self.pools[pool].health.died(now, what);
                self.end(now, (pool, id), EndReason::Protocol, How::Kill);
            }
            WorkerLife::Busy { held, .. } => {
                if worker.leaving.is_none() {
                    self.pools[pool].health.died(now, what.clone());
                }
                match held.task {
                    Task::Request(request) => {
                        self.answer(request, Answer::Died(Cause::ProtocolError { what }));
                        self.end(now, (pool, id), EndReason::Protocol, How::Kill);
                    }
                    Task::Attempt(attempt) => {
                        if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
                            worker.leaving.get_or_insert(EndReason::Protocol);
                        }
                        let event = Event::LinkBroken { worker: id, what };
                        let _ = self.about_attempt(now, attempt, event);
                    }
                }
            }
            WorkerLife::Ending { .. } | WorkerLife::Dead { .. } => {}
        }
    }

    fn pooled_exited(
        &mut self,
        now: Now,
        (pool, id): (usize, WorkerId),
        event: Event,
    ) -> Result<(), Unfit> {
        let Event::Exited {
            status,
            strays,
            memory,
            ..
        } = event
        else {
            return Err(Unfit("no end"));
        };
        let worker = self.pools[pool].workers.get_mut(&id);
        let running = |worker: &&mut Worker| !matches!(worker.life, WorkerLife::Dead { .. });
        let Some(worker) = worker.filter(running) else {
            return Err(Unfit("an end of what did not run"));
        };
        let cause = cause_of(status, memory);
        let what = format!("it {}", ended(status));
        let (life, leaving) = (worker.life, worker.leaving);
        let mut reason = leaving.unwrap_or(EndReason::Crashed);
        worker.life = WorkerLife::Dead { attempt: None };
        match life {
            WorkerLife::Booting | WorkerLife::Greeting { .. } => {
                reason = leaving.unwrap_or(EndReason::BootFailed);
                self.boot_failed(now, (pool, id), what);
            }
            WorkerLife::Standby => self.fail_reset(now, pool, &what),
            WorkerLife::Idle | WorkerLife::Settling { .. } | WorkerLife::Busy { .. }
                if leaving.is_none() =>
            {
                self.pools[pool].health.died(now, what);
            }
            WorkerLife::Idle
            | WorkerLife::Settling { .. }
            | WorkerLife::Busy { .. }
            | WorkerLife::Ending { .. }
            | WorkerLife::Dead { .. } => {}
        }
        match life.task() {
            Some(Task::Request(request)) => self.answer(request, Answer::Died(cause)),
            Some(Task::Attempt(attempt)) => {
                if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
                    worker.life = WorkerLife::Dead {
                        attempt: Some(attempt),
                    };
                }
                return self.about_attempt(now, attempt, event);
            }
            None => {}
        }
        if strays == 0 {
            self.pools[pool].remove(id, reason);
            return Ok(());
        }
        if let Some(worker) = self.pools[pool].workers.get_mut(&id) {
            worker.leaving = Some(reason);
        }
        let strays = Strays::Kill;
        self.effects.push_back(Effect::Bury { worker: id, strays });
        Ok(())
    }

    /// The attempt that is in a worker, or was when it died.
    fn attempt_in(&self, pool: usize, id: WorkerId) -> Option<AttemptId> {
        match self.pools[pool].workers.get(&id)?.life {
            WorkerLife::Dead { attempt } => attempt,
            life => match life.task()? {
                Task::Attempt(attempt) => Some(attempt),
                Task::Request(_) => None,
            },
        }
    }
}

/// Why a worker ended that had a direct request.
fn cause_of(status: ExitStatus, memory: MemoryVerdict) -> Cause {
    classify(&Evidence {
        link: LinkKind::Framed,
        hello: true,
        result: None,
        stop: None,
        spawn_errno: None,
        exit: Some(status),
        usage: Usage::default(),
        cpu_limit_us: None,
        memory,
    })
}
