//! What must hold of pools, after every event and for every effect.

use super::crew::Work;
use super::*;
use crate::engine::attempt::{Attempt, Life};

impl Yard {
    /// What was decided just now, from the `first` of the open effects on.
    pub(super) fn check_decided(&self, first: usize) {
        let now = self.monotonic;
        for effect in self.engine.effects.iter().skip(first) {
            match effect {
                Effect::Boot { worker, pool } => {
                    let pool = &self.engine.pools[pool.0 as usize];
                    let known = pool.workers.get(worker);
                    let replacement = known.is_none_or(|worker| worker.replacement);
                    assert!(
                        replacement || pool.health.not_before <= now,
                        "no boot while it backs off: {pool:?}"
                    );
                }
                Effect::Claim {
                    lane: Lane::Pool(pool),
                    slots,
                } => {
                    let pool = &self.engine.pools[pool.0 as usize];
                    assert!(pool.spec.claims && !pool.closed);
                    assert!(!pool.is_down(self.now()), "{pool:?}");
                    let most = pool.spec.max_workers as usize + pool.spec.ahead_max();
                    assert!((1..=most).contains(&slots.len()));
                    assert!(slots.iter().all(|slot| *slot == pool.spec.slot));
                }
                _ => {}
            }
        }
    }

    pub(super) fn check(&self) {
        for pool in &self.engine.pools {
            let max = pool.spec.max_workers as usize;
            let fresh = pool.workers.values().filter(|it| it.replacement).count();
            assert!(pool.live() <= max, "{pool:?}");
            assert!(fresh <= max * 3, "{pool:?}");
            assert!(pool.workers.len() <= max * CROWD_MAX, "{pool:?}");
            let attempts = pool.waiting.iter();
            let attempts = attempts.filter(|it| matches!(it.task, Task::Attempt(_)));
            let waiting = attempts.count();
            assert!(waiting <= max * 2 + pool.spec.ahead_max(), "{pool:?}");
        }
        let pools = self.engine.pools.iter().map(|pool| &pool.spec);
        let ahead: usize = pools.clone().map(PoolSpec::ahead_max).sum();
        let slots = 1 + pools.map(|spec| spec.max_workers).sum::<u32>() as usize;
        let claimed = self.engine.attempts.len();
        let most = slots * 7 + ahead * 3;
        assert!(claimed <= most, "{claimed} in {slots} slots");
        self.check_requests();
        check_attempts(&self.engine);
    }

    /// Every request that is not answered is in one place, and every other in none.
    fn check_requests(&self) {
        let mut places: Vec<RequestId> = Vec::new();
        for pool in &self.engine.pools {
            places.extend(tasks(pool).filter_map(|task| match task {
                Task::Request(request) => Some(request),
                Task::Attempt(_) => None,
            }));
        }
        places.extend(
            self.engine
                .effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Answer { request, .. } => Some(*request),
                    _ => None,
                }),
        );
        places.sort_unstable();
        assert!(places.iter().eq(&self.open), "{places:?} {:?}", self.open);
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        assert!(!self.finished, "nothing after the end: {effect:?}");
        match effect {
            Effect::Claim { lane, slots } => {
                // One may have been decided before the shutdown was.
                self.late_claims += u32::from(self.shut_down);
                assert!(self.late_claims <= 4, "it takes nothing new");
                let one = self.claims.insert(lane, slots.len());
                assert_eq!(one, None, "one claim of a lane at a time");
            }
            Effect::Boot { worker, .. } => {
                let twice = self.crew.insert(worker, Crewman::new());
                assert!(twice.is_none(), "once");
            }
            Effect::Assign {
                worker, assignment, ..
            } => {
                let job = self.jobs.get_mut(&assignment.job).expect("it was claimed");
                assert_eq!(job.verdict, None, "it is over");
                if let Some(before) = job.worker.replace(worker) {
                    assert!(self.crewman(before).broken, "it did not want it");
                }
                self.give(worker, Work::Job(assignment.job));
            }
            Effect::Hand { worker, request } => {
                let asked = self.requests.get_mut(&request).expect("it was asked");
                assert!(self.open.contains(&request));
                if let Some(before) = asked.worker.replace(worker) {
                    assert!(self.crewman(before).broken, "it did not want it");
                }
                self.give(worker, Work::Request(request));
            }
            Effect::Answer { request, answer } => self.check_answer(request, &answer),
            Effect::ResetOver { pool, .. } => {
                let owed = &mut self.resets[pool.0 as usize];
                *owed = owed.checked_sub(1).expect("somebody asked");
            }
            Effect::Retire { worker } | Effect::Stop { worker } | Effect::Kill { worker } => {
                let crewman = self.crewman(worker);
                let there = matches!(crewman.process, Process::Alive | Process::Dead);
                assert!(there, "{effect:?} to nobody: {crewman:?}");
                let idle = crewman.task.is_none() || crewman.broken || crewman.told_to_end;
                let dead = crewman.process == Process::Dead;
                let polite = matches!(effect, Effect::Retire { .. });
                assert!(idle || dead || !polite, "whoever works is not retired");
                crewman.told_to_end = true;
                self.tell(Event::Signalled { worker });
            }
            Effect::Bury { worker, strays } => {
                let crewman = self.corpse(worker);
                assert!(crewman.strays > 0 && strays == Strays::Kill);
                assert!(crewman.open.insert("bury"), "once");
            }
            Effect::Drain { worker, .. } => {
                let crewman = self.corpse(worker);
                assert!(crewman.open.insert("drain"), "once");
            }
            Effect::Record { attempt, verdict } => self.check_record(attempt, *verdict),
            Effect::CloseIfIdle | Effect::HandOver | Effect::Close => {
                assert!(self.close.replace(effect).is_none(), "once");
            }
            Effect::Finish => self.check_finish(),
            Effect::Spawn { .. } | Effect::Renew | Effect::Deadline { .. } | Effect::Reopen => {
                panic!("there are only pools: {effect:?}")
            }
        }
    }

    fn give(&mut self, worker: WorkerId, work: Work) {
        let crewman = self.crewman(worker);
        if crewman.process != Process::Dead {
            assert_eq!(crewman.process, Process::Alive, "it is there");
            assert!(crewman.hello && !crewman.settling, "it is ready");
            assert_eq!(crewman.task, None, "it is idle");
            assert!(!crewman.told_to_end, "it stays");
        }
        crewman.task = Some(work);
        self.tell(Event::Handed { worker });
    }

    fn check_answer(&mut self, id: RequestId, answer: &Answer) {
        let now = self.monotonic;
        let request = self.requests.get_mut(&id).expect("it was asked");
        assert!(self.open.remove(&id), "once");
        let spec = &self.engine.pools[request.pool].spec;
        match answer {
            Answer::Replied | Answer::Refused(_) => {
                assert!(request.said.contains(answer), "nobody said so");
            }
            Answer::QueueTimeout => {
                let limit = spec.queue_timeout.expect("there is a limit");
                assert!(request.asked_at + limit <= now, "not before");
            }
            Answer::ExecTimeout => assert!(spec.exec_timeout.is_some()),
            // Perhaps before the driver could hand it over.
            Answer::Died(_) => {}
            Answer::Unwanted(count) => assert!(*count == 4 && request.unwanted >= 4),
            Answer::Degraded(why) => assert!(!why.is_empty()),
            Answer::Stopping => assert!(self.shut_down),
        }
    }

    fn check_record(&mut self, attempt: AttemptId, verdict: Verdict) {
        let job = self.jobs.get_mut(&verdict.job).expect("it was claimed");
        assert!(!job.recorded, "once");
        if let Some(before) = job.verdict.take() {
            assert_eq!(before, verdict, "it is told again as it was");
        }
        let twice = self.records.insert(attempt, verdict.job);
        assert_eq!(twice, None, "once at a time");
        let by_result = matches!(
            verdict.outcome.cause,
            Cause::Succeeded | Cause::Failed { .. }
        );
        if by_result {
            assert!(job.result.is_some(), "nobody said so");
        } else if let Some(worker) = job.worker {
            // Those that nobody asks about any more are dead.
            let living = self.crew.get(&worker);
            let gone = living.is_none_or(|it| it.is_over() || it.broken);
            assert!(gone, "it is recorded when it is dead: {living:?}");
        }
        match &verdict.outcome.cause {
            Cause::Cancelled { .. } => assert!(job.stopped),
            Cause::Shutdown => assert_eq!(verdict.next, Next::Release),
            _ => {}
        }
        job.verdict = Some(verdict);
    }

    fn check_finish(&mut self) {
        assert!(self.open.is_empty());
        assert!(self.jobs.values().all(|job| job.recorded));
        assert!(self.crew.values().all(Crewman::is_over), "{:?}", self.crew);
        assert!(self.resets.iter().all(|owed| *owed == 0));
        assert!(self.claims.is_empty());
        self.finished = true;
    }
}

pub(in super::super) fn tasks(pool: &Pool) -> impl Iterator<Item = Task> {
    let waiting = pool.waiting.iter().map(|waiting| waiting.task);
    let workers = pool.workers.values();
    waiting.chain(workers.filter_map(|worker| worker.life.task()))
}

/// Where an attempt is found.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Waits,
    In(WorkerId),
    DiedIn(WorkerId),
}

/// An attempt is where its life says, and nowhere else.
pub(in super::super) fn check_attempts(engine: &Engine) {
    let mut places: BTreeMap<AttemptId, Vec<Place>> = BTreeMap::new();
    let mut note = |task, place| {
        if let Task::Attempt(attempt) = task {
            places.entry(attempt).or_default().push(place);
        }
    };
    for pool in &engine.pools {
        for waiting in &pool.waiting {
            note(waiting.task, Place::Waits);
        }
        for (worker, it) in &pool.workers {
            if let Some(task) = it.life.task() {
                note(task, Place::In(*worker));
            }
            if let WorkerLife::Dead {
                attempt: Some(attempt),
            } = it.life
            {
                note(Task::Attempt(attempt), Place::DiedIn(*worker));
            }
        }
    }
    let pooled = |attempt: &Attempt| matches!(attempt.lane, Lane::Pool(_));
    for (id, attempt) in engine.attempts.iter().filter(|(_, it)| pooled(it)) {
        let its = attempt.worker;
        let expected = match attempt.life {
            Life::Starting { .. } => Some(Place::Waits),
            Life::Running | Life::Terminating { .. } => its.map(Place::In),
            Life::Draining { .. } => its.map(Place::DiedIn),
            Life::Recording { .. } => None,
            Life::Waiting { .. } => panic!("no process is made for it: {attempt:?}"),
        };
        let found = places.remove(id).unwrap_or_default();
        assert_eq!(found, Vec::from_iter(expected), "{id:?}: {attempt:?}");
    }
    assert!(places.is_empty(), "of no attempt: {places:?}");
}
