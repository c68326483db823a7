//! Everything that can be told of a running service, gathered from its parts.
//!
//! Nothing here waits for long: a supervisor that does not answer in time is told as such.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Answer, JobSeen, PoolSeen, Request, Seen, SourceSeen, WorkerSeen};
use crate::metrics::{Gauges, Metrics, PoolGauge, SourceReport};
use crate::store::StoreClient;
use crate::supervisor::desk::{Ask, Desk, Look, Shutdown};

/// A supervisor that does not answer within this time hangs.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a service is looked at and told things.
pub(crate) struct Board {
    pub(crate) program: String,
    pub(crate) build: String,
    pub(crate) queues: Vec<String>,
    /// Time for what runs when it is told to end.
    pub(crate) drain: Duration,
    pub(crate) desk: Desk,
    pub(crate) store: StoreClient,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sources: Box<dyn Fn() -> Vec<SourceReport> + Send + Sync>,
    pub(crate) reset_sources: ResetSources,
}

/// Resets the sources of a service and waits for them; `None` when it has none.
pub(crate) type ResetSources = Box<dyn Fn() -> Option<Result<(), String>> + Send + Sync>;

/// Why there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unseen {
    #[error("the service has ended")]
    Ended,
    #[error("the service did not answer within {LOOK_TIMEOUT:?}")]
    Hangs,
}

impl Board {
    /// Does what is asked, and answers.
    pub(super) fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Look => match self.look() {
                Ok(look) => Answer::Seen(Box::new(self.seen(look))),
                Err(unseen) => refused(unseen),
            },
            Request::Reset { pool: Some(pool) } => self.reset(Some(pool)),
            Request::Reset { pool: None } => self.reset_all(),
            Request::Stop { now } => {
                let shutdown = match now {
                    true => Shutdown::Now,
                    false => Shutdown::Drain(self.drain),
                };
                self.desk.ask(Ask::Stop(shutdown));
                Answer::Done
            }
            Request::Metrics => match self.exposition() {
                Ok(text) => Answer::Metrics { text },
                Err(unseen) => refused(unseen),
            },
        }
    }

    /// Has the supervisor look at what it does; its thread calls `answer`, or drops it uncalled
    /// when it has ended.
    pub(crate) fn ask_to_look(&self, answer: impl FnOnce(Look) + Send + 'static) {
        self.desk.ask(Ask::Look(Box::new(answer)));
    }

    /// What the supervisor does now; waits for it.
    fn look(&self) -> Result<Look, Unseen> {
        let (answer, answers) = channel();
        self.ask_to_look(move |look| drop(answer.send(look)));
        answers
            .recv_timeout(LOOK_TIMEOUT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => Unseen::Hangs,
                RecvTimeoutError::Disconnected => Unseen::Ended,
            })
    }

    /// Everything that is counted, as Prometheus reads it.
    pub(crate) fn exposition(&self) -> Result<String, Unseen> {
        let look = self.look()?;
        let mut workers = BTreeMap::new();
        for worker in &look.workers {
            let pool = worker.pool.clone().unwrap_or_default();
            *workers.entry((pool, worker.state)).or_insert(0) += 1;
        }
        let pools = look.pools.into_iter().map(|pool| PoolGauge {
            name: pool.name,
            waiting: pool.waiting,
            running: pool.running,
            degraded: pool.degraded.is_some(),
            restarts: pool.restarts,
        });
        let (queues, oldest) = self.queues();
        Ok(self.metrics.exposition(&Gauges {
            program: self.program.clone(),
            build: self.build.clone(),
            serving: look.serving,
            slots: look.slots,
            queues,
            oldest,
            workers,
            pools: pools.collect(),
            sources: (self.sources)(),
        }))
    }

    /// Waiting and running jobs by dispatcher, and the age of the oldest that waits. A store that
    /// cannot be asked leaves these out; that it cannot is told elsewhere.
    fn queues(&self) -> (Vec<(String, u32, u32)>, Option<Duration>) {
        let asked = self.store.call(|store| {
            let rows = store.dispatchers()?;
            Ok::<_, crate::store::StoreError>((rows, store.oldest_waiting()?))
        });
        let (rows, oldest) = match asked {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!(%error, "the queues cannot be counted now");
                return (Vec::new(), None);
            }
        };
        let rows = rows.into_iter();
        let rows = rows.map(|it| (it.row.name, it.waiting, it.running));
        let age = oldest.map(|since| {
            let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(since).unwrap_or(0));
            SystemTime::now().duration_since(since).unwrap_or_default()
        });
        (rows.collect(), age)
    }

    /// Sources first: what they have renewed is there for the new workers.
    fn reset_all(&self) -> Answer {
        let pools = match self.look() {
            Ok(look) => look.pools,
            Err(unseen) => return refused(unseen),
        };
        match (self.reset_sources)() {
            Some(Err(why)) => Answer::Refused { why },
            Some(Ok(())) if pools.is_empty() => Answer::Done,
            Some(Ok(())) | None => self.reset(None),
        }
    }

    /// Waits until the new workers serve, however long that takes: the supervisor bounds it.
    fn reset(&self, pool: Option<String>) -> Answer {
        let (answer, answers) = channel();
        self.desk.ask(Ask::Reset {
            pool,
            answer: Box::new(move |result| {
                let _ = answer.send(result);
            }),
        });
        match answers.recv() {
            Ok(Ok(())) => Answer::Done,
            Ok(Err(why)) => Answer::Refused { why },
            Err(_) => refused(Unseen::Ended),
        }
    }

    fn seen(&self, look: Look) -> Seen {
        let pools = look.pools.into_iter().map(|pool| {
            let restarts = pool.restarts.into_iter();
            PoolSeen {
                name: pool.name,
                waiting: pool.waiting,
                running: pool.running,
                degraded: pool.degraded,
                restarts: restarts.map(|(why, n)| (why.to_owned(), n)).collect(),
            }
        });
        let workers = look.workers.into_iter().map(|worker| WorkerSeen {
            pool: worker.pool,
            pid: worker.pid,
            state: worker.state.to_owned(),
            job: worker
                .job
                .map(|(id, dispatcher)| JobSeen { id, dispatcher }),
            served: worker.served,
            age_ms: millis(worker.age),
            idle_ms: worker.idle.map(millis),
            rss_bytes: worker.rss_bytes,
            cpu_ms: worker.cpu.map(millis),
        });
        let sources = (self.sources)().into_iter().map(|source| SourceSeen {
            name: source.name,
            unhealthy: source.unhealthy,
            counters: source.counters.into_iter().collect(),
        });
        Seen {
            pid: std::process::id(),
            program: self.program.clone(),
            build: self.build.clone(),
            serving: look.serving,
            slots: look.slots,
            queues: self.queues.clone(),
            pools: pools.collect(),
            workers: workers.collect(),
            sources: sources.collect(),
        }
    }
}

fn refused(unseen: Unseen) -> Answer {
    Answer::Refused {
        why: unseen.to_string(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
