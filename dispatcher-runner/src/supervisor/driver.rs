//! One thread that turns what happens into events and effects into deeds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dispatcher_core::engine::{
    Assignment, Effect, Engine, EngineConfig, Event, MemoryVerdict, Next, Now, Shutdown, Strays,
    Verdict, WorkerId,
};
use dispatcher_core::message::{Start, SupervisorMessage};
use dispatcher_core::{Isolation, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::process::{self, Keeper, KeeperReport, KeeperRequest, KeeperSpec, Limits, Tag};
use crate::store::{
    self, Claim, ClaimRequest, ProgressNote, Record, Serves, StoreClient, SupervisorId,
};

use super::link::{Heard, Link};
use super::upkeep::{SUPERSEDED, prove_dead};
use super::work::{Answer, Close, Unrecorded, Work};
use super::{Home, Orders, SupervisorError};

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// Time between two looks at the memory of workers that have a limit.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// What a driver is made of.
pub(super) struct Setup<'a> {
    pub(super) orders: &'a Orders,
    pub(super) build: &'a store::Build,
    pub(super) home: &'a Home,
    pub(super) keeper: Keeper,
    pub(super) store: StoreClient,
    pub(super) supervisor: SupervisorId,
    pub(super) dispatchers: Vec<String>,
}

pub(super) struct Driver<'a> {
    home: &'a Home,
    /// The slot locks; taken anew when they had to be proved free.
    slots: Vec<File>,
    build: String,
    program: String,
    live: PathBuf,
    origin: Instant,
    engine: Engine,
    keeper: Keeper,
    work: Work,
    supervisor: SupervisorId,
    serves: Serves,
    worker_slots: u32,
    links: BTreeMap<WorkerId, Link>,
    signals: process::StopSignals,
    next_memory_look: Option<Instant>,
    finished: bool,
}

impl<'a> Driver<'a> {
    pub(super) fn new(setup: Setup<'a>) -> Result<Self, SupervisorError> {
        let live = setup.orders.directory().join("live");
        std::fs::create_dir_all(&live).map_err(|source| SupervisorError::Directory {
            path: live.clone(),
            source,
        })?;
        let origin = Instant::now();
        let config = EngineConfig {
            slots: setup.orders.slots,
            poll_interval: POLL_INTERVAL,
            linger: Some(Duration::from_millis(setup.orders.linger_ms)),
            hello_timeout: HELLO_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            seed: crate::ids::random_u64(),
        };
        let serves = Serves {
            dispatchers: setup.dispatchers,
            queues: setup.orders.queues.clone(),
        };
        let slots = lock_slots(setup.home, setup.orders.slots)?;
        Ok(Self {
            home: setup.home,
            slots,
            build: setup.build.id.clone(),
            program: setup.orders.program.clone(),
            live,
            origin,
            engine: Engine::new(config, now_since(origin)),
            keeper: setup.keeper,
            work: Work::new(setup.store, setup.supervisor, serves.clone())
                .map_err(SupervisorError::Poll)?,
            supervisor: setup.supervisor,
            serves,
            worker_slots: setup.orders.slots,
            links: BTreeMap::new(),
            signals: process::StopSignals::catch().map_err(SupervisorError::Poll)?,
            next_memory_look: None,
            finished: false,
        })
    }

    /// Runs until the engine has finished.
    pub(super) fn run(&mut self) -> Result<(), SupervisorError> {
        self.event(Event::Woken);
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                self.perform(effect)?;
            }
            if self.finished {
                return Ok(());
            }
            self.gather_notes();
            self.work.send();
            self.wait()?;
            self.take_in()?;
        }
    }

    fn now(&self) -> Now {
        now_since(self.origin)
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        self.engine.handle(now, event);
    }

    fn wait(&self) -> Result<(), SupervisorError> {
        let timeout = self.timeout();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.home.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.work.bell(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            interest((self.keeper.fd(), self.keeper.wants_write())),
        ];
        fds.extend(
            self.links
                .values()
                .flat_map(Link::descriptors)
                .map(interest),
        );
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(SupervisorError::Poll(error.into())),
        }
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
        [engine, drains, memory]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now))
    }

    /// Takes in everything that has happened. Cheap looks at idle descriptors beat bookkeeping.
    fn take_in(&mut self) -> Result<(), SupervisorError> {
        if let Some(shutdown) = self.signals.requested() {
            self.event(Event::ShutdownRequested(shutdown));
        }
        if self.home.wake.clear() {
            self.woken();
        }
        while let Some(answer) = self.work.receive() {
            self.answered(answer);
        }
        self.hear_workers();
        self.hear_keeper()?;
        self.end_drains();
        self.look_at_memory();
        let now = self.now();
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic)
        {
            self.work.next.cancellations |= !self.links.is_empty();
            self.engine.handle_timeout(now);
        }
        Ok(())
    }

    fn woken(&mut self) {
        self.work.next.cancellations |= !self.links.is_empty();
        if self.home.directory.join(SUPERSEDED).exists() {
            tracing::info!("a newer build of the program has taken over");
            self.event(Event::ShutdownRequested(Shutdown::Finish));
        }
        self.event(Event::Woken);
    }

    fn perform(&mut self, effect: Effect) -> Result<(), SupervisorError> {
        match effect {
            Effect::Claim { slots } => {
                self.work.next.claim = Some(ClaimRequest {
                    supervisor: self.supervisor,
                    serves: self.serves.clone(),
                    slots,
                    worker_slots: self.worker_slots,
                });
            }
            Effect::Spawn {
                worker,
                assignment,
                deadline_wall_ms,
            } => {
                if let Err(error) = self.spawn(worker, &assignment, deadline_wall_ms) {
                    tracing::error!(job = %assignment.job, %error, "no worker could be made");
                    self.spawn_failed(worker, error.raw_os_error().unwrap_or(libc::EIO));
                }
            }
            Effect::Stop { worker } => {
                if let Some(link) = self.links.get_mut(&worker) {
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
            Effect::Record { worker, verdict } => self.record(worker, *verdict),
            Effect::CloseIfIdle => self.work.next.close = Some(Close::IfIdle),
            Effect::Close => self.work.next.close = Some(Close::Anyway),
            Effect::Finish => self.finished = true,
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        worker: WorkerId,
        assignment: &Assignment,
        deadline_wall_ms: Option<i64>,
    ) -> io::Result<()> {
        let start = Start {
            job: assignment.job,
            attempt: assignment.counters.attempt,
            dispatcher: assignment.dispatcher.clone(),
            payload: assignment.payload.to_string(),
            deadline: deadline_wall_ms.map(wall_time),
            options: (*assignment.options).clone(),
        };
        let tag = Tag {
            job: start.job,
            attempt: start.attempt,
        };
        let token = assignment.counters.token;
        let (link, ends) = Link::open(start, token, assignment.slot, &self.live)?;
        let slot = &self.slots[assignment.slot as usize];
        let limits = limits(&assignment.options);
        let request = match assignment.options.isolation {
            Isolation::Exec => KeeperRequest::Exec {
                worker: worker.0,
                tag,
                dispatcher: assignment.dispatcher.clone(),
                limits,
            },
            Isolation::Process | Isolation::Pool => KeeperRequest::Fork {
                worker: worker.0,
                tag,
                title: process::job_title(&self.program, &assignment.dispatcher, assignment.job),
                limits,
            },
        };
        let fds = [
            ends.control.as_fd(),
            ends.stdout.as_fd(),
            ends.stderr.as_fd(),
            slot.as_fd(),
        ];
        tracing::info!(job = %assignment.job, name = assignment.dispatcher, attempt = assignment.counters.attempt, "job starts");
        self.keeper.send(&request, &fds)?;
        self.links.insert(worker, link);
        Ok(())
    }

    fn spawn_failed(&mut self, worker: WorkerId, errno: i32) {
        let transient = matches!(
            errno,
            libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE
        );
        self.links.remove(&worker);
        self.event(Event::SpawnFailed {
            worker,
            errno,
            transient,
        });
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

    fn record(&mut self, worker: WorkerId, verdict: Verdict) {
        let link = self.links.get_mut(&worker);
        let (pid, capture) = match link {
            Some(link) => (link.pid, link.finish_capture()),
            None => (None, store::Capture::default()),
        };
        tracing::info!(job = %verdict.job, attempt = verdict.attempt, outcome = verdict.outcome.cause.name(), "job ends");
        let record = Record {
            job: verdict.job,
            token: verdict.token,
            attempt: verdict.attempt,
            started_at: verdict.started_wall_ms,
            ended_at: verdict.ended_wall_ms,
            run_time: verdict.run_time,
            pid,
            build: self.build.clone(),
            outcome: verdict.outcome,
            output: verdict.output,
            capture,
            next: next(verdict.next),
        };
        self.work.next.records.push((worker, record));
    }

    fn answered(&mut self, answer: Answer) {
        match answer.records {
            Ok(recorded) => {
                for worker in recorded {
                    self.links.remove(&worker);
                    self.event(Event::Recorded { worker });
                }
            }
            Err(Unrecorded { workers, error }) => {
                tracing::error!(error = %error, advice = error.advice(), "ends were not recorded; tried again");
                for worker in workers {
                    self.event(Event::RecordFailed { worker });
                }
            }
        }
        for cancellation in answer.cancellations {
            let store::Cancellation { job, token, by } = cancellation;
            self.event(Event::CancelRequested { job, token, by });
        }
        match answer.claim {
            None => {}
            Some(Ok(claim)) => self.claimed(claim),
            Some(Err(error)) => {
                tracing::error!(error = %error, advice = error.advice(), "no work could be claimed");
                self.event(Event::ClaimFailed);
            }
        }
        match answer.closed {
            None => {}
            Some(Ok(closed)) => self.event(Event::CloseAnswered { closed }),
            Some(Err(error)) => {
                tracing::error!(error = %error, advice = error.advice(), "the row could not be closed");
                self.event(Event::CloseAnswered { closed: false });
            }
        }
    }

    fn claimed(&mut self, claim: Claim) {
        let jobs = claim
            .jobs
            .into_iter()
            .map(|job| Assignment {
                job: job.job,
                slot: job.slot,
                dispatcher: job.dispatcher,
                payload: Arc::from(job.payload),
                options: Arc::new(job.options),
                counters: job.counters,
                snoozes: job.snoozes,
            })
            .collect();
        self.event(Event::Claimed {
            jobs,
            next_due: claim.next_due,
        });
    }

    fn hear_workers(&mut self) {
        let workers: Vec<WorkerId> = self.links.keys().copied().collect();
        for worker in workers {
            self.hear(worker);
        }
    }

    fn hear(&mut self, worker: WorkerId) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        link.flush();
        link.capture();
        for heard in link.hear() {
            match heard {
                Heard::Word(word) => self.event(Event::Said { worker, word }),
                Heard::Broken(what) => self.event(Event::LinkBroken { worker, what }),
                Heard::Progress { fraction, text } => {
                    if let Some(link) = self.links.get_mut(&worker) {
                        let (job, token) = (link.job, link.token);
                        link.note = Some(ProgressNote {
                            job,
                            token,
                            fraction,
                            text,
                        });
                    }
                }
            }
        }
    }

    fn hear_keeper(&mut self) -> Result<(), SupervisorError> {
        if let Err(error) = self.keeper.flush() {
            tracing::debug!(%error, "the keeper takes no requests");
        }
        loop {
            match self.keeper.receive() {
                Ok(Some(report)) => self.reported(report),
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::error!(%error, "the keeper is gone");
                    return self.replace_keeper();
                }
            }
        }
    }

    fn reported(&mut self, report: KeeperReport) {
        match report {
            KeeperReport::Spawned { worker, pid } => {
                let worker = WorkerId(worker);
                if let Some(link) = self.links.get_mut(&worker) {
                    link.pid = Some(pid);
                    if link.memory_limit.is_some() {
                        self.next_memory_look
                            .get_or_insert_with(|| Instant::now() + MEMORY_INTERVAL);
                    }
                }
                self.event(Event::Spawned { worker });
            }
            KeeperReport::SpawnFailed { worker, errno } => {
                self.spawn_failed(WorkerId(worker), errno);
            }
            KeeperReport::Exited {
                worker,
                status,
                usage,
                strays,
            } => {
                let worker = WorkerId(worker);
                // What it said before it died is in the channel already, and counts.
                self.hear(worker);
                let memory = MemoryVerdict::Silent;
                self.event(Event::Exited {
                    worker,
                    status,
                    usage,
                    strays,
                    memory,
                });
            }
            KeeperReport::Buried { worker, left } => {
                let worker = WorkerId(worker);
                if left > 0 {
                    self.renew_slot(worker);
                }
                self.event(Event::Buried { worker, left });
            }
        }
    }

    /// Processes that a job left behind may hold the slot's lock; they prove nothing about the
    /// worker, so the next one gets a lock of its own.
    fn renew_slot(&mut self, worker: WorkerId) {
        let Some(link) = self.links.get(&worker) else {
            return;
        };
        match process::renew_slot(&self.home.directory, link.slot) {
            Ok(lock) => self.slots[link.slot as usize] = lock,
            Err(error) => tracing::error!(%error, slot = link.slot, "a slot's lock is not renewed"),
        }
    }

    /// Kills and proves dead what the keeper left, then starts another.
    fn replace_keeper(&mut self) -> Result<(), SupervisorError> {
        self.hear_workers();
        let held: Vec<store::Held> = self
            .links
            .values()
            .map(|link| store::Held {
                job: link.job,
                attempt: link.attempt,
                slot: link.slot,
            })
            .collect();
        self.slots.clear();
        if !prove_dead(&self.home.directory, self.worker_slots, &held) {
            return Err(SupervisorError::Keeper(io::Error::other(
                "its workers do not die",
            )));
        }
        self.slots = lock_slots(self.home, self.worker_slots)?;
        self.keeper =
            Keeper::start(&KeeperSpec::of_this_program()).map_err(SupervisorError::Keeper)?;
        for link in self.links.values_mut() {
            link.drain_until = None;
            link.capture();
        }
        self.event(Event::KeeperLost);
        Ok(())
    }

    fn end_drains(&mut self) {
        let now = self.origin.elapsed();
        let ended: Vec<(WorkerId, bool)> = self
            .links
            .iter_mut()
            .filter_map(|(worker, link)| {
                let until = link.drain_until?;
                link.capture();
                (link.is_drained() || until <= now).then(|| (*worker, !link.is_drained()))
            })
            .collect();
        for (worker, leaked) in ended {
            if let Some(link) = self.links.get_mut(&worker) {
                link.drain_until = None;
            }
            self.event(Event::Drained { worker, leaked });
        }
    }

    fn look_at_memory(&mut self) {
        if self.next_memory_look.is_none_or(|at| Instant::now() < at) {
            return;
        }
        let limited: Vec<(WorkerId, u64, u32)> = self
            .links
            .iter()
            .filter(|(_, link)| link.drain_until.is_none())
            .filter_map(|(worker, link)| Some((*worker, link.memory_limit?, link.pid?)))
            .collect();
        for (worker, limit, pid) in &limited {
            if process::tree_rss_bytes(*pid) > *limit {
                self.event(Event::LimitExceeded { worker: *worker });
            }
        }
        self.next_memory_look = (!limited.is_empty()).then(|| Instant::now() + MEMORY_INTERVAL);
    }

    fn gather_notes(&mut self) {
        let notes = self.links.values_mut().filter_map(|link| link.note.take());
        self.work.next.notes.extend(notes);
    }
}

fn lock_slots(home: &Home, slots: u32) -> Result<Vec<File>, SupervisorError> {
    (0..slots)
        .map(|slot| process::lock_slot(&home.directory, slot))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|source| SupervisorError::Directory {
            path: home.directory.clone(),
            source,
        })
}

fn interest((fd, write): (BorrowedFd<'_>, bool)) -> PollFd<'_> {
    let flags = if write {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    };
    PollFd::from_borrowed_fd(fd, flags)
}

fn limits(options: &Options) -> Limits {
    Limits {
        cpu: options.cpu_limit,
        open_files: options.open_files,
        nice: options.nice,
        ..Limits::default()
    }
}

fn next(next: Next) -> store::Next {
    match next {
        Next::Succeed => store::Next::Succeed,
        Next::Fail => store::Next::Fail,
        Next::Cancel => store::Next::Cancel,
        Next::Retry { after } => store::Next::Retry { after },
        Next::Snooze { after } => store::Next::Snooze { after },
        Next::Release => store::Next::Release,
        Next::Lost { on_lost } => store::Next::Lost { on_lost },
    }
}

fn now_since(origin: Instant) -> Now {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        monotonic: origin.elapsed(),
        wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
    }
}

fn wall_time(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}
