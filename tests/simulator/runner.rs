//! One supervisor: the real engine, clerk, hearing and capture, with a made-up driver around them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{
    Assignment, Effect, Engine, EngineConfig, Event, Now, Shutdown, Strays, Verdict, WorkerId,
};

use crate::process::CaptureBuffer;
use crate::store::{
    Build, Capture, NewSupervisor, ProgressNote, Serves, Store, Stream, SupervisorId,
};
use crate::supervisor::clerk::{Answer, Batch, Clerk, Post};
use crate::supervisor::hearing::{Heard, Hearing};

use super::faults::Fault;
use super::invariants::Open;
use super::process::{Birth, Pid, SIGTERM};
use super::world::{Happening, World};

const SECOND: Duration = Duration::from_secs(1);
const SIGKILL: i32 = 9;
const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;
/// Tries to open a row before a supervisor leaves again.
const OPEN_TRIES_MAX: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunnerId(pub(super) u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeeperId(pub(super) u32);

/// What a supervisor asks of its keeper.
pub(super) enum Request {
    Fork(Box<Birth>),
    Signal(WorkerId, i32),
    Bury(WorkerId, Strays),
}

/// The parent of a supervisor's workers, while it lives.
pub(super) struct Keeper {
    runner: RunnerId,
    pub(super) children: BTreeMap<WorkerId, Pid>,
    /// When its last report arrives, and the last request to it: both channels keep their order.
    reports_until: Duration,
    requests_until: Duration,
}

impl Keeper {
    /// When the last of its reports arrives.
    pub(super) fn last_report(&self) -> Duration {
        self.reports_until
    }
}

/// A supervisor, from its start to its end.
pub(super) struct Runner {
    pub(super) id: RunnerId,
    pub(super) build: i64,
    pub(super) row: Option<SupervisorId>,
    pub(super) keeper: Option<KeeperId>,
    pub(super) newer: Option<SupervisorId>,
    slots: u32,
    life: Life,
    open_tries: u32,
    /// Its clock runs at this many millionths of the true one.
    rate: u64,
    born: Duration,
    wall_skew_ms: i64,
    next_look: Duration,
    late: Duration,
    desk: Option<Desk>,
}

/// What a serving supervisor works with.
struct Desk {
    engine: Engine,
    clerk: Clerk,
    under_way: bool,
    links: BTreeMap<WorkerId, Link>,
    open: Open,
    finished: bool,
}

struct Link {
    job: JobId,
    attempt: u32,
    token: u64,
    hearing: Hearing,
    stdout: Option<CaptureBuffer>,
    captured: Option<Capture>,
    note: Option<ProgressNote>,
    drains: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Opening,
    Serving,
    /// It left by itself, with nothing behind it.
    Finished,
    Dead,
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
        let look = (!desk.links.is_empty()).then_some(self.next_look);
        [engine, look].into_iter().flatten().min()
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
    fn truly(&self, own: Duration) -> Duration {
        let nanos = (own.as_nanos() * 1_000_000).div_ceil(u128::from(self.rate));
        self.born + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX) + 1)
    }
}

impl World {
    /// A submitter starts a supervisor, which holds the election lock of its build.
    pub(super) fn launch(&mut self, build: i64) {
        let id = RunnerId(u32::try_from(self.runners.len()).unwrap_or(u32::MAX));
        let skewed = self.strikes(Fault::ClockSkew);
        let rate = if skewed {
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
        let row = NewSupervisor {
            program: "simulated".into(),
            build: build_of(build),
            pid: id.0,
            slots,
            directory: format!("/simulated/{}", id.0).into(),
            serves: serves.clone(),
        };
        let opened = self.store().open_supervisor(&row);
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
        let keeper = self.start_keeper(id);
        let (now, wall) = (self.now, self.store_ms());
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let config = EngineConfig {
            slots,
            poll_interval: SECOND,
            linger: Some(5 * SECOND),
            hello_timeout: 5 * SECOND,
            drain_timeout: Duration::from_millis(200),
            seed,
        };
        let clerk = Clerk::new(Post {
            supervisor: row,
            serves: Serves {
                dispatchers: serves,
                queues: Vec::new(),
            },
            worker_slots: slots,
            build: build_of(build).id,
        });
        runner.row = Some(row);
        runner.keeper = Some(keeper);
        runner.life = Life::Serving;
        runner.desk = Some(Desk {
            engine: Engine::new(config, runner.now(now, wall)),
            clerk,
            under_way: false,
            links: BTreeMap::new(),
            open: Open::default(),
            finished: false,
        });
        self.tell(id, Event::Woken);
        self.after(Duration::ZERO, Happening::Upkeep(id));
        self.pump(id);
    }

    fn start_keeper(&mut self, runner: RunnerId) -> KeeperId {
        let last = self.keepers.last_key_value().map_or(0, |(id, _)| id.0);
        let used = self
            .processes
            .values()
            .map(|it| it.keeper.0)
            .max()
            .unwrap_or(0);
        let id = KeeperId(last.max(used) + 1);
        let keeper = Keeper {
            runner,
            children: BTreeMap::new(),
            reports_until: self.now,
            requests_until: self.now,
        };
        self.keepers.insert(id, keeper);
        id
    }

    fn desk(&mut self, id: RunnerId) -> Option<&mut Desk> {
        let runner = self.runners.get_mut(&id).filter(|it| it.is_alive())?;
        runner.desk.as_mut()
    }

    fn link(&mut self, id: RunnerId, worker: WorkerId) -> Option<&mut Link> {
        self.desk(id)?.links.get_mut(&worker)
    }

    fn now_of(&self, id: RunnerId) -> Option<Now> {
        let runner = self.runners.get(&id)?;
        Some(runner.now(self.now, self.store_ms()))
    }

    /// One event for an engine; it must fit.
    pub(super) fn tell(&mut self, id: RunnerId, event: Event) {
        let Some(now) = self.now_of(id) else { return };
        let Some(runner) = self.runners.get_mut(&id).filter(|it| it.is_alive()) else {
            return;
        };
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        self.trace
            .line(self.now, format_args!("{} <- {}", id.0, Brief(&event)));
        self.coverage.event(&event);
        self.events += 1;
        let answered = desk.open.event(&event);
        let fits = desk
            .engine
            .handle(now, event)
            .map_err(|unfit| unfit.to_string());
        if let Err(detail) = answered.and(fits) {
            self.broken("effects are answered once", detail);
        }
    }

    pub(super) fn timeout(&mut self, due: Duration, id: RunnerId) {
        self.now = self.now.max(due);
        let late = match self.strikes(Fault::TimerLate) {
            true => self.dice.millis(500),
            false => Duration::ZERO,
        };
        let Some(now) = self.now_of(id) else { return };
        let true_now = self.now;
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        runner.late = late;
        let looks = runner.next_look <= true_now;
        if looks {
            runner.next_look = true_now + SECOND;
        }
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        let due = desk
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic);
        if (looks || due) && !desk.links.is_empty() {
            desk.clerk.look_for_cancellations();
        }
        if due {
            desk.engine.handle_timeout(now);
            if desk
                .engine
                .poll_timeout()
                .is_some_and(|at| at <= now.monotonic)
            {
                let detail = format!("{id:?} would spin");
                self.broken("time passes", detail);
            }
        }
        self.pump(id);
    }

    /// Performs what the engine asks, then sends what has gathered.
    pub(super) fn pump(&mut self, id: RunnerId) {
        while let Some(effect) = self.desk(id).and_then(|desk| desk.engine.poll_effect()) {
            self.coverage.effect(&effect);
            self.trace
                .line(self.now, format_args!("{} -> {}", id.0, Brief(&effect)));
            if let Some(desk) = self.desk(id) {
                desk.open.effect(&effect);
            }
            if self.strikes(Fault::RunnerDiesAtEffect) {
                return self.runner_dies(id);
            }
            self.perform(id, effect);
        }
        let Some(desk) = self.desk(id) else { return };
        if desk.finished {
            return self.leave(id);
        }
        for link in desk.links.values_mut() {
            if let Some(note) = link.note.take() {
                desk.clerk.note(note);
            }
        }
        if !desk.under_way
            && let Some(batch) = desk.clerk.take_batch()
        {
            desk.under_way = true;
            let moment = self.moment();
            self.after(moment, Happening::Commit(id, Box::new(batch)));
        }
    }

    fn perform(&mut self, id: RunnerId, effect: Effect) {
        match effect {
            Effect::Claim { slots } => self.with_clerk(id, |clerk| clerk.claim(slots)),
            Effect::Spawn {
                worker, assignment, ..
            } => self.spawn(id, worker, &assignment),
            Effect::Stop { worker } => self.send_signal(id, worker, SIGTERM),
            Effect::Kill { worker } => self.send_signal(id, worker, SIGKILL),
            Effect::Bury { worker, strays } => self.ask(id, Request::Bury(worker, strays)),
            Effect::Drain { worker, until } => self.drain(id, worker, until),
            Effect::Record { worker, verdict } => self.record(id, worker, *verdict),
            Effect::CloseIfIdle => self.with_clerk(id, Clerk::close_if_idle),
            Effect::HandOver => self.with_clerk(id, Clerk::hand_over),
            Effect::Close => self.with_clerk(id, Clerk::close),
            Effect::Finish => {
                if let Some(desk) = self.desk(id) {
                    desk.finished = true;
                }
            }
        }
    }

    fn with_clerk(&mut self, id: RunnerId, ask: impl FnOnce(&mut Clerk)) {
        if let Some(desk) = self.desk(id) {
            ask(&mut desk.clerk);
        }
    }

    fn spawn(&mut self, id: RunnerId, worker: WorkerId, assignment: &Assignment) {
        let link = Link {
            job: assignment.job,
            attempt: assignment.counters.attempt,
            token: assignment.counters.token,
            hearing: Hearing::new(),
            stdout: None,
            captured: None,
            note: None,
            drains: false,
        };
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let (Some(keeper), Some(desk)) = (runner.keeper, runner.desk.as_mut()) else {
            return;
        };
        desk.links.insert(worker, link);
        let birth = Birth {
            job: assignment.job,
            attempt: assignment.counters.attempt,
            runner: id,
            keeper,
            worker,
            slot: assignment.slot,
            timeout: assignment.options.timeout,
            memory_limit: assignment.options.memory_limit.is_some(),
        };
        self.ask(id, Request::Fork(Box::new(birth)));
    }

    fn send_signal(&mut self, id: RunnerId, worker: WorkerId, signal: i32) {
        if let Some(link) = self.link(id, worker) {
            let (job, attempt) = (link.job, link.attempt);
            self.deeds(job, attempt).signalled = true;
        }
        self.ask(id, Request::Signal(worker, signal));
        self.tell(id, Event::Signalled { worker });
    }

    /// A request to a keeper that is gone is lost; its end is noticed elsewhere.
    fn ask(&mut self, id: RunnerId, request: Request) {
        let moment = self.moment();
        let Some(keeper_id) = self.runners.get(&id).and_then(|runner| runner.keeper) else {
            return;
        };
        let Some(keeper) = self.keepers.get_mut(&keeper_id) else {
            return;
        };
        keeper.requests_until = keeper.requests_until.max(self.now + moment);
        let at = keeper.requests_until;
        self.at(at, Happening::Request(keeper_id, request));
    }

    /// What a keeper does with a request.
    pub(super) fn requested(&mut self, id: KeeperId, request: Request) {
        let Some(keeper) = self.keepers.get(&id) else {
            return;
        };
        let runner = keeper.runner;
        match request {
            Request::Fork(birth) => self.fork(id, &birth),
            Request::Signal(worker, signal) => {
                if let Some(pid) = keeper.children.get(&worker).copied() {
                    self.signal(pid, signal);
                }
            }
            Request::Bury(worker, strays) => {
                let Some(pid) = keeper.children.get(&worker).copied() else {
                    return;
                };
                let Some(process) = self.processes.get_mut(&pid) else {
                    return;
                };
                if strays == Strays::Kill {
                    process.strays = 0;
                }
                let (job, attempt, left) = (process.job, process.attempt, process.strays);
                self.deeds(job, attempt).strays = left;
                self.report_after(id, runner, self.now, Event::Buried { worker, left });
            }
        }
    }

    fn fork(&mut self, id: KeeperId, birth: &Birth) {
        let (runner, worker) = (birth.runner, birth.worker);
        let failed = if self.strikes(Fault::SpawnFailsNow) {
            Some((EAGAIN, true))
        } else {
            self.strikes(Fault::SpawnFails).then_some((ENOENT, false))
        };
        if let Some((errno, transient)) = failed {
            self.deeds(birth.job, birth.attempt).spawn_failed = true;
            let event = Event::SpawnFailed {
                worker,
                errno,
                transient,
            };
            return self.report_after(id, runner, self.now, event);
        }
        let pid = Pid(self.order_of_birth());
        if let Some(keeper) = self.keepers.get_mut(&id) {
            keeper.children.insert(worker, pid);
        }
        self.trace.line(
            self.now,
            format_args!(
                "{}.{} is born in slot {}",
                birth.job, birth.attempt, birth.slot
            ),
        );
        self.give_birth(pid, birth);
        self.report_after(id, runner, self.now, Event::Spawned { worker });
    }

    fn order_of_birth(&mut self) -> u32 {
        self.processes
            .retain(|_, process| process.is_alive() || process.strays > 0);
        self.client.next_number()
    }

    /// Reports keep their order, and come after what the worker said before.
    pub(super) fn report_after(
        &mut self,
        keeper: KeeperId,
        runner: RunnerId,
        not_before: Duration,
        event: Event,
    ) {
        let moment = self.moment();
        let Some(keeper) = self.keepers.get_mut(&keeper) else {
            return;
        };
        let at = keeper.reports_until.max(not_before).max(self.now + moment);
        keeper.reports_until = at;
        self.at(at, Happening::Report(runner, event));
    }

    pub(super) fn reported(&mut self, id: RunnerId, event: Event) {
        if let Event::SpawnFailed { worker, .. } = &event {
            let worker = *worker;
            if let Some(desk) = self.desk(id) {
                desk.links.remove(&worker);
            }
        }
        self.tell(id, event);
        self.pump(id);
    }

    pub(super) fn heard(&mut self, id: RunnerId, worker: WorkerId, bytes: &[u8]) {
        let mut heard = Vec::new();
        let Some(link) = self.link(id, worker) else {
            return;
        };
        link.hearing.take(bytes, &mut heard);
        for heard in heard {
            match heard {
                Heard::Word(word) => self.tell(id, Event::Said { worker, word }),
                Heard::Broken(what) => self.tell(id, Event::LinkBroken { worker, what }),
                Heard::Progress { fraction, text } => {
                    let Some(link) = self.link(id, worker) else {
                        continue;
                    };
                    link.note = Some(ProgressNote {
                        job: link.job,
                        token: link.token,
                        fraction,
                        text,
                    });
                }
            }
        }
        self.pump(id);
    }

    pub(super) fn flooded(&mut self, id: RunnerId, worker: WorkerId, bytes: usize) {
        let Some(link) = self.link(id, worker).filter(|link| link.captured.is_none()) else {
            return;
        };
        let buffer = link.stdout.get_or_insert_with(|| CaptureBuffer::new(None));
        buffer.push(&vec![b'x'; bytes]);
    }

    fn drain(&mut self, id: RunnerId, worker: WorkerId, until: Duration) {
        let Some(runner) = self.runners.get(&id) else {
            return;
        };
        let until = runner.truly(until);
        let Some(link) = self.link(id, worker) else {
            return;
        };
        link.drains = true;
        let (job, attempt) = (link.job, link.attempt);
        let mut same = self
            .processes
            .values()
            .filter(|it| it.job == job && it.attempt == attempt);
        let leaked = same.any(|it| it.holds_pipe && it.strays > 0);
        let at = if leaked {
            until
        } else {
            self.now + self.moment()
        };
        self.at(at, Happening::DrainOver(id, worker, leaked));
    }

    pub(super) fn drained(&mut self, id: RunnerId, worker: WorkerId, leaked: bool) {
        let Some(link) = self.link(id, worker).filter(|link| link.drains) else {
            return;
        };
        link.drains = false;
        self.tell(id, Event::Drained { worker, leaked });
        self.pump(id);
    }

    /// Attempts that a supervisor has something to do with.
    pub(super) fn held_by(&mut self, id: RunnerId) -> Vec<(JobId, u32)> {
        let Some(desk) = self.desk(id) else {
            return Vec::new();
        };
        let links = desk.links.values();
        links.map(|link| (link.job, link.attempt)).collect()
    }

    pub(super) fn replace_keeper(&mut self, id: RunnerId) {
        let keeper = self.start_keeper(id);
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        runner.keeper = Some(keeper);
        if let Some(desk) = runner.desk.as_mut() {
            for link in desk.links.values_mut() {
                link.drains = false;
            }
        }
    }

    pub(super) fn over_limit(&mut self, id: RunnerId, worker: WorkerId) {
        let Some(link) = self.link(id, worker).filter(|link| !link.drains) else {
            return;
        };
        let (job, attempt) = (link.job, link.attempt);
        self.deeds(job, attempt).over_limit = true;
        self.tell(id, Event::LimitExceeded { worker });
        self.pump(id);
    }

    fn record(&mut self, id: RunnerId, worker: WorkerId, verdict: Verdict) {
        let Some(desk) = self.desk(id) else { return };
        let mut capture = Capture::default();
        if let Some(link) = desk.links.get_mut(&worker) {
            let stdout = &mut link.stdout;
            let captured = link.captured.get_or_insert_with(|| Capture {
                stdout: stdout
                    .take()
                    .map_or_else(Stream::default, CaptureBuffer::finish),
                stderr: Stream::default(),
            });
            capture = captured.clone();
        }
        desk.clerk.record(worker, verdict, None, capture);
    }

    pub(super) fn commit(&mut self, id: RunnerId, batch: Batch) {
        if self.desk(id).is_none() {
            return;
        }
        let slow = self.strikes(Fault::StoreSlow);
        let answer = batch.perform(&mut self.store());
        let wait = if slow {
            self.dice.millis(3_000)
        } else {
            self.moment()
        };
        self.after(wait, Happening::Answer(id, Box::new(answer)));
    }

    pub(super) fn answered(&mut self, id: RunnerId, answer: Answer) {
        let Some(desk) = self.desk(id) else { return };
        desk.under_way = false;
        let told = desk.clerk.answered(answer);
        if told.lets_go {
            self.let_go(id);
        }
        for event in told.events {
            if let Event::Recorded { worker } = &event {
                let worker = *worker;
                if let Some(desk) = self.desk(id) {
                    desk.links.remove(&worker);
                }
            }
            self.tell(id, event);
        }
        self.pump(id);
    }

    pub(super) fn woken(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get_mut(&id).filter(|it| it.is_alive()) else {
            return;
        };
        let newer = runner.newer.take();
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        if !desk.links.is_empty() {
            desk.clerk.look_for_cancellations();
        }
        if let Some(newer) = newer {
            desk.clerk.superseded_by(newer);
            self.tell(id, Event::Superseded);
        }
        self.tell(id, Event::Woken);
        self.pump(id);
    }

    pub(super) fn shut_down(&mut self, id: RunnerId, how: Shutdown) {
        if self.desk(id).is_none() {
            return;
        }
        self.ledger.shutdowns += 1;
        if let Some(runner) = self.runners.get_mut(&id) {
            runner.late = Duration::ZERO;
        }
        self.tell(id, Event::ShutdownRequested(how));
        self.pump(id);
    }

    /// It has finished: what it leaves is a closed row.
    fn leave(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let unanswered = runner
            .desk
            .as_ref()
            .is_some_and(|desk| !desk.open.is_empty());
        runner.life = Life::Finished;
        runner.desk = None;
        let (row, keeper) = (runner.row, runner.keeper.take());
        if unanswered {
            self.broken(
                "effects are answered once",
                format!("{id:?} left without answers"),
            );
        }
        if let Some(keeper) = keeper {
            self.keepers.remove(&keeper);
        }
        if let Some(row) = row {
            // It may fail: then the row is that of a dead supervisor.
            let _ = self.store().close_supervisor(row);
        }
        self.trace.line(self.now, format_args!("{id:?} leaves"));
        self.let_go(id);
    }

    pub(super) fn let_go(&mut self, id: RunnerId) {
        self.elections.retain(|_, holder| *holder != id);
    }

    /// SIGKILL: its locks are free, and its keeper will notice.
    pub(super) fn runner_dies(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get_mut(&id).filter(|it| it.is_there()) else {
            return;
        };
        runner.life = Life::Dead;
        let keeper = runner.keeper.take();
        let links = runner
            .desk
            .take()
            .map(|desk| desk.links)
            .unwrap_or_default();
        for link in links.values() {
            self.deeds(link.job, link.attempt).lost = true;
        }
        self.trace.line(self.now, format_args!("{id:?} dies"));
        self.let_go(id);
        self.rescues.retain(|_, rescuer| *rescuer != id);
        if let Some(keeper) = keeper {
            let moment = self.moment();
            self.after(moment, Happening::KeeperAlone(keeper));
        }
    }
}

pub(super) fn build_of(number: i64) -> Build {
    Build {
        modified_ns: number,
        id: format!("build-{number}"),
    }
}

/// An event or an effect in few words.
struct Brief<'a, T>(&'a T);

impl fmt::Display for Brief<'_, Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Claimed { jobs, next_due } => {
                let jobs: Vec<_> = jobs
                    .iter()
                    .map(|it| (it.job, it.counters, it.slot))
                    .collect();
                write!(f, "Claimed {jobs:?} {next_due:?}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Brief<'_, Effect> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Spawn {
                worker, assignment, ..
            } => write!(f, "Spawn {worker:?} {}", assignment.job),
            Effect::Record { worker, verdict } => write!(
                f,
                "Record {worker:?} {}.{} {:?} {:?}",
                verdict.job, verdict.attempt, verdict.outcome.cause, verdict.next
            ),
            other => write!(f, "{other:?}"),
        }
    }
}
