//! The world of one seed: its time, and everything that is going to happen, in order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dispatcher_core::JobState;
use dispatcher_core::engine::{Event, Shutdown, WorkerId};

use crate::store::{MemoryStore, SupervisorId, UnixMs};
use crate::supervisor::clerk::{Answer, Batch};

use super::client::Client;
use super::coverage::Coverage;
use super::dice::Dice;
use super::faults::{Fault, Faults};
use super::invariants::{self, Waiting};
use super::keeper::{Keeper, KeeperId, Request};
use super::ledger::Ledger;
use super::pools::{Crewman, Letter};
use super::process::{Pid, Process};
use super::runner::{Runner, RunnerId};
use super::store::FaultyStore;
use super::trace::{Telling, Trace};
use super::{Broken, Report};

/// Events of a run before its faults stop.
const EVENTS_MIN: u64 = 1_600;
/// Steps after that in which everything must have ended.
const CALM_STEPS_MAX: u32 = 200_000;
/// Steps before it, if so few events come of them.
const STEPS_MAX: u32 = 200_000;
/// 2026-01-01: some instant for the store's clock to begin at.
const BEGINNING_MS: UnixMs = 1_767_225_600_000;

/// Something that is going to happen.
pub(super) enum Happening {
    /// Somebody uses the system.
    Client,
    /// Something goes wrong by itself.
    Mishap,
    /// Whoever waits for jobs looks whether somebody runs them.
    Waiters,
    /// A submitter wants somebody of this build to run a dispatcher.
    Ensure {
        build: i64,
        dispatcher: String,
    },
    /// A supervisor's process opens its row.
    Open(RunnerId),
    /// The store's thread takes a batch.
    Commit(RunnerId, Box<Batch>),
    Answer(RunnerId, Box<Answer>),
    Wake(RunnerId),
    /// A request reaches a keeper.
    Request(KeeperId, Request),
    /// A report of a keeper reaches its supervisor.
    Report(RunnerId, Event),
    /// Bytes of a worker reach its supervisor.
    Bytes(RunnerId, WorkerId, Vec<u8>),
    /// A worker writes so much.
    Flood(RunnerId, WorkerId, usize),
    /// A message reaches a worker of a pool.
    Post(RunnerId, WorkerId, Letter),
    /// A worker of a pool writes this byte so often.
    Printed(RunnerId, WorkerId, u8, usize),
    /// A supervisor has given up waiting for the end of a worker that makes no sense.
    Doubted(RunnerId, WorkerId, String),
    /// A supervisor notices something by itself.
    Noticed(RunnerId, Event),
    /// A source does something, after so many failures in a row.
    Source(RunnerId, u32),
    /// A process does the next thing of its script.
    Act(Pid),
    Die(Pid, dispatcher_core::ExitStatus),
    DrainOver(RunnerId, WorkerId, bool),
    OverLimit(RunnerId, WorkerId),
    /// A keeper reads the end of its supervisor's channel.
    KeeperAlone(KeeperId),
    /// A supervisor reads the end of its keeper's channel.
    KeeperMissed(RunnerId, KeeperId),
    KeeperDeadline(KeeperId),
    Upkeep(RunnerId),
    /// A rescuer looks whether the workers of a lost supervisor are dead.
    Rescue(RunnerId, SupervisorId),
    Shutdown(RunnerId, Shutdown),
}

/// Whether things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Safety,
    Liveness,
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) coverage: Coverage,
    pub(super) trace: Trace,
    /// The true time.
    pub(super) now: Duration,
    /// What the store's clock is ahead of it.
    jump_ms: i64,
    clock: Arc<AtomicI64>,
    queue: BTreeMap<(Duration, u64), Happening>,
    order: u64,
    pub(super) memory: MemoryStore,
    pub(super) ledger: Ledger,
    pub(super) runners: BTreeMap<RunnerId, Runner>,
    pub(super) keepers: BTreeMap<KeeperId, Keeper>,
    pub(super) processes: BTreeMap<Pid, Process>,
    /// Processes of pools, and how those ended that are over.
    pub(super) crew: BTreeMap<Pid, Crewman>,
    pub(super) ends: BTreeMap<(RunnerId, WorkerId), dispatcher_core::ExitStatus>,
    /// Whether each supervisor is on a machine of its own.
    pub(super) has_leases: bool,
    /// Whether supervisors have pools here.
    pub(super) has_pools: bool,
    /// The one supervisor of each build that may be coming, serving or going.
    pub(super) elections: BTreeMap<i64, RunnerId>,
    /// Lost supervisors, and who rescues their jobs.
    pub(super) rescues: BTreeMap<SupervisorId, RunnerId>,
    pub(super) client: Client,
    pub(super) phase: Phase,
    /// What the invariant about due jobs has seen.
    pub(super) waiting: RefCell<Waiting>,
    pub(super) events: u64,
    broken: Option<(&'static str, String)>,
}

impl World {
    pub(super) fn new(seed: u64, telling: Telling) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::of_seed(&mut dice);
        let has_pools = !dice.one_in(3);
        let has_leases = dice.one_in(2);
        let clock = Arc::new(AtomicI64::new(BEGINNING_MS));
        let client = Client::new(&mut dice);
        let ledger = Ledger {
            declared: client.declared(),
            ..Ledger::default()
        };
        Self {
            faults,
            coverage: Coverage::default(),
            trace: Trace::new(telling),
            now: Duration::ZERO,
            jump_ms: 0,
            memory: MemoryStore::with_clock(Arc::clone(&clock)),
            clock,
            queue: BTreeMap::new(),
            order: 0,
            ledger,
            runners: BTreeMap::new(),
            keepers: BTreeMap::new(),
            processes: BTreeMap::new(),
            crew: BTreeMap::new(),
            ends: BTreeMap::new(),
            has_leases,
            has_pools,
            elections: BTreeMap::new(),
            rescues: BTreeMap::new(),
            client,
            phase: Phase::Safety,
            waiting: RefCell::default(),
            events: 0,
            broken: None,
            dice,
        }
    }

    pub(super) fn run(mut self) -> Result<Report, Box<Broken>> {
        self.after(Duration::ZERO, Happening::Client);
        self.after(Duration::from_secs(1), Happening::Mishap);
        let mut steps = 0;
        while self.events < EVENTS_MIN && steps < STEPS_MAX && self.broken.is_none() {
            self.step();
            steps += 1;
        }
        self.calm_down();
        let mut steps = 0;
        while self.broken.is_none() && !self.has_ended() {
            self.step();
            steps += 1;
            if steps >= CALM_STEPS_MAX {
                let left = self.left();
                self.broken("everything ends", left);
            }
        }
        match self.broken {
            Some((invariant, detail)) => Err(Box::new(Broken {
                invariant,
                detail,
                tail: self.trace.tail(),
            })),
            None => Ok(Report {
                hash: self.trace.hash(),
                events: self.events,
                coverage: self.coverage,
            }),
        }
    }

    /// The wall clock of the store.
    pub(super) fn store_ms(&self) -> UnixMs {
        let passed = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        BEGINNING_MS + passed + self.jump_ms
    }

    pub(super) fn store(&mut self) -> FaultyStore<'_> {
        self.clock.store(self.store_ms(), Ordering::Relaxed);
        FaultyStore {
            inner: self.memory.clone(),
            now: self.store_ms(),
            faults: &self.faults,
            dice: &mut self.dice,
            coverage: &mut self.coverage,
            ledger: &mut self.ledger,
            cut_off: false,
        }
    }

    /// The store as this supervisor reaches it.
    pub(super) fn store_of(&mut self, id: RunnerId) -> FaultyStore<'_> {
        let cut_until = self.runners.get(&id).map(|it| it.holding.cut_until);
        let cut_off = cut_until.is_some_and(|until| until > self.now);
        FaultyStore {
            cut_off,
            ..self.store()
        }
    }

    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self
            .faults
            .strikes(fault, &mut self.dice, &mut self.coverage);
        if strikes {
            self.trace
                .line(self.now, format_args!("fault: {}", fault.name()));
        }
        strikes
    }

    pub(super) fn at(&mut self, when: Duration, what: Happening) {
        self.order += 1;
        self.queue.insert((when.max(self.now), self.order), what);
    }

    pub(super) fn after(&mut self, delay: Duration, what: Happening) {
        self.at(self.now + delay, what);
    }

    /// A short time: a message on its way, a thread being woken.
    pub(super) fn moment(&mut self) -> Duration {
        self.dice.millis(3)
    }

    pub(super) fn broken(&mut self, invariant: &'static str, detail: String) {
        if self.broken.is_none() {
            self.broken = Some((invariant, detail));
        }
    }

    fn step(&mut self) {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self
            .runners
            .values()
            .filter_map(|runner| Some((runner.timer()?, runner.id)))
            .min();
        match (queued, timer) {
            (Some(at), Some((due, _))) if at <= due => self.happen(at),
            (_, Some((due, runner))) => self.timeout(due, runner),
            (Some(at), None) => self.happen(at),
            (None, None) => {
                let left = self.left();
                self.broken("everything ends", left);
            }
        }
        if self.broken.is_none() {
            self.broken = self.ledger.broken.take();
        }
        if self.broken.is_none() {
            self.broken = invariants::of_steps(self);
        }
    }

    fn happen(&mut self, at: Duration) {
        self.now = self.now.max(at);
        let Some((_, what)) = self.queue.pop_first() else {
            return;
        };
        if let Some(until) = self.waits(&what) {
            return self.at(until, what);
        }
        match what {
            Happening::Client => self.use_it(),
            Happening::Mishap => self.mishap(),
            Happening::Waiters => self.keep_served(),
            Happening::Ensure { build, dispatcher } => self.ensure(build, &dispatcher),
            Happening::Open(runner) => self.open(runner),
            Happening::Commit(runner, batch) => self.commit(runner, *batch),
            Happening::Answer(runner, answer) => self.answered(runner, *answer),
            Happening::Wake(runner) => self.woken(runner),
            Happening::Request(keeper, request) => self.requested(keeper, request),
            Happening::Report(runner, event) => self.reported(runner, event),
            Happening::Bytes(runner, worker, bytes) => self.heard(runner, worker, &bytes),
            Happening::Flood(runner, worker, bytes) => self.flooded(runner, worker, bytes),
            Happening::Post(runner, worker, letter) => self.delivered(runner, worker, letter),
            Happening::Printed(runner, worker, letter, count) => {
                self.printed(runner, worker, &vec![letter; count]);
            }
            Happening::Doubted(runner, worker, what) => self.doubted(runner, worker, what),
            Happening::Noticed(runner, event) => self.noticed(runner, event),
            Happening::Source(runner, failures) => self.source(runner, failures),
            Happening::Act(pid) => self.act(pid),
            Happening::Die(pid, status) => self.die(pid, status),
            Happening::DrainOver(runner, worker, leaked) => self.drained(runner, worker, leaked),
            Happening::OverLimit(runner, worker) => self.over_limit(runner, worker),
            Happening::KeeperAlone(keeper) => self.keeper_dies(keeper),
            Happening::KeeperMissed(runner, keeper) => self.keeper_missed(runner, keeper),
            Happening::KeeperDeadline(keeper) => self.keeper_ends_all(keeper),
            Happening::Upkeep(runner) => self.look_after(runner),
            Happening::Rescue(rescuer, dead) => self.rescue(rescuer, dead),
            Happening::Shutdown(runner, how) => self.shut_down(runner, how),
        }
    }

    /// Something goes wrong by itself, now and then.
    fn mishap(&mut self) {
        if self.phase == Phase::Liveness {
            return;
        }
        let next = Duration::from_millis(200) + self.dice.millis(2_000);
        self.after(next, Happening::Mishap);
        if !self.has_leases && self.strikes(Fault::ClockJump) {
            let jump = i64::try_from(self.dice.below(40_000)).unwrap_or(0) - 20_000;
            self.jump_ms += jump;
            self.trace
                .line(self.now, format_args!("the clock jumps by {jump} ms"));
        }
        let alive: Vec<RunnerId> = self.serving().collect();
        let Some(runner) = self.dice.pick(&alive).copied() else {
            return;
        };
        if self.has_leases {
            self.mishap_of_machines(runner);
        }
        // Nobody would end what its keeper leaves.
        let stands = self.waits(&Happening::Upkeep(runner)).is_some();
        if !stands
            && self.strikes(Fault::KeeperDies)
            && let Some(keeper) = self.runners.get(&runner).and_then(|it| it.keeper)
        {
            self.keeper_dies(keeper);
        }
        if self.strikes(Fault::RunnerDies) {
            self.runner_dies(runner);
        }
        if self.strikes(Fault::BothDie) {
            if self.has_leases {
                return self.machine_fails(runner);
            }
            let keeper = self.runners.get(&runner).and_then(|it| it.keeper);
            self.runner_dies(runner);
            if let Some(keeper) = keeper {
                // Its children live on: nobody is left to kill them.
                self.keepers.remove(&keeper);
            }
        }
        let drain = Shutdown::Drain(self.dice.millis(4_000));
        for (fault, how) in [
            (Fault::ShutdownFinish, Shutdown::Finish),
            (Fault::ShutdownDrain, drain),
            (Fault::ShutdownNow, Shutdown::Now),
        ] {
            if self.strikes(fault) {
                self.after(Duration::ZERO, Happening::Shutdown(runner, how));
            }
        }
        if self.dice.one_in(3) {
            self.after(Duration::ZERO, Happening::Wake(runner));
        }
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = RunnerId> {
        let all = self.runners.values();
        all.filter(|runner| runner.is_alive())
            .map(|runner| runner.id)
    }

    /// The faults stop: from here on everything must come to an end.
    fn calm_down(&mut self) {
        self.trace.line(self.now, format_args!("calm"));
        self.phase = Phase::Liveness;
        self.waiting = RefCell::new(Waiting::from(self.now));
        self.faults.stop();
        self.resume_all();
        self.end_what_hangs();
        for runner in self.runners.values_mut() {
            let cut_until = &mut runner.holding.cut_until;
            *cut_until = (*cut_until).min(self.now);
        }
        self.after(Duration::ZERO, Happening::Waiters);
    }

    /// When the faults stopped.
    pub(super) fn calm_since(&self) -> Option<Duration> {
        self.waiting.borrow().calm_since()
    }

    /// A supervisor notices something by itself.
    fn noticed(&mut self, id: RunnerId, event: Event) {
        self.tell(id, event);
        self.pump(id);
    }

    fn has_ended(&self) -> bool {
        let unfinished = self
            .ledger
            .rows
            .values()
            .any(|row| !row.state.is_terminal());
        !unfinished
            && self.runners.values().all(|runner| !runner.is_there())
            && !self.processes.values().any(Process::is_alive)
            && !self.crew.values().any(Crewman::is_alive)
    }

    fn left(&self) -> String {
        let rows = self
            .ledger
            .rows
            .iter()
            .filter(|(_, row)| !row.state.is_terminal());
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(_, row)| row.state == JobState::Queued);
        rows.truncate(5);
        let runners: Vec<_> = self.runners.values().filter(|it| it.is_there()).collect();
        let crew = self.crew.values().filter(|it| it.is_alive()).count();
        let alive = self.processes.values().filter(|it| it.is_alive()).count() + crew;
        format!("left: {alive} processes, {runners:?}, {rows:?}")
    }
}

impl Happening {
    /// Whose process does it.
    pub(super) fn runner(&self) -> Option<RunnerId> {
        match self {
            Self::Open(runner)
            | Self::Commit(runner, _)
            | Self::Answer(runner, _)
            | Self::Wake(runner)
            | Self::Report(runner, _)
            | Self::Bytes(runner, ..)
            | Self::Flood(runner, ..)
            | Self::Printed(runner, ..)
            | Self::Doubted(runner, ..)
            | Self::Noticed(runner, _)
            | Self::Source(runner, _)
            | Self::DrainOver(runner, ..)
            | Self::OverLimit(runner, _)
            | Self::KeeperMissed(runner, _)
            | Self::Upkeep(runner)
            | Self::Rescue(runner, _)
            | Self::Shutdown(runner, _) => Some(*runner),
            Self::Client
            | Self::Mishap
            | Self::Waiters
            | Self::Ensure { .. }
            | Self::Request(..)
            | Self::Post(..)
            | Self::Act(_)
            | Self::Die(..)
            | Self::KeeperAlone(_)
            | Self::KeeperDeadline(_) => None,
        }
    }
}
