//! The driver's part in pools: makes workers, gives them tasks, and brings answers back.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use dispatcher_core::engine::{
    Answer, Assignment, AttemptId, Event, Lane, PoolId, PoolSpec, RequestId, WorkerId,
};
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{PoolOrders, SupervisorMessage};
use dispatcher_core::{JobId, Options};
use serde::Serialize;

use crate::pool::{ExecError, Part, PoolRequest, Wish};
use crate::process::{self, Identity, KeeperRequest, Limits, Tag};
use crate::store::Serves;

use super::super::PoolOrder;
use super::super::clerk::LanePost;
use super::super::hearing::Hearing;
use super::super::link::Link;
use super::Driver;
use super::begin::{ask_for_process, start_message};

type Told = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the driver knows of its pools.
pub(super) struct Pools {
    list: Vec<Pool>,
    requests: BTreeMap<RequestId, PoolRequest>,
    next_request: u64,
}

pub(super) struct Pool {
    pub(super) order: PoolOrder,
    slot: u32,
    /// By which all of its processes are found.
    tag: JobId,
    booted: u32,
    /// Who waits for the end of a reset.
    resets: VecDeque<Told>,
}

/// What a foreign worker is told about a job, as the context of its task.
#[derive(Serialize)]
struct JobContext<'a> {
    job: JobId,
    dispatcher: &'a str,
    attempt: u32,
    /// Milliseconds since 1970.
    deadline: Option<i64>,
}

impl Pools {
    pub(super) fn of(orders: &[PoolOrder], first_slot: u32) -> Self {
        let list = orders.iter().zip(first_slot..).map(|(order, slot)| Pool {
            order: order.clone(),
            slot,
            tag: crate::ids::new_job_id(),
            booted: 0,
            resets: VecDeque::new(),
        });
        Self {
            list: list.collect(),
            requests: BTreeMap::new(),
            next_request: 0,
        }
    }

    pub(super) fn specs(&self) -> Vec<PoolSpec> {
        let spec = |pool: &Pool| {
            let config = &pool.order.config;
            PoolSpec {
                slot: pool.slot,
                claims: !pool.order.dispatchers.is_empty(),
                min_workers: config.min_workers,
                max_workers: config.max_workers.max(1),
                prefetch: config.prefetch,
                max_jobs: config.max_jobs,
                ttl: config.ttl,
                idle_ttl: config.idle_ttl,
                spawn_timeout: config.spawn_timeout,
                queue_timeout: config.queue_timeout,
                exec_timeout: config.exec_timeout,
                stop_timeout: config.stop_timeout,
                drain_timeout: config.drain_timeout,
            }
        };
        self.list.iter().map(spec).collect()
    }

    pub(super) fn lanes(&self, queues: &[String]) -> BTreeMap<Lane, LanePost> {
        let post = |pool: &Pool| LanePost {
            serves: Serves {
                dispatchers: pool.order.dispatchers.clone(),
                queues: queues.to_vec(),
            },
            worker_slots: pool.order.config.max_workers.max(1),
            ahead: pool
                .order
                .config
                .prefetch
                .saturating_mul(pool.order.config.max_workers),
            pool_slot: Some(pool.slot),
        };
        let lanes = (0_u32..).zip(&self.list);
        lanes
            .map(|(id, pool)| (Lane::Pool(PoolId(id)), post(pool)))
            .collect()
    }

    /// Says in the slot of each pool how its processes are found.
    pub(super) fn mark_slots(&self, slots: &[File]) -> io::Result<()> {
        for pool in &self.list {
            process::name_pool(&slots[pool.slot as usize], pool.tag)?;
        }
        Ok(())
    }

    pub(super) fn get(&self, id: PoolId) -> &Pool {
        &self.list[id.0 as usize]
    }

    pub(super) fn reset_over(&mut self, pool: PoolId, failure: Option<String>) {
        let pool = &mut self.list[pool.0 as usize];
        match &failure {
            None => tracing::info!(pool = pool.order.name, "pool was reset"),
            Some(why) => {
                tracing::error!(
                    pool = pool.order.name,
                    why,
                    "pool was not reset; its workers stay"
                );
            }
        }
        for told in pool.resets.drain(..) {
            told(failure.clone().map_or(Ok(()), Err));
        }
    }

    fn find(&self, name: &str) -> Option<PoolId> {
        let position = self.list.iter().position(|pool| pool.order.name == name)?;
        u32::try_from(position).ok().map(PoolId)
    }

    /// Passes a piece of a stream on.
    pub(super) fn chunk(&mut self, request: RequestId, body: Vec<u8>) -> Wish {
        match self.requests.get_mut(&request) {
            Some(asked) => (asked.answer)(Part::Chunk(body)),
            None => Wish::Enough,
        }
    }
}

/// Whoever still waits is told that nothing comes.
impl Drop for Pools {
    fn drop(&mut self) {
        for request in self.requests.values_mut() {
            (request.answer)(Part::End(Err(ExecError::Stopping)));
        }
        for told in self.list.iter_mut().flat_map(|pool| pool.resets.drain(..)) {
            told(Err("the service has ended".into()));
        }
    }
}

impl Driver<'_> {
    pub(super) fn exec(&mut self, mut request: PoolRequest) {
        let Some(pool) = self.pools.find(&request.pool) else {
            let name = request.pool.clone();
            (request.answer)(Part::End(Err(ExecError::NoSuchPool(name))));
            return;
        };
        let id = RequestId(self.pools.next_request);
        self.pools.next_request += 1;
        self.pools.requests.insert(id, request);
        self.event(Event::Requested { request: id, pool });
    }

    /// Of all pools, one after another would be told of one failure only: each has its own answer.
    pub(super) fn reset(&mut self, name: Option<&str>, answer: Told) {
        let found: Vec<PoolId> = match name {
            Some(name) => self.pools.find(name).into_iter().collect(),
            None => (0..u32::try_from(self.pools.list.len()).unwrap_or(0))
                .map(PoolId)
                .collect(),
        };
        let gathered = match (name, found.is_empty()) {
            (Some(name), true) => return answer(Err(format!("there is no pool `{name}`"))),
            (None, true) => return answer(Err("this service has no pools".into())),
            (_, false) => gather(found.len(), answer),
        };
        for (pool, told) in found.into_iter().zip(gathered) {
            self.pools.list[pool.0 as usize].resets.push_back(told);
            self.event(Event::ResetRequested { pool });
        }
    }

    pub(super) fn boot(&mut self, worker: WorkerId, pool: PoolId) {
        if let Err(error) = self.try_boot(worker, pool) {
            let name = &self.pools.get(pool).order.name;
            tracing::error!(pool = name, %error, "no worker could be made");
            self.spawn_failed(worker, error.raw_os_error().unwrap_or(libc::EIO));
        }
    }

    fn try_boot(&mut self, worker: WorkerId, id: PoolId) -> io::Result<()> {
        let pool = &mut self.pools.list[id.0 as usize];
        let tag = Tag {
            job: pool.tag,
            attempt: pool.booted,
        };
        pool.booted = pool.booted.wrapping_add(1);
        let config = &pool.order.config;
        let foreign = !config.command.is_empty();
        let frame_max = usize::try_from(config.max_frame).unwrap_or(usize::MAX);
        let user = config.user.as_deref();
        let limits = Limits {
            identity: user.map(Identity::of).transpose()?,
            ..Limits::default()
        };
        let (mut link, ends, request) = if foreign {
            let (mut link, ends) = Link::to_foreign(pool.slot, Hearing::of_foreign(frame_max))?;
            link.send(&Frame::pid_request(std::process::id()));
            let request = KeeperRequest::Command {
                worker: worker.0,
                tag,
                argv: config.command.clone(),
                env: environment(config, &pool.order.name),
                working_directory: config.working_directory.clone(),
                limits,
            };
            (link, ends, request)
        } else {
            let (mut link, ends) = Link::to_ours(pool.slot, Hearing::in_pool(frame_max))?;
            link.say(&SupervisorMessage::Serve(PoolOrders {
                pool: pool.order.name.clone(),
                mode: config.mode.clone(),
                env: config.env.clone(),
                working_directory: config.working_directory.clone(),
                max_frame: config.max_frame,
            }))?;
            let request = KeeperRequest::Fork {
                worker: worker.0,
                tag,
                title: process::pool_title(&self.program, &pool.order.name),
                limits,
            };
            (link, ends, request)
        };
        link.pool = Some(id);
        let [channel, stdout, stderr] = &ends;
        let slot = &self.slots[pool.slot as usize];
        let fds = [
            channel.as_fd(),
            stdout.as_fd(),
            stderr.as_fd(),
            slot.as_fd(),
        ];
        ask_for_process(&mut self.keeper, &request, &fds)?;
        self.links.insert(worker, link);
        Ok(())
    }

    /// Which program of a foreign worker could not be started, and what the system says to that.
    pub(super) fn note_unmade(&mut self, worker: WorkerId, errno: i32) {
        let Some(pool) = self.links.get(&worker).and_then(|link| link.pool) else {
            return;
        };
        let config = &self.pools.get(pool).order.config;
        if let Some(program) = config.command.first() {
            let error = io::Error::from_raw_os_error(errno);
            let text = format!("{program:?}: {error}");
            self.event(Event::LastWords { worker, text });
        }
    }

    pub(super) fn assign(
        &mut self,
        (worker, attempt): (WorkerId, AttemptId),
        assignment: &Assignment,
        deadline_wall_ms: Option<i64>,
    ) {
        self.tell_start(assignment);
        self.count_start(attempt, assignment);
        self.begun
            .note(attempt, assignment.job, assignment.counters.token);
        let live = &self.live;
        // A worker that did not want it has it no more.
        for link in self.links.values_mut() {
            link.doing.take_if(|doing| doing.attempt == attempt);
        }
        if let Some(link) = self.links.get_mut(&worker) {
            // What it wrote while idle is nobody's.
            link.capture(&mut self.scratch);
            tell_chatter(link);
            link.begin(attempt, assignment, live);
            if link.is_ours() {
                let start = Box::new(start_message(assignment, deadline_wall_ms));
                if let Err(error) = link.say(&SupervisorMessage::Start(start)) {
                    tracing::error!(%error, job = %assignment.job, "a start message cannot be made");
                }
            } else {
                link.send(&task_of(assignment, deadline_wall_ms));
            }
            if link.pid.is_some() && assignment.options.memory_limit.is_some() {
                self.look_at_memory_soon();
            }
        }
        self.event(Event::Handed { worker });
    }

    pub(super) fn hand(&mut self, worker: WorkerId, request: RequestId) {
        let asked = self.pools.requests.get(&request);
        if let (Some(link), Some(asked)) = (self.links.get_mut(&worker), asked) {
            link.capture(&mut self.scratch);
            tell_chatter(link);
            link.serve(request);
            link.send(&Frame {
                flags: asked.flags,
                ..Frame::task(&asked.context, &asked.body)
            });
        }
        self.event(Event::Handed { worker });
    }

    /// A direct request is over.
    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        let serving = |link: &&mut Link| link.request == Some(request);
        let link = self.links.values_mut().find(serving);
        let Some(mut asked) = self.pools.requests.remove(&request) else {
            return;
        };
        let pool = self.pools.find(&asked.pool);
        let config = pool.map(|pool| &self.pools.get(pool).order.config);
        let limit = |limit: Option<Option<Duration>>| limit.flatten().unwrap_or_default();
        let result = match answer {
            Answer::Replied => {
                let reply = link.as_ref().and_then(|link| link.reply.clone());
                Ok(reply.unwrap_or_default())
            }
            Answer::Refused(text) => Err(ExecError::Refused(text)),
            Answer::QueueTimeout => {
                let time = limit(config.map(|config| config.queue_timeout));
                Err(ExecError::QueueTimeout(time))
            }
            Answer::ExecTimeout => {
                let time = limit(config.map(|config| config.exec_timeout));
                Err(ExecError::ExecTimeout(time))
            }
            Answer::Died(cause) => {
                let sentence = cause.sentence(&Options::default());
                let words = link.as_ref().and_then(|link| link.last_words());
                let words = words.map_or(String::new(), |words| format!("; {words}"));
                Err(ExecError::WorkerDied {
                    cause: cause.name(),
                    what: format!("the worker {sentence}{words}"),
                })
            }
            Answer::Unwanted(times) => Err(ExecError::Unwanted(times)),
            Answer::Degraded(why) => Err(ExecError::Degraded(why)),
            Answer::Stopping => Err(ExecError::Stopping),
        };
        if let Some(link) = link {
            link.request = None;
            link.reply = None;
        }
        (asked.answer)(Part::End(result));
    }

    pub(super) fn retire(&mut self, worker: WorkerId) {
        if let Some(link) = self.links.get_mut(&worker) {
            link.send(&Frame::stop());
        }
        self.event(Event::Signalled { worker });
    }

    /// Lets go of workers of pools that are over.
    pub(super) fn forget_workers(&mut self) {
        let engine = &self.engine;
        self.links
            .retain(|worker, link| link.pool.is_none() || engine.knows(*worker));
    }

    /// Looks what workers of pools have written with no job to it, and which have outgrown their
    /// limit.
    pub(super) fn look_at_pools(&mut self) {
        for link in self.links.values_mut() {
            if link.pool.is_some() && link.greeted && link.doing.is_none() {
                tell_chatter(link);
            }
        }
        let pools = &self.pools;
        let links = self.links.iter().filter_map(|(worker, link)| {
            let limit = pools.get(link.pool?).order.config.max_memory?;
            let resident = process::resident_bytes(link.pid?)?;
            (resident > limit).then_some(*worker)
        });
        let outgrown: Vec<WorkerId> = links.collect();
        for worker in outgrown {
            self.event(Event::Outgrown { worker });
        }
    }

    /// When the next doubt about a worker turns into certainty.
    pub(super) fn next_doubt(&self) -> Option<Duration> {
        let doubts = self.links.values().filter_map(|link| link.doubt.as_ref());
        let at = doubts.map(|(at, _)| *at).min()?;
        Some(at.saturating_duration_since(self.origin))
    }

    pub(super) fn believe_doubts(&mut self) {
        let now = Instant::now();
        let mut certain = Vec::new();
        for (worker, link) in &mut self.links {
            if let Some((_, what)) = link.doubt.take_if(|(at, _)| *at <= now) {
                certain.push((*worker, what, link.last_words()));
            }
        }
        for (worker, what, words) in certain {
            if let Some(text) = words {
                self.event(Event::LastWords { worker, text });
            }
            self.event(Event::LinkBroken { worker, what });
        }
    }
}

fn tell_chatter(link: &mut Link) {
    if let Some(text) = link.take_chatter() {
        tracing::info!(pid = link.pid, text, "a worker wrote");
    }
}

/// What a foreign worker finds in its environment.
fn environment(config: &crate::pool::PoolConfig, pool: &str) -> Vec<(String, String)> {
    let mode = if config.mode.is_empty() {
        pool
    } else {
        &config.mode
    };
    let of_goridge = [
        ("RR_RELAY", "pipes"),
        ("RR_MODE", mode),
        ("RR_VERSION", env!("CARGO_PKG_VERSION")),
    ];
    let own: BTreeMap<String, String> = process::start_environment()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .chain(of_goridge.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .chain(config.env.clone())
        .collect();
    own.into_iter().collect()
}

/// A job, as a foreign worker gets it: who it is in the context, the payload in the body.
fn task_of(assignment: &Assignment, deadline: Option<i64>) -> Frame {
    let context = JobContext {
        job: assignment.job,
        dispatcher: &assignment.dispatcher,
        attempt: assignment.counters.attempt,
        deadline,
    };
    let context = serde_json::to_vec(&context);
    let context = context.expect("invariant: ids, names and numbers are JSON");
    Frame {
        flags: Frame::JSON,
        ..Frame::task(&context, assignment.payload.as_bytes())
    }
}

/// One answer out of many, given when the last has come: the first failure, if there is one.
fn gather(count: usize, answer: Told) -> Vec<Told> {
    let state = (count, None::<String>, Some(answer));
    let shared = std::sync::Arc::new(std::sync::Mutex::new(state));
    let part = || {
        let shared = std::sync::Arc::clone(&shared);
        let told: Told = Box::new(move |result| {
            let mut state = shared
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state.0 -= 1;
            if let Err(why) = result {
                state.1.get_or_insert(why);
            }
            if state.0 == 0
                && let Some(answer) = state.2.take()
            {
                answer(state.1.take().map_or(Ok(()), Err));
            }
        });
        told
    };
    (0..count).map(|_| part()).collect()
}
