//! One supervisor: the real engine, clerk, hearing and capture, with a made-up driver around them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{Engine, EngineConfig, Event, Now, WorkerId};

use crate::store::{Build, NewSupervisor, Store, SupervisorId};
use crate::supervisor::clerk::{Clerk, Post};

use super::faults::Fault;
use super::invariants::{self, Open};
use super::keeper::KeeperId;
use super::leases::{Holding, LEASE};
use super::links::{Limits, Link};
use super::pools::Pools;
use super::world::{Happening, World};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries to open a row before a supervisor leaves again.
const OPEN_TRIES_MAX: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunnerId(pub(super) u32);

/// A supervisor, from its start to its end.
pub(super) struct Runner {
    pub(super) id: RunnerId,
    pub(super) build: i64,
    pub(super) row: Option<SupervisorId>,
    pub(super) keeper: Option<KeeperId>,
    pub(super) newer: Option<SupervisorId>,
    pub(super) slots: u32,
    life: Life,
    open_tries: u32,
    /// Its clock runs at this many millionths of the true one.
    rate: u64,
    born: Duration,
    wall_skew_ms: i64,
    pub(super) next_look: Duration,
    pub(super) late: Duration,
    /// When, by the true clock, whatever it runs is to be stopped.
    pub(super) stop_at: Option<Duration>,
    pub(super) keeper_is_lost: bool,
    /// It stays until it is told to end.
    pub(super) is_service: bool,
    /// It takes nothing new.
    pub(super) told_to_end: bool,
    /// The store said so.
    pub(super) row_is_closed: bool,
    pub(super) holding: Holding,
    /// Claims that it has begun, as it notes them for whoever comes after it.
    pub(super) begun: BTreeSet<(JobId, u64)>,
    pub(super) desk: Option<Desk>,
}

/// What a serving supervisor works with.
pub(super) struct Desk {
    pub(super) engine: Engine,
    pub(super) clerk: Clerk,
    pub(super) under_way: bool,
    pub(super) links: BTreeMap<WorkerId, Link>,
    pub(super) pools: Pools,
    /// Events since effects were last performed.
    pub(super) told_since_pump: u32,
    /// It dies when the store has taken its next batch.
    pub(super) dies_committed: bool,
    /// What it is about to ask is the last thing that it asks.
    pub(super) dies_with_batch: bool,
    pub(super) open: Open,
    pub(super) finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Opening,
    Serving,
    /// It left by itself, with nothing behind it.
    Finished,
    Dead,
}

impl Desk {
    /// Whether somebody may want one of its jobs to be cancelled.
    pub(super) fn has_jobs(&self) -> bool {
        !self.links.is_empty() || self.pools.serves_jobs()
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.desk.as_ref().map(|desk| desk.engine.snapshot());
        write!(
            f,
            "{:?} {:?} {:?} {snapshot:?}",
            self.id, self.life, self.row
        )
    }
}

impl Runner {
    pub(super) fn is_alive(&self) -> bool {
        self.life == Life::Serving
    }

    /// Whether there is a process of it.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.life, Life::Serving | Life::Opening)
    }

    pub(super) fn born(&self) -> Duration {
        self.born
    }

    pub(super) fn stop_at(&self) -> Option<Duration> {
        self.stop_at
    }

    /// What is known of its workers, while its keeper lives to be told something.
    pub(super) fn limits(&self) -> Vec<Limits> {
        let desk = self.desk.as_ref().filter(|_| !self.keeper_is_lost);
        let links = desk.map(|desk| desk.links.values()).into_iter().flatten();
        links.map(|link| link.limits.clone()).collect()
    }

    /// Whether it takes work, and has a free slot for it.
    pub(super) fn has_room(&self, dispatcher: &str) -> bool {
        let Some(desk) = self.desk.as_ref().filter(|_| self.is_alive()) else {
            return false;
        };
        let snapshot = desk.engine.snapshot();
        if let Some(pool) = desk.pools.of_dispatcher(dispatcher) {
            return snapshot.serving && desk.pools.has_room(pool, &snapshot);
        }
        let own = |(_, slot): &&(JobId, u32)| *slot < self.slots;
        snapshot.serving && snapshot.live.iter().filter(own).count() < self.slots as usize
    }

    pub(super) fn has_finished(&self) -> bool {
        self.life == Life::Finished
    }

    /// When, by the true clock, its engine wants to be called.
    pub(super) fn timer(&self) -> Option<Duration> {
        let desk = self.desk.as_ref().filter(|_| self.is_alive())?;
        let engine = desk
            .engine
            .poll_timeout()
            .map(|at| self.truly(at) + self.late);
        let look = desk.has_jobs().then_some(self.next_look);
        let due = [engine, look].into_iter().flatten().min();
        due.map(|at| at.max(self.holding.stands_until))
    }

    fn now(&self, now: Duration, wall_ms: i64) -> Now {
        let passed = u64::try_from((now - self.born).as_nanos()).unwrap_or(u64::MAX);
        let own = u128::from(passed) * u128::from(self.rate) / 1_000_000;
        Now {
            monotonic: Duration::from_nanos(u64::try_from(own).unwrap_or(u64::MAX)),
            wall_ms: wall_ms + self.wall_skew_ms,
        }
    }

    /// The true time at which its own clock shows this at least.
    pub(super) fn truly(&self, own: Duration) -> Duration {
        let nanos = (own.as_nanos() * 1_000_000).div_ceil(u128::from(self.rate));
        self.born + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1))
    }
}

impl World {
    /// A submitter starts a supervisor, which holds the election lock of its build.
    pub(super) fn launch(&mut self, build: i64) {
        let id = RunnerId(u32::try_from(self.runners.len()).unwrap_or(u32::MAX));
        let skewed = self.strikes(Fault::ClockSkew);
        let rate = if skewed && self.has_leases {
            990_000 + self.dice.below(20_000)
        } else if skewed {
            900_000 + self.dice.below(200_000)
        } else {
            1_000_000
        };
        let skew = if skewed { self.dice.below(60_000) } else { 0 };
        let runner = Runner {
            id,
            build,
            row: None,
            keeper: None,
            newer: None,
            slots: 1 + self.dice.small(4),
            life: Life::Opening,
            open_tries: 0,
            rate,
            born: self.now,
            wall_skew_ms: i64::try_from(skew).unwrap_or(0) - 30_000,
            next_look: self.now,
            late: Duration::ZERO,
            stop_at: None,
            keeper_is_lost: false,
            is_service: false,
            told_to_end: false,
            row_is_closed: false,
            holding: Holding::default(),
            begun: BTreeSet::new(),
            desk: None,
        };
        self.trace
            .line(self.now, format_args!("{id:?} of build {build} is started"));
        self.runners.insert(id, runner);
        self.elections.insert(build, id);
        let moment = self.moment();
        self.after(moment, Happening::Open(id));
    }

    pub(super) fn open(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get(&id).filter(|it| it.life == Life::Opening) else {
            return;
        };
        let (build, slots) = (runner.build, runner.slots);
        let serves = self.client.served_by(build);
        let lease = self.has_leases.then_some(LEASE);
        let length = lease.map(|lease| lease.length);
        let row = row_of(id, build, slots, &serves, length);
        let opened = self.store_of(id).open_supervisor(&row);
        let Ok(row) = opened else {
            let Some(runner) = self.runners.get_mut(&id) else {
                return;
            };
            runner.open_tries += 1;
            if runner.open_tries > OPEN_TRIES_MAX {
                runner.life = Life::Finished;
                return self.let_go(id);
            }
            return self.after(SECOND, Happening::Open(id));
        };
        self.ledger.supervisors.insert(row, (slots, build));
        let seed = self.dice.next();
        let pools = self.draw_pools(&serves, slots);
        let of_pools = pools.list.iter().map(|pool| pool.spec.slot);
        self.ledger.pool_slots.insert(row, of_pools.collect());
        let is_service = !pools.list.is_empty() && self.dice.one_in(3);
        let keeper = self.start_keeper(id);
        let (now, wall) = (self.now, self.store_ms());
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let config = EngineConfig {
            slots,
            pools: pools.specs(),
            lease,
            poll_interval: SECOND,
            linger: (!is_service).then_some(3 * SECOND),
            hello_timeout: HELLO_TIMEOUT,
            drain_timeout: Duration::from_millis(200),
            seed,
        };
        let clerk = Clerk::new(Post {
            supervisor: row,
            lanes: pools.lanes(&serves, slots),
            commands: BTreeSet::new(),
            build: build_of(build).id,
        });
        runner.row = Some(row);
        runner.keeper = Some(keeper);
        runner.life = Life::Serving;
        runner.is_service = is_service;
        runner.desk = Some(Desk {
            engine: Engine::new(config, runner.now(now, wall)),
            clerk,
            under_way: false,
            links: BTreeMap::new(),
            pools,
            told_since_pump: 0,
            dies_committed: false,
            dies_with_batch: false,
            open: Open::default(),
            finished: false,
        });
        self.tell(id, Event::Woken);
        self.after(Duration::ZERO, Happening::Upkeep(id));
        self.start_sources(id);
        self.pump(id);
    }

    pub(super) fn desk(&mut self, id: RunnerId) -> Option<&mut Desk> {
        let runner = self.runners.get_mut(&id).filter(|it| it.is_alive())?;
        runner.desk.as_mut()
    }

    pub(super) fn now_of(&self, id: RunnerId) -> Option<Now> {
        let runner = self.runners.get(&id)?;
        Some(runner.now(self.now, self.store_ms()))
    }

    /// It has finished: what it leaves is a closed row.
    pub(super) fn leave(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let unanswered = runner
            .desk
            .as_ref()
            .is_some_and(|desk| !desk.open.is_empty());
        runner.life = Life::Finished;
        let closed = runner.row_is_closed;
        let desk = runner.desk.take();
        let (row, keeper) = (runner.row, runner.keeper.take());
        if unanswered {
            self.broken(
                "effects are answered once",
                format!("{id:?} left without answers"),
            );
        }
        if let Some(desk) = &desk {
            self.end_of_pools(id, desk);
        }
        if let Some(keeper) = keeper {
            self.keepers.remove(&keeper);
        }
        if let Err(what) = invariants::nothing_held_when_leaving(&self.ledger, row, closed) {
            self.broken("nothing is held when leaving", what);
        }
        if let Some(row) = row {
            // It may fail: then the row is that of a dead supervisor.
            let _ = self.store_of(id).close_supervisor(row);
        }
        self.trace.line(self.now, format_args!("{id:?} leaves"));
        self.rescues.retain(|_, rescuer| *rescuer != id);
        self.let_go(id);
    }

    pub(super) fn let_go(&mut self, id: RunnerId) {
        self.elections.retain(|_, holder| *holder != id);
    }

    /// SIGKILL: its locks are free, and its keeper will notice. Without a keeper nobody on another
    /// machine could end what it leaves, so there it goes with its machine.
    pub(super) fn runner_dies(&mut self, id: RunnerId) {
        let keeper_is_lost = self.runners.get(&id).is_some_and(|it| it.keeper_is_lost);
        if self.has_leases && keeper_is_lost {
            return self.machine_fails(id);
        }
        if let Some(keeper) = self.end_of_runner(id) {
            let moment = self.moment();
            self.after(moment, Happening::KeeperAlone(keeper));
        }
    }

    /// Its keeper, which has not noticed.
    pub(super) fn end_of_runner(&mut self, id: RunnerId) -> Option<KeeperId> {
        let runner = self.runners.get_mut(&id).filter(|it| it.is_there())?;
        runner.life = Life::Dead;
        runner.holding.stands_until = Duration::ZERO;
        let keeper = runner.keeper.take();
        let desk = runner.desk.take();
        if let Some(desk) = &desk {
            for link in desk.links.values() {
                self.deeds(link.job, link.attempt).lost = true;
            }
            for doing in desk.pools.seats.values().filter_map(|it| it.doing.as_ref()) {
                self.deeds(doing.job, doing.number).lost = true;
            }
            self.count_ends(desk);
        }
        self.orphan_crew(id);
        self.trace.line(self.now, format_args!("{id:?} dies"));
        self.let_go(id);
        self.rescues.retain(|_, rescuer| *rescuer != id);
        keeper
    }
}

pub(super) fn build_of(number: i64) -> Build {
    Build {
        modified_ns: number,
        id: format!("build-{number}"),
    }
}

pub(super) fn row_of(
    id: RunnerId,
    build: i64,
    slots: u32,
    serves: &[String],
    lease: Option<Duration>,
) -> NewSupervisor {
    NewSupervisor {
        program: "simulated".into(),
        build: build_of(build),
        pid: id.0,
        slots,
        directory: format!("/simulated/{}", id.0).into(),
        serves: serves.to_vec(),
        queues: Vec::new(),
        lease,
    }
}
