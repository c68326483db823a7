//! What an engine is doing, for whoever asks.

use std::time::Duration;

use crate::JobId;

use super::attempt::Attempt;
use super::leave::Phase;
use super::pool::{EndReason, Task, Worker, WorkerLife};
use super::{Engine, PoolId, WorkerId};

/// What an engine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Jobs with a slot, and the slot of each.
    pub live: Vec<(JobId, u32)>,
    /// Attempts whose end is being stored.
    pub recording: usize,
    /// Whether it takes work.
    pub serving: bool,
    /// Its pools.
    pub pools: Vec<PoolSnapshot>,
}

/// What a pool is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Which.
    pub pool: PoolId,
    /// Tasks without a worker.
    pub waiting: usize,
    /// Tasks in workers.
    pub running: usize,
    /// Why it is degraded.
    pub degraded: Option<String>,
    /// Workers that have ended, by the name of the reason.
    pub ends: Vec<(&'static str, u64)>,
    /// Its workers.
    pub workers: Vec<WorkerSnapshot>,
}

/// What a worker of a pool is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Which.
    pub worker: WorkerId,
    /// `starting`, `ready`, `working` or `stopping`.
    pub state: &'static str,
    /// Tasks that it has served.
    pub served: u32,
    /// When it was asked for.
    pub born: Duration,
    /// When it last became ready.
    pub ready_at: Duration,
}

impl Engine {
    /// What it is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let live: Vec<_> = self
            .attempts
            .values()
            .filter(|attempt| attempt.holds_slot())
            .map(|attempt: &Attempt| (attempt.assignment.job, attempt.assignment.slot))
            .collect();
        Snapshot {
            recording: self.attempts.len() - live.len(),
            live,
            serving: self.phase == Phase::Serving && self.holds_lease(),
            pools: self.pools.iter().map(super::Pool::snapshot).collect(),
        }
    }
}

impl super::Pool {
    fn snapshot(&self) -> PoolSnapshot {
        let workers = self.workers.iter().map(|(id, worker)| WorkerSnapshot {
            worker: *id,
            state: state(worker),
            served: worker.served,
            born: worker.born,
            ready_at: worker.ready_at,
        });
        let ends = self.ends.iter();
        PoolSnapshot {
            pool: self.id,
            waiting: self.waiting.len(),
            running: self.tasks().count(),
            degraded: self.health.degraded.clone(),
            ends: ends
                .map(|(reason, count)| (reason.name(), *count))
                .collect(),
            workers: workers.collect(),
        }
    }

    fn tasks(&self) -> impl Iterator<Item = Task> {
        self.workers
            .values()
            .filter_map(|worker| worker.life.task())
    }
}

fn state(worker: &Worker) -> &'static str {
    match worker.life {
        WorkerLife::Booting | WorkerLife::Greeting { .. } | WorkerLife::Standby => "starting",
        WorkerLife::Idle | WorkerLife::Settling { .. } => "ready",
        // Its task ends with it.
        WorkerLife::Busy { .. } if worker.leaving.is_some_and(|why| why != EndReason::Reset) => {
            "stopping"
        }
        WorkerLife::Busy { .. } => "working",
        WorkerLife::Ending { .. } | WorkerLife::Dead { .. } => "stopping",
    }
}
