//! What a pool knows: its workers, what waits for them, and how well they do.
//!
//! A worker that is on its way out counts for nothing but the bound on all of them: its
//! replacement may be there already.

mod ahead;
mod staff;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub(super) use staff::How;

use ahead::{Pace, WAIT_MAX};

use super::attempt::{Attempt, next_random};
use super::lane::ClaimState;
use super::{AttemptId, Now, PoolId, PoolSpec, RequestId, WorkerId};

/// Waiting time after a second failure in a row; doubles up to the longest.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Workers of a pool may be so many times its maximum while some are on their way out. Those that
/// a reset has replaced, and that still have a task, are counted apart: they may take long.
const CROWD: usize = 2;

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) id: PoolId,
    pub(super) spec: PoolSpec,
    pub(super) claim: ClaimState,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) waiting: VecDeque<Waiting>,
    /// The last task that a worker got had passed others.
    passed: bool,
    pub(super) health: Health,
    pace: Pace,
    /// New workers are being made for all; the answer is owed.
    pub(super) resetting: bool,
    /// Takes nothing new.
    pub(super) closed: bool,
    /// When what still runs is stopped.
    pub(super) stop_at: Option<Duration>,
    /// Workers that ended, by reason.
    pub(super) ends: BTreeMap<EndReason, u64>,
}

/// Something that a worker of a pool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Attempt(AttemptId),
    Request(RequestId),
}

/// A task without a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) task: Task,
    /// When it is given up.
    pub(super) until: Option<Duration>,
    /// Workers that did not want it.
    pub(super) unwanted: u32,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) life: WorkerLife,
    pub(super) born: Duration,
    /// When it last became ready.
    pub(super) ready_at: Duration,
    /// When it was given its last task.
    pub(super) busy_at: Duration,
    pub(super) served: u32,
    /// Tasks after which it is replaced; 0 is never.
    tasks_max: u32,
    /// Why it ends as soon as it has nothing to do.
    pub(super) leaving: Option<EndReason>,
    /// Made by a reset, and not serving before all of them are ready.
    pub(super) replacement: bool,
    /// It said hello before its start was reported.
    greeted: bool,
    /// It uses more memory than it may keep.
    outgrown: bool,
    pub(super) last_words: Option<String>,
}

/// Where a worker of a pool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerLife {
    /// Its process is being made.
    Booting,
    /// Its process exists; its hello is awaited.
    Greeting {
        until: Duration,
    },
    /// Ready, and waits until the other replacements are.
    Standby,
    Idle,
    Busy {
        held: Waiting,
        /// When a direct request has taken too long.
        until: Option<Duration>,
    },
    /// Has answered; puts shared state back.
    Settling {
        until: Duration,
    },
    /// It was told to end.
    Ending {
        kill_at: Duration,
    },
    /// Its process has ended; its burial or its attempt's end is awaited.
    Dead {
        attempt: Option<AttemptId>,
    },
}

/// What a worker of a pool is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Serve,
    /// To take over when all replacements of a reset are ready.
    Replace,
}

/// Why a worker of a pool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EndReason {
    BootFailed,
    Crashed,
    /// Its task was cancelled, or took too long or too much.
    Stopped,
    Protocol,
    Asked,
    Finalizer,
    MaxJobs,
    Ttl,
    IdleTtl,
    MaxMemory,
    Reset,
    KeeperLost,
    Shutdown,
}

/// How well workers start and work.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// In a row.
    failures: u32,
    /// None is made before; zero when that has passed.
    pub(super) not_before: Duration,
    /// What the last one showed, once it is more than a mishap.
    pub(super) degraded: Option<String>,
    /// The last one was the start of a worker.
    at_boot: bool,
}

impl Pool {
    pub(super) fn new(id: PoolId, mut spec: PoolSpec, now: Now) -> Self {
        assert!(spec.max_workers > 0, "a pool needs at least one worker");
        // Nobody would ever be ready.
        spec.ttl = spec.ttl.filter(|ttl| !ttl.is_zero());
        spec.idle_ttl = spec.idle_ttl.filter(|ttl| !ttl.is_zero());
        Self {
            id,
            spec,
            claim: ClaimState::new(now),
            workers: BTreeMap::new(),
            waiting: VecDeque::new(),
            passed: false,
            health: Health::default(),
            pace: Pace::default(),
            resetting: false,
            closed: false,
            stop_at: None,
            ends: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Whether something waits or runs.
    pub(super) fn has_tasks(&self) -> bool {
        !self.waiting.is_empty() || self.count(Worker::is_busy) > 0
    }

    /// Workers that serve or soon will.
    pub(super) fn live(&self) -> usize {
        self.count(|worker| worker.is_live() && !worker.replacement)
    }

    /// Workers that have a task, or have just answered one, and stay.
    fn busy(&self) -> usize {
        self.count(|worker| worker.leaving.is_none() && worker.is_busy())
    }

    /// Workers that a reset has replaced and that still have a task.
    fn lingering(&self) -> usize {
        self.count(Worker::lingers)
    }

    /// Workers that are wanted at most.
    fn most(&self) -> usize {
        let ready = |worker: &Worker| {
            worker.is_live() && (worker.life == WorkerLife::Idle || worker.is_busy())
        };
        if self.health.degraded.is_some() && self.count(ready) == 0 {
            // One shows whether it is over.
            1
        } else {
            self.spec.max_workers as usize
        }
    }

    fn count(&self, which: impl Fn(&Worker) -> bool) -> usize {
        self.workers.values().filter(|worker| which(worker)).count()
    }

    /// Whether tasks would find nobody, now and soon.
    pub(super) fn is_down(&self, now: Now) -> bool {
        self.live() == 0 && now.monotonic < self.health.not_before
    }

    /// Whether jobs may be claimed, as far as that can be told without a clock.
    pub(super) fn may_have_room(&self) -> bool {
        let down = self.live() == 0 && self.health.not_before > Duration::ZERO;
        let open = self.spec.claims && !self.closed && !self.claim.in_flight;
        open && !down && self.missing() > 0
    }

    /// Jobs that may be claimed.
    pub(super) fn room(&self, now: Now) -> usize {
        if self.closed || !self.spec.claims || self.is_down(now) {
            return 0;
        }
        self.missing()
    }

    /// Jobs that workers could take, and such that may wait for them, once half of these are gone.
    fn missing(&self) -> usize {
        let (most, ahead) = (self.most(), self.ahead());
        let taken = self.busy() + self.waiting.len();
        if taken > most + ahead / 2 {
            return 0;
        }
        (most + ahead).saturating_sub(taken)
    }

    /// Jobs that may be claimed ahead of free workers.
    fn ahead(&self) -> usize {
        match self.health.degraded {
            Some(_) => 0,
            None => self.pace.ahead(self.live(), self.spec.prefetch),
        }
    }

    /// A job was claimed.
    pub(super) fn push_attempt(&mut self, now: Now, attempt: AttemptId, payload: usize) {
        self.pace.claimed(payload);
        let is_ahead = self.busy() + self.waiting.len() >= self.most();
        self.waiting.push_back(Waiting {
            task: Task::Attempt(attempt),
            until: is_ahead.then(|| now.monotonic.saturating_add(WAIT_MAX)),
            unwanted: 0,
        });
    }

    pub(super) fn push_request(&mut self, now: Now, request: RequestId) {
        let wait = self.spec.queue_timeout;
        self.waiting.push_back(Waiting {
            task: Task::Request(request),
            until: wait.map(|time| now.monotonic.saturating_add(time)),
            unwanted: 0,
        });
    }

    /// What the next worker gets: the first, but what was claimed ahead lets every other time
    /// somebody pass who waits for a reply.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let is_request = |waiting: &Waiting| matches!(waiting.task, Task::Request(_));
        let request = self.waiting.iter().position(is_request);
        let may_pass = !self.passed && self.waiting.front().is_some_and(Waiting::is_ahead);
        match request.filter(|_| may_pass) {
            Some(place) => {
                self.passed = true;
                self.waiting.remove(place)
            }
            None => {
                self.passed = false;
                self.waiting.pop_front()
            }
        }
    }

    /// Workers to be made now.
    pub(super) fn boots(&self, now: Now) -> usize {
        if now.monotonic < self.health.not_before {
            return 0;
        }
        let needed = self.busy() + self.waiting.len();
        let least = match self.closed {
            true => 0,
            false => self.spec.min_workers as usize,
        };
        let wanted = needed.max(least).min(self.most());
        let here = self.count(|worker| !worker.lingers() && !worker.replacement);
        let crowd = self.spec.max_workers as usize * CROWD;
        let missing = wanted.saturating_sub(self.live());
        missing.min(crowd.saturating_sub(here))
    }

    /// Workers that a reset makes; `None` while too many of those before have not ended.
    pub(super) fn replacements(&self) -> Option<usize> {
        let max = self.spec.max_workers as usize;
        let least = self.spec.min_workers.max(1) as usize;
        let new = self.live().max(least).min(max);
        let others = self.workers.len() - self.lingering();
        (self.lingering() <= max && others + new <= max * (CROWD + 1)).then_some(new)
    }

    /// The idle worker that was used last: the others may become superfluous.
    pub(super) fn idle(&self) -> Option<WorkerId> {
        let idle = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.life == WorkerLife::Idle && worker.leaving.is_none());
        idle.max_by_key(|(id, worker)| (worker.ready_at, **id))
            .map(|(id, _)| *id)
    }

    /// Idle workers that are to be replaced, or are too many.
    pub(super) fn outdated(&self, now: Now) -> Vec<(WorkerId, EndReason)> {
        let idle = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.life == WorkerLife::Idle);
        idle.filter_map(|(id, worker)| Some((*id, self.why_replaced(worker, now)?)))
            .collect()
    }

    fn why_replaced(&self, worker: &Worker, now: Now) -> Option<EndReason> {
        let over = |limit: Option<Duration>, since: Duration| {
            limit.is_some_and(|limit| since.saturating_add(limit) <= now.monotonic)
        };
        // Whoever waits would wait for ever if nobody got old enough to serve.
        let served = worker.served > 0;
        let superfluous = self.waiting.is_empty();
        if worker.leaving.is_some() {
            worker.leaving
        } else if worker.tasks_max > 0 && worker.served >= worker.tasks_max {
            Some(EndReason::MaxJobs)
        } else if worker.outgrown && served {
            Some(EndReason::MaxMemory)
        } else if over(self.spec.ttl, worker.born) && (served || superfluous) {
            Some(EndReason::Ttl)
        } else if over(self.spec.idle_ttl, worker.ready_at) && superfluous {
            Some(EndReason::IdleTtl)
        } else {
            None
        }
    }

    /// A worker that is about to be made.
    pub(super) fn add(&mut self, id: WorkerId, now: Now, purpose: Purpose, random: &mut u64) {
        let most = self.spec.max_jobs;
        // Not all of them at once.
        let less = next_random(random) % (u64::from(most / 10) + 1);
        let less = u32::try_from(less).unwrap_or(0);
        let worker = Worker {
            life: WorkerLife::Booting,
            born: now.monotonic,
            ready_at: now.monotonic,
            busy_at: now.monotonic,
            served: 0,
            tasks_max: most - less,
            leaving: None,
            replacement: purpose == Purpose::Replace,
            greeted: false,
            outgrown: false,
            last_words: None,
        };
        self.workers.insert(id, worker);
    }

    /// A worker is gone for good.
    pub(super) fn remove(&mut self, id: WorkerId, reason: EndReason) {
        if self.workers.remove(&id).is_some() {
            *self.ends.entry(reason).or_default() += 1;
        }
    }

    /// An attempt has made a step.
    pub(super) fn look_at(&mut self, attempt: &Attempt) {
        if attempt.ends_its_worker()
            && let Some(id) = attempt.worker
            && let Some(worker) = self.workers.get_mut(&id)
        {
            worker.leaving.get_or_insert(EndReason::Stopped);
        }
    }

    /// An attempt has let go of its worker, or of its place among those that wait.
    pub(super) fn let_go(&mut self, now: Now, attempt: AttemptId, worker: Option<WorkerId>) {
        self.claim.wanted = true;
        let Some(id) = worker else {
            self.waiting
                .retain(|waiting| waiting.task != Task::Attempt(attempt));
            return;
        };
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.life {
            WorkerLife::Busy { held, .. } if held.task == Task::Attempt(attempt) => {
                self.answered(now, id);
            }
            WorkerLife::Dead {
                attempt: Some(dead),
            } if dead == attempt => {
                let reason = worker.leaving.unwrap_or(EndReason::Crashed);
                self.remove(id, reason);
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

    /// A worker has done its task.
    pub(super) fn answered(&mut self, now: Now, id: WorkerId) {
        let until = now.monotonic.saturating_add(self.spec.stop_timeout);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.served = worker.served.saturating_add(1);
            worker.life = WorkerLife::Settling { until };
            self.health = Health::default();
        }
    }

    /// Monotonic time at which something is due here.
    pub(super) fn timer(&self) -> Option<Duration> {
        let workers = self.workers.values();
        let workers = workers.filter_map(|worker| self.worker_timer(worker));
        let waiting = self.waiting.iter().filter_map(|waiting| waiting.until);
        let boot = Some(self.health.not_before).filter(|at| *at > Duration::ZERO);
        workers.chain(waiting).chain(boot).chain(self.stop_at).min()
    }

    fn worker_timer(&self, worker: &Worker) -> Option<Duration> {
        match worker.life {
            WorkerLife::Greeting { until } | WorkerLife::Settling { until } => Some(until),
            WorkerLife::Busy { until, .. } => until,
            WorkerLife::Ending { kill_at } => Some(kill_at),
            WorkerLife::Idle => {
                let ttl = self.spec.ttl.map(|ttl| worker.born.saturating_add(ttl));
                let idle = self.spec.idle_ttl;
                let idle = idle.map(|ttl| worker.ready_at.saturating_add(ttl));
                [ttl, idle].into_iter().flatten().min()
            }
            WorkerLife::Booting | WorkerLife::Standby | WorkerLife::Dead { .. } => None,
        }
    }
}

impl Waiting {
    /// Whether it was claimed ahead of free workers.
    fn is_ahead(&self) -> bool {
        matches!(self.task, Task::Attempt(_)) && self.until.is_some()
    }
}

impl WorkerLife {
    /// What it does.
    pub(super) fn task(self) -> Option<Task> {
        match self {
            Self::Busy { held, .. } => Some(held.task),
            Self::Booting
            | Self::Greeting { .. }
            | Self::Standby
            | Self::Idle
            | Self::Settling { .. }
            | Self::Ending { .. }
            | Self::Dead { .. } => None,
        }
    }
}

impl Worker {
    /// Whether it serves or soon will.
    fn is_live(&self) -> bool {
        let alive = match self.life {
            WorkerLife::Booting
            | WorkerLife::Greeting { .. }
            | WorkerLife::Standby
            | WorkerLife::Idle
            | WorkerLife::Busy { .. }
            | WorkerLife::Settling { .. } => true,
            WorkerLife::Ending { .. } | WorkerLife::Dead { .. } => false,
        };
        alive && self.leaving.is_none()
    }

    /// Whether it has a task, or has just answered one.
    fn is_busy(&self) -> bool {
        matches!(
            self.life,
            WorkerLife::Busy { .. } | WorkerLife::Settling { .. }
        )
    }

    fn lingers(&self) -> bool {
        self.leaving == Some(EndReason::Reset) && self.is_busy()
    }
}

impl Health {
    /// A worker died at its work: the first time that costs nothing.
    pub(super) fn died(&mut self, now: Now, why: String) {
        if now.monotonic < self.not_before {
            return;
        }
        self.at_boot = false;
        self.failures = self.failures.saturating_add(1);
        if let Some(again) = self.failures.checked_sub(2) {
            self.back_off(now, again, why);
        }
    }

    /// A worker could not start. What happens while none is to be made says nothing new.
    pub(super) fn boot_failed(&mut self, now: Now, why: String) {
        if now.monotonic < self.not_before {
            return;
        }
        self.at_boot = true;
        self.failures = self.failures.saturating_add(1);
        let again = self.failures - 1;
        self.back_off(now, again, why);
    }

    pub(super) fn booted(&mut self) {
        if self.at_boot {
            *self = Self::default();
        }
    }

    fn back_off(&mut self, now: Now, doubled: u32, why: String) {
        let wait = BACK_OFF_MIN.saturating_mul(1 << doubled.min(10));
        self.not_before = now.monotonic + wait.min(BACK_OFF_MAX);
        self.degraded = Some(why);
    }
}

impl EndReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BootFailed => "boot_failed",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
            Self::Protocol => "protocol",
            Self::Asked => "asked",
            Self::Finalizer => "finalizer",
            Self::MaxJobs => "max_jobs",
            Self::Ttl => "ttl",
            Self::IdleTtl => "idle_ttl",
            Self::MaxMemory => "max_memory",
            Self::Reset => "reset",
            Self::KeeperLost => "keeper_lost",
            Self::Shutdown => "shutdown",
        }
    }
}
