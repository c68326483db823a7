//! What a supervisor does now, for whoever asks.

use std::time::Duration;

use dispatcher_core::engine::{WorkerId, WorkerSnapshot};

use crate::process;

use super::super::desk::{Look, PoolLook, WorkerLook};
use super::super::link::Link;
use super::Driver;

impl Driver<'_> {
    pub(super) fn look(&self) -> Look {
        let snapshot = self.engine.snapshot();
        let now = self.origin.elapsed();
        let pools = snapshot.pools.iter().map(|pool| PoolLook {
            name: self.pools.get(pool.pool).order.name.clone(),
            waiting: pool.waiting as u64,
            running: pool.running as u64,
            degraded: pool.degraded.clone(),
            restarts: pool.ends.iter().copied().collect(),
        });
        let pooled = snapshot.pools.iter().flat_map(|pool| {
            let workers = pool.workers.iter();
            workers.map(|worker| {
                let name = &self.pools.get(pool.pool).order.name;
                self.pooled(name, worker, now)
            })
        });
        let single = self.links.iter().filter(|(_, link)| link.pool.is_none());
        Look {
            serving: snapshot.serving,
            slots: self.slots_of_processes,
            workers: pooled
                .chain(single.map(|(id, link)| single_worker(*id, link)))
                .collect(),
            pools: pools.collect(),
        }
    }

    fn pooled(&self, pool: &str, worker: &WorkerSnapshot, now: Duration) -> WorkerLook {
        let link = self.links.get(&worker.worker);
        let pid = link.and_then(|link| link.pid);
        WorkerLook {
            id: worker.worker.0,
            pool: Some(pool.to_owned()),
            pid,
            state: worker.state,
            job: link.and_then(job_in),
            served: u64::from(worker.served),
            age: now.saturating_sub(worker.born),
            idle: (worker.state == "ready").then(|| now.saturating_sub(worker.ready_at)),
            rss_bytes: pid.and_then(process::resident_bytes),
            cpu: pid.and_then(process::cpu_time),
        }
    }
}

fn single_worker(id: WorkerId, link: &Link) -> WorkerLook {
    WorkerLook {
        id: id.0,
        pool: None,
        pid: link.pid,
        state: match (link.pid, link.drain_until) {
            (None, _) => "starting",
            (Some(_), None) => "working",
            (Some(_), Some(_)) => "stopping",
        },
        job: job_in(link),
        served: 0,
        age: link.began.elapsed(),
        idle: None,
        rss_bytes: link.pid.and_then(process::resident_bytes),
        cpu: link.pid.and_then(process::cpu_time),
    }
}

fn job_in(link: &Link) -> Option<(dispatcher_core::JobId, String)> {
    let doing = link.doing.as_ref()?;
    Some((doing.job, doing.dispatcher.clone()))
}
