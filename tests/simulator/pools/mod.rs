//! Pools of supervisors, made up: what their drivers do, and what is known of their workers.
//!
//! A pool's processes are found by the pool and not by a job, as in the real thing; all of them,
//! and what they leave, hold the one slot of the pool.

mod crew;
mod requests;
mod script;
mod seat;

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::engine::{
    Answer, Assignment, AttemptId, Effect, Event, Lane, PoolId, PoolSpec, RequestId, Shutdown,
    Snapshot, WorkerId,
};

use crate::store::{Capture, Serves};
use crate::supervisor::clerk::LanePost;
use crate::supervisor::hearing::Given;

use super::faults::Fault;
use super::invariants::BackOff;
use super::keeper::Request as KeeperRequest;
use super::runner::{Desk, Runner, RunnerId, SECOND};
use super::world::World;

pub(super) use crew::{Birth, Crewman};
pub(super) use requests::Request;
pub(super) use seat::{Doing, Seat, letter_of};

/// Workers that a task is given to: it is run again three times at most.
const GIVEN_MAX: u32 = 4;

/// What a supervisor knows of its pools.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) list: Vec<Pool>,
    pub(super) seats: BTreeMap<WorkerId, Seat>,
    /// What attempts wrote that have ended, until their end is on record.
    pub(super) ended: BTreeMap<AttemptId, Capture>,
    /// Without an answer.
    pub(super) requests: BTreeMap<RequestId, Request>,
    next_request: u64,
}

pub(super) struct Pool {
    pub(super) spec: PoolSpec,
    pub(super) foreign: bool,
    dispatchers: Vec<String>,
    /// Its workers seldom want what they are given.
    reluctant: bool,
    /// Its jobs take a moment, but for a few.
    hasty: bool,
    /// Until then its program cannot start.
    broken_until: Duration,
    /// When a reset was asked for that is not answered.
    pub(super) resets_since: Option<Duration>,
    /// When, by the true clock, what runs is to be stopped.
    pub(super) stop_at: Option<Duration>,
    pub(super) back_off: BackOff,
    /// Something has gone wrong with a worker.
    pub(super) had_failures: bool,
    /// It has replied since everything is calm.
    pub(super) proved: bool,
    /// Ends by a reset so far, and who was there.
    pub(super) reset_ends: u64,
}

/// What a supervisor sends to a worker of a pool.
#[derive(Debug, Clone)]
pub(super) enum Letter {
    Job {
        attempt: AttemptId,
        timeout: Option<Duration>,
        letter: u8,
    },
    Request(RequestId),
    Retire,
}

impl Pools {
    pub(super) fn get(&self, id: PoolId) -> &Pool {
        &self.list[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: PoolId) -> &mut Pool {
        &mut self.list[id.0 as usize]
    }

    pub(super) fn specs(&self) -> Vec<PoolSpec> {
        self.list.iter().map(|pool| pool.spec.clone()).collect()
    }

    /// Each pool claims its dispatchers, and the processes everything else.
    pub(super) fn lanes(&self, served: &[String], slots: u32) -> BTreeMap<Lane, LanePost> {
        let post = |dispatchers: Vec<String>, worker_slots, pool: Option<&PoolSpec>| LanePost {
            serves: Serves {
                dispatchers,
                queues: Vec::new(),
            },
            worker_slots,
            ahead: pool.map_or(0, |pool| pool.prefetch * pool.max_workers),
            pool_slot: pool.map(|pool| pool.slot),
        };
        let pooled = |name: &String| self.list.iter().any(|pool| pool.dispatchers.contains(name));
        let others = served.iter().filter(|name| !pooled(name)).cloned();
        let mut lanes = BTreeMap::from([(Lane::Process, post(others.collect(), slots, None))]);
        for (id, pool) in (0_u32..).zip(&self.list) {
            let (names, most) = (pool.dispatchers.clone(), pool.spec.max_workers);
            lanes.insert(Lane::Pool(PoolId(id)), post(names, most, Some(&pool.spec)));
        }
        lanes
    }

    /// The pool that runs jobs of this dispatcher.
    pub(super) fn of_dispatcher(&self, name: &str) -> Option<PoolId> {
        let mut pools = (0_u32..).zip(&self.list);
        let its = |pool: &Pool| pool.dispatchers.iter().any(|it| it == name);
        pools.find(|(_, pool)| its(pool)).map(|(id, _)| PoolId(id))
    }

    /// Whether it would take one more job.
    pub(super) fn has_room(&self, id: PoolId, snapshot: &Snapshot) -> bool {
        let its = snapshot.pools.iter().find(|it| it.pool == id);
        let busy = self
            .seats
            .values()
            .filter(|seat| seat.pool == id && (seat.is_busy() || seat.settles_since.is_some()));
        let busy = busy.count();
        its.is_some_and(|it| {
            let most = self.get(id).spec.max_workers as usize;
            it.degraded.is_none() && it.waiting + busy < most
        })
    }

    pub(super) fn serves_jobs(&self) -> bool {
        self.seats.values().any(|seat| seat.doing.is_some())
    }
}

impl World {
    /// Draws the pools of a supervisor that serves these dispatchers.
    pub(super) fn draw_pools(&mut self, served: &[String], first_slot: u32) -> Pools {
        let mut pools = Pools::default();
        if !self.has_pools || self.dice.one_in(4) {
            return pools;
        }
        let mut left = served.to_vec();
        for slot in first_slot..=first_slot + self.dice.small(2) {
            let mut dispatchers = Vec::new();
            for _ in 0..self.dice.index(4) {
                if left.len() > 1 {
                    let at = self.dice.index(left.len());
                    dispatchers.push(left.remove(at));
                }
            }
            let spec = self.draw_spec(slot, !dispatchers.is_empty());
            pools.list.push(Pool {
                spec,
                foreign: self.dice.one_in(2),
                dispatchers,
                reluctant: self.strikes(Fault::Reluctant),
                hasty: self.dice.one_in(2),
                broken_until: Duration::ZERO,
                resets_since: None,
                stop_at: None,
                back_off: BackOff::default(),
                had_failures: false,
                proved: false,
                reset_ends: 0,
            });
        }
        pools
    }

    fn draw_spec(&mut self, slot: u32, claims: bool) -> PoolSpec {
        let dice = &mut self.dice;
        let max_workers = 1 + dice.small(3);
        PoolSpec {
            slot,
            claims,
            min_workers: dice.small(max_workers + 1),
            max_workers,
            prefetch: [0, 1, 8, 32][dice.index(4)],
            max_jobs: [0, 0, 1, 3, 10][dice.index(5)],
            ttl: dice.one_in(3).then(|| SECOND + dice.millis(8_000)),
            idle_ttl: dice.one_in(3).then(|| SECOND / 2 + dice.millis(4_000)),
            spawn_timeout: SECOND + dice.millis(3_000),
            queue_timeout: (!dice.one_in(3)).then(|| SECOND / 10 + dice.millis(3_000)),
            exec_timeout: (!dice.one_in(3)).then(|| SECOND / 10 + dice.millis(3_000)),
            stop_timeout: dice.millis(2_000),
            drain_timeout: dice.millis(4_000),
        }
    }

    pub(super) fn count_ahead(&mut self, id: RunnerId, lane: Lane, slots: usize) {
        let Lane::Pool(pool) = lane else { return };
        let desk = self.desk(id);
        if desk.is_some_and(|desk| slots > desk.pools.get(pool).spec.max_workers as usize) {
            self.coverage.count("job claimed ahead of a worker");
        }
    }

    /// Performs what an engine asks about its pools.
    pub(super) fn perform_of_pool(&mut self, id: RunnerId, effect: Effect) {
        match effect {
            Effect::Boot { worker, pool } => self.boot(id, worker, pool),
            Effect::Assign {
                worker,
                attempt,
                assignment,
                ..
            } => {
                self.note_begun(id, &assignment);
                self.assign(id, (worker, attempt), &assignment);
            }
            Effect::Hand { worker, request } => self.hand(id, worker, request),
            Effect::Answer { request, answer } => self.answer(id, request, &answer),
            Effect::ResetOver { pool, failure } => self.reset_over(id, pool, failure.as_deref()),
            Effect::Retire { worker } => self.retire(id, worker),
            Effect::Claim { .. }
            | Effect::Spawn { .. }
            | Effect::Stop { .. }
            | Effect::Kill { .. }
            | Effect::Bury { .. }
            | Effect::Drain { .. }
            | Effect::Record { .. }
            | Effect::Renew
            | Effect::Deadline { .. }
            | Effect::Reopen
            | Effect::CloseIfIdle
            | Effect::HandOver
            | Effect::Close
            | Effect::Finish => {}
        }
    }

    pub(super) fn pools(&mut self, id: RunnerId) -> Option<&mut Pools> {
        Some(&mut self.desk(id)?.pools)
    }

    pub(super) fn seat(&mut self, id: RunnerId, worker: WorkerId) -> Option<&mut Seat> {
        self.pools(id)?.seats.get_mut(&worker)
    }

    fn boot(&mut self, id: RunnerId, worker: WorkerId, pool: PoolId) {
        let Some(keeper) = self.runners.get(&id).and_then(|runner| runner.keeper) else {
            return;
        };
        let Some(pools) = self.pools(id) else { return };
        let its = pools.get(pool);
        let foreign = its.foreign;
        let fresh = its.resets_since.is_some();
        pools.seats.insert(worker, Seat::new(pool, foreign, fresh));
        let birth = Birth {
            runner: id,
            keeper,
            worker,
            pool,
            foreign,
        };
        self.ask(id, KeeperRequest::Boot(birth));
    }

    fn assign(
        &mut self,
        id: RunnerId,
        (worker, attempt): (WorkerId, AttemptId),
        assignment: &Assignment,
    ) {
        let now = self.now;
        let doing = Doing::new(attempt, assignment, now);
        let (job, number, letter) = (doing.job, doing.number, doing.letter);
        if let Some(seat) = self.seat(id, worker) {
            if seat.is_busy() {
                let what = format!("{worker:?} gets {job} while it has a task");
                return self.broken("one task for each worker", what);
            }
            seat.doing = Some(doing);
            seat.hearing.given = Given::Job;
            seat.settles_since = None;
            let timeout = assignment.options.timeout;
            if self.deeds(job, number).unwanted >= GIVEN_MAX {
                let what = format!("{job} is given on and on");
                return self.broken("nobody is asked for ever", what);
            }
            self.commit_to(id, worker, (job, number));
            let letter = Letter::Job {
                attempt,
                timeout,
                letter,
            };
            self.post(id, worker, letter);
            if assignment.options.memory_limit.is_some() && self.strikes(Fault::MemoryLimit) {
                let later = self.dice.millis(2_000);
                self.after(later, super::world::Happening::OverLimit(id, worker));
            }
        }
        self.tell(id, Event::Handed { worker });
    }

    fn hand(&mut self, id: RunnerId, worker: WorkerId, request: RequestId) {
        let now = self.now;
        if let Some(pools) = self.pools(id)
            && let Some(seat) = pools.seats.get_mut(&worker)
        {
            let asked = pools.requests.get_mut(&request);
            let free = !seat.is_busy();
            let Some(asked) = asked.filter(|it| free && it.handed.is_none()) else {
                let what = format!("{worker:?} gets {request:?}");
                return self.broken("one task for each worker", what);
            };
            if asked.unwanted >= GIVEN_MAX {
                let what = format!("{request:?} is given on and on");
                return self.broken("nobody is asked for ever", what);
            }
            asked.handed = Some((worker, now));
            seat.request = Some(request);
            seat.hearing.given = Given::Request;
            seat.settles_since = None;
            self.post(id, worker, Letter::Request(request));
        }
        self.tell(id, Event::Handed { worker });
    }

    fn retire(&mut self, id: RunnerId, worker: WorkerId) {
        let now = self.now;
        if let Some(seat) = self.seat(id, worker) {
            seat.told.get_or_insert(now);
            self.post(id, worker, Letter::Retire);
        }
        self.tell(id, Event::Signalled { worker });
    }

    fn reset_over(&mut self, id: RunnerId, pool: PoolId, failure: Option<&str>) {
        let now = self.now;
        self.coverage.count(match failure {
            None => "reset done",
            Some(_) => "reset failed",
        });
        let Some(pools) = self.pools(id) else { return };
        let owed = pools.get_mut(pool).resets_since.take();
        if failure.is_none() {
            let own = pools.seats.values_mut().filter(|seat| seat.pool == pool);
            for seat in own.filter(|seat| !seat.fresh || seat.before_reset) {
                seat.replaced.get_or_insert(now);
            }
            pools.get_mut(pool).back_off.succeeded();
        }
        let own = pools.seats.values_mut().filter(|seat| seat.pool == pool);
        own.for_each(|seat| seat.before_reset = true);
        if owed.is_none() {
            let what = format!("{pool:?} of {id:?}: nobody asked for a reset");
            self.broken("resets are answered once", what);
        }
    }

    /// A pool takes nothing new from now on; when what runs is to be stopped.
    pub(super) fn close_pools(&mut self, id: RunnerId, wait: Option<Duration>) {
        let now = self.now;
        let Some(pools) = self.pools(id) else { return };
        for pool in &mut pools.list {
            let wait = wait.map(|wait| wait.min(pool.spec.drain_timeout));
            // Its clock may be slow.
            let at = wait.map(|wait| now + wait + wait / 8);
            pool.stop_at = [pool.stop_at, at].into_iter().flatten().min();
        }
    }

    /// When everything is done, those that would stay for ever are told to end.
    pub(super) fn end_services(&mut self) {
        let mut rows = self.ledger.rows.values();
        let unfinished = rows.any(|row| !row.state.is_terminal());
        let unproved = self.runners.values().any(|runner| {
            let desk = runner.desk.as_ref().filter(|_| !runner.told_to_end);
            desk.is_some_and(|desk| desk.pools.list.iter().any(|pool| !pool.proved))
        });
        if unfinished || unproved {
            return;
        }
        let stays = |runner: &&Runner| runner.is_service && !runner.told_to_end;
        let services = self.runners.values().filter(|runner| runner.is_alive());
        let services: Vec<RunnerId> = services.filter(stays).map(|it| it.id).collect();
        for id in services {
            let how = match self.dice.one_in(2) {
                true => Shutdown::Finish,
                false => Shutdown::Drain(2 * SECOND),
            };
            self.shut_down(id, how);
        }
    }

    /// A supervisor has finished: nothing of its pools is left.
    pub(super) fn end_of_pools(&mut self, id: RunnerId, desk: &Desk) {
        self.count_ends(desk);
        let resets = desk.pools.list.iter().any(|it| it.resets_since.is_some());
        if resets || !desk.pools.requests.is_empty() {
            let open: Vec<_> = desk.pools.requests.keys().collect();
            let what = format!("{id:?} left without an answer to {open:?}");
            self.broken("requests are answered once", what);
        }
    }

    /// Why its workers ended.
    pub(super) fn count_ends(&mut self, desk: &Desk) {
        if desk.pools.list.is_empty() {
            return;
        }
        for pool in desk.engine.snapshot().pools {
            for (reason, count) in pool.ends {
                self.coverage.ends(reason, count);
            }
        }
    }

    fn count_answer(&mut self, answer: &Answer) {
        self.coverage.count(match answer {
            Answer::Replied => "answer: replied",
            Answer::Refused(_) => "answer: refused",
            Answer::QueueTimeout => "answer: no worker was free",
            Answer::ExecTimeout => "answer: took too long",
            Answer::Died(_) => "answer: worker died",
            Answer::Unwanted(_) => "answer: nobody wanted it",
            Answer::Degraded(_) => "answer: degraded",
            Answer::Stopping => "answer: stopping",
        });
    }
}
