//! One thread that turns what happens into events and effects into deeds.

mod ask;
mod begin;
mod count;
mod hear;
mod lease;
mod look;
mod memory;
mod pools;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dispatcher_core::engine::{
    AttemptId, Effect, Engine, EngineConfig, Event, Lane, Now, Strays, Verdict, WorkerId,
};
use dispatcher_core::message::SupervisorMessage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::metrics::Metrics;
use crate::pinned::Pinned;
use crate::process::{self, Keeper, KeeperRequest};
use crate::store::{self, Serves, StoreClient};

use memory::OomWatch;

use super::announce::Announcer;
use super::begun::Begun;
use super::clerk::{Clerk, LanePost, Post};
use super::desk::Inbox;
use super::link::{Doing, Link, READ_BYTES, Temporary};
use super::open::{Home, OwnRow};
use super::ties::Ties;
use super::upkeep::Newer;
use super::work::Work;
use super::{CommandOrder, Orders, Stay, SupervisorError, wall_ms};
use lease::LeaseClock;
use pools::Pools;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// Time between two looks at whether state and directory are still there.
const PLACE_INTERVAL: Duration = Duration::from_secs(1);

/// What a driver is made of.
pub(super) struct Setup<'a> {
    pub(super) orders: &'a Orders,
    pub(super) build: &'a store::Build,
    pub(super) home: &'a Home,
    pub(super) slots: Vec<File>,
    pub(super) live: PathBuf,
    pub(super) state: Pinned,
    pub(super) keeper: Keeper,
    /// Where attempts get control groups.
    pub(super) groups: Option<process::Subtree>,
    pub(super) store: StoreClient,
    pub(super) row: OwnRow,
    pub(super) begun: Begun,
    pub(super) dispatchers: Vec<String>,
    /// Let go of as soon as the row is closed.
    pub(super) elected: &'a mut Option<File>,
    pub(super) signals: process::StopSignals,
    pub(super) newer: Newer,
    pub(super) announcer: Announcer,
    pub(super) ties: Option<Ties>,
}

pub(super) struct Driver<'a> {
    home: &'a Home,
    /// The slot locks; taken anew when they had to be proved free.
    slots: Vec<File>,
    program: String,
    live: PathBuf,
    state: Pinned,
    /// When it is looked whether state and directory are still there.
    next_place_look: Instant,
    origin: Instant,
    engine: Engine,
    keeper: Keeper,
    groups: Option<process::Subtree>,
    oom: OomWatch,
    clerk: Clerk,
    row: OwnRow,
    lease: LeaseClock,
    work: Work,
    links: BTreeMap<WorkerId, Link>,
    /// Attempts whose end is being stored.
    ended: BTreeMap<AttemptId, Ended>,
    begun: Begun,
    pools: Pools,
    commands: BTreeMap<String, CommandOrder>,
    slots_of_processes: u32,
    elected: &'a mut Option<File>,
    newer: Newer,
    signals: process::StopSignals,
    announcer: Announcer,
    /// What the rest of the service asks.
    inbox: Option<Inbox>,
    metrics: Option<Arc<Metrics>>,
    tells_jobs: bool,
    next_memory_look: Option<Instant>,
    finished: bool,
    /// Where bytes are read into.
    scratch: Box<[u8]>,
}

/// An attempt whose end is being stored. Its live output goes with it.
struct Ended {
    pid: Option<u32>,
    doing: Doing,
    capture: store::Capture,
    _payload_file: Option<Temporary>,
}

/// What the poller found.
struct Ready {
    wake: bool,
    bell: bool,
    signals: bool,
    keeper: bool,
    asked: bool,
    workers: Vec<(WorkerId, Streams)>,
}

/// Whether there is something in what a worker writes, besides what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    Quiet,
    Written,
}

impl<'a> Driver<'a> {
    pub(super) fn new(setup: Setup<'a>) -> Result<Self, SupervisorError> {
        let origin = Instant::now();
        let pools = Pools::of(&setup.orders.staff.pools, setup.orders.slots);
        pools
            .mark_slots(&setup.slots)
            .map_err(SupervisorError::Poll)?;
        let lease = lease::spec(setup.orders);
        let config = EngineConfig {
            slots: setup.orders.slots,
            pools: pools.specs(),
            lease,
            poll_interval: POLL_INTERVAL,
            linger: setup.orders.stay.linger(),
            hello_timeout: HELLO_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            seed: crate::ids::random_u64(),
        };
        let ties = setup.ties.map(|ties| (ties.inbox, ties.metrics));
        let (inbox, metrics) = ties.unzip();
        let clerk = Clerk::new(Post {
            supervisor: setup.row.id(),
            lanes: lanes(setup.orders, &pools, setup.dispatchers),
            commands: setup.orders.staff.commands.keys().cloned().collect(),
            build: setup.build.id.clone(),
        });
        Ok(Self {
            home: setup.home,
            slots: setup.slots,
            program: setup.orders.program.clone(),
            live: setup.live,
            state: setup.state,
            next_place_look: origin,
            origin,
            engine: Engine::new(config, now_since(origin)),
            keeper: setup.keeper,
            groups: setup.groups,
            oom: OomWatch::begin(),
            clerk,
            row: setup.row,
            lease: LeaseClock::new(lease),
            work: Work::new(setup.store, metrics.clone()).map_err(SupervisorError::Poll)?,
            links: BTreeMap::new(),
            ended: BTreeMap::new(),
            begun: setup.begun,
            pools,
            commands: setup.orders.staff.commands.clone(),
            slots_of_processes: setup.orders.slots,
            elected: setup.elected,
            newer: setup.newer,
            signals: setup.signals,
            announcer: setup.announcer,
            inbox,
            metrics,
            tells_jobs: matches!(setup.orders.stay, Stay::UntilTold { .. }),
            next_memory_look: None,
            finished: false,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// Runs until the engine has finished. Whatever happens, no process of a job is left.
    pub(super) fn run(mut self) -> Result<(), SupervisorError> {
        tracing::info!(keeper = self.keeper.pid(), "supervisor serves");
        self.announcer.ready(&self.home.directory);
        self.event(Event::Woken);
        let served = self.serve();
        let ended = self.keeper.finish().map_err(SupervisorError::Keeper);
        served?;
        tracing::info!(keeper = %ended?, "supervisor leaves");
        Ok(())
    }

    fn serve(&mut self) -> Result<(), SupervisorError> {
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                self.perform(effect)?;
            }
            if self.finished {
                return Ok(());
            }
            self.forget_workers();
            self.look_around()?;
            self.gather_notes();
            self.work.send(&mut self.clerk);
            let ready = self.wait()?;
            self.take_in(ready)?;
        }
    }

    /// Looks at what nobody tells. Without its state nobody will ever know what it does; without
    /// its directory everybody takes it for dead.
    fn look_around(&mut self) -> Result<(), SupervisorError> {
        let now = Instant::now();
        self.announcer.alive(now);
        if now < self.next_place_look {
            return Ok(());
        }
        self.next_place_look = now + PLACE_INTERVAL;
        self.oom.look();
        if let Some(groups) = &self.groups {
            groups.sweep();
        }
        self.look_at_pools();
        // The backstop of a wake-up that was lost: nothing else may be due for hours.
        self.look_for_cancellations();
        let gone = if self.state.is_gone() {
            self.state.path()
        } else if self.home.is_gone() {
            &self.home.directory
        } else {
            return Ok(());
        };
        let path = gone.to_owned();
        Err(SupervisorError::Gone { path })
    }

    fn now(&self) -> Now {
        now_since(self.origin)
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        if let Err(unfit) = self.engine.handle(now, event) {
            tracing::error!(%unfit, "an event was ignored: this is a bug of Dispatcher");
        }
    }

    fn wait(&self) -> Result<Ready, SupervisorError> {
        let timeout = self.timeout().map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.home.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.work.bell(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            interest((self.keeper.fd(), true, self.keeper.wants_write())),
        ];
        if let Some(inbox) = &self.inbox {
            fds.push(PollFd::from_borrowed_fd(inbox.bell(), PollFlags::IN));
        }
        let others = fds.len();
        let mut owners = Vec::new();
        for (worker, link) in &self.links {
            for descriptor in link.channel_descriptors() {
                fds.push(interest(descriptor));
                owners.push((*worker, Streams::Quiet));
            }
            for stream in link.streams() {
                fds.push(interest((stream, true, false)));
                owners.push((*worker, Streams::Written));
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(SupervisorError::Poll(error.into())),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let mut workers: Vec<(WorkerId, Streams)> = Vec::new();
        let ready = fds[others..].iter().zip(owners);
        for (_, (worker, streams)) in ready.filter(|(fd, _)| is_ready(fd)) {
            match workers.last_mut() {
                // Its streams come last.
                Some(last) if last.0 == worker => last.1 = streams,
                Some(_) | None => workers.push((worker, streams)),
            }
        }
        Ok(Ready {
            wake: is_ready(&fds[0]),
            bell: is_ready(&fds[1]),
            signals: is_ready(&fds[2]),
            keeper: is_ready(&fds[3]),
            asked: self.inbox.is_some() && is_ready(&fds[4]),
            workers,
        })
    }

    fn timeout(&self) -> Option<Duration> {
        let now = self.origin.elapsed();
        let engine = self.engine.poll_timeout();
        let drains = self
            .links
            .values()
            .filter_map(|link| link.drain_until)
            .min();
        let memory = self
            .next_memory_look
            .map(|at| at.saturating_duration_since(self.origin));
        let place = self.next_place_look.saturating_duration_since(self.origin);
        let alive = self.announcer.next();
        let alive = alive.map(|at| at.saturating_duration_since(self.origin));
        let doubt = self.next_doubt();
        [engine, drains, memory, Some(place), alive, doubt]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now))
    }

    fn perform(&mut self, effect: Effect) -> Result<(), SupervisorError> {
        match effect {
            Effect::Claim { lane, slots } => self.clerk.claim(lane, slots),
            Effect::Spawn {
                worker,
                assignment,
                deadline_wall_ms,
            } => {
                if self.lease_is_over() {
                    self.spawn_failed(worker, libc::EAGAIN);
                } else if let Err(error) = self.spawn(worker, assignment.clone(), deadline_wall_ms)
                {
                    tracing::error!(job = %assignment.job, %error, "no worker could be made");
                    self.spawn_failed(worker, error.raw_os_error().unwrap_or(libc::EIO));
                }
            }
            Effect::Boot { worker, pool } => self.boot(worker, pool),
            Effect::Assign {
                worker,
                attempt,
                assignment,
                deadline_wall_ms,
            } => self.assign((worker, attempt), &assignment, deadline_wall_ms),
            Effect::Hand { worker, request } => self.hand(worker, request),
            Effect::Answer { request, answer } => self.answer(request, answer),
            Effect::ResetOver { pool, failure } => self.pools.reset_over(pool, failure),
            Effect::Retire { worker } => self.retire(worker),
            Effect::Stop { worker } => {
                if let Some(link) = self.links.get_mut(&worker).filter(|link| link.is_ours()) {
                    link.say(&SupervisorMessage::Cancel)
                        .map_err(SupervisorError::Poll)?;
                }
                self.signal(worker, libc::SIGTERM);
            }
            Effect::Kill { worker } => self.signal(worker, libc::SIGKILL),
            Effect::Bury { worker, strays } => {
                self.ask_keeper(&KeeperRequest::Bury {
                    worker: worker.0,
                    kill: strays == Strays::Kill,
                });
            }
            Effect::Drain { worker, until } => {
                if let Some(link) = self.links.get_mut(&worker) {
                    link.drain_until = Some(until);
                }
                // Most streams have ended by now, and nothing would wake us for those.
                self.end_drains();
            }
            Effect::Record { attempt, verdict } => self.record(attempt, *verdict),
            Effect::Renew => self.renew_lease(),
            Effect::Deadline { at } => self.set_deadline(at),
            Effect::Reopen => self.clerk.reopen(self.row.says.clone()),
            Effect::CloseIfIdle => self.clerk.close_if_idle(self.now().wall_ms),
            Effect::HandOver => self.clerk.hand_over(self.now().wall_ms),
            Effect::Close => self.clerk.close(self.now().wall_ms),
            Effect::Finish => self.finished = true,
        }
        Ok(())
    }

    fn signal(&mut self, worker: WorkerId, signal: i32) {
        self.ask_keeper(&KeeperRequest::Signal {
            worker: worker.0,
            signal,
        });
        self.event(Event::Signalled { worker });
    }

    /// A keeper that cannot be asked is gone; that is noticed where its reports are read.
    fn ask_keeper(&mut self, request: &KeeperRequest) {
        if let Err(error) = self.keeper.send(request, &[]) {
            tracing::debug!(%error, "the keeper takes no requests");
        }
    }

    fn record(&mut self, attempt: AttemptId, verdict: Verdict) {
        if !self.ended.contains_key(&attempt)
            && let Some(ended) = self.take_ended(attempt)
        {
            self.ended.insert(attempt, ended);
        }
        let ended = self.ended.get(&attempt);
        let name = ended.map_or("", |ended| ended.doing.dispatcher.as_str());
        let outcome = verdict.outcome.cause.name();
        if self.tells_jobs {
            tracing::info!(job = %verdict.job, name, attempt = verdict.attempt, outcome, "job ends");
        } else {
            tracing::debug!(job = %verdict.job, name, attempt = verdict.attempt, outcome, "job ends");
        }
        self.count_end(attempt, &verdict);
        let pid = ended.and_then(|ended| ended.pid);
        let capture = ended.map(|ended| ended.capture.clone());
        self.clerk
            .record(attempt, verdict, pid, capture.unwrap_or_default());
    }

    /// Takes an attempt that has ended out of its worker. What it wrote before its result is in
    /// the pipes already.
    fn take_ended(&mut self, attempt: AttemptId) -> Option<Ended> {
        let its = |link: &&mut Link| {
            let doing = link.doing.as_ref();
            doing.is_some_and(|doing| doing.attempt == attempt)
        };
        let link = self.links.values_mut().find(its)?;
        // Nobody is told of an end before its group is gone.
        link.group = None;
        link.capture(&mut self.scratch);
        let mut doing = link.doing.take()?;
        let ended = Ended {
            pid: link.pid,
            capture: doing.finish(),
            doing,
            _payload_file: link.payload_file.take(),
        };
        self.links
            .retain(|worker, link| link.pool.is_some() || worker.0 != attempt.0);
        Some(ended)
    }

    fn gather_notes(&mut self) {
        for note in self.links.values_mut().filter_map(|link| link.note.take()) {
            self.clerk.note(note);
        }
    }

    fn look_for_cancellations(&mut self) {
        if self.links.values().any(|link| link.doing.is_some()) {
            self.clerk.look_for_cancellations();
        }
    }
}

fn interest((fd, read, write): (BorrowedFd<'_>, bool, bool)) -> PollFd<'_> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, read);
    flags.set(PollFlags::OUT, write);
    PollFd::from_borrowed_fd(fd, flags)
}

/// Who claims what: each pool its dispatchers, and the processes everything else.
fn lanes(orders: &Orders, pools: &Pools, dispatchers: Vec<String>) -> BTreeMap<Lane, LanePost> {
    let mut lanes = pools.lanes(&orders.queues);
    let pooled = |name: &String| {
        let mut pools = orders.staff.pools.iter();
        pools.any(|pool| pool.dispatchers.contains(name))
    };
    let post = LanePost {
        serves: Serves {
            dispatchers: dispatchers.into_iter().filter(|it| !pooled(it)).collect(),
            queues: orders.queues.clone(),
        },
        worker_slots: orders.slots,
        ahead: 0,
        pool_slot: None,
    };
    lanes.insert(Lane::Process, post);
    lanes
}

fn now_since(origin: Instant) -> Now {
    Now {
        monotonic: origin.elapsed(),
        wall_ms: wall_ms(),
    }
}
