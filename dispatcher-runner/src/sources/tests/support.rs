//! A made-up service: a pool, a store and a clock of virtual time.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, JobId, Process, Registry};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::time::{Instant, timeout};

use crate::client::SpawnError;
use crate::config::Config;
use crate::pool::{ExecError, Part, PoolConfig, PoolRequest, Reply, Wish};
use crate::sources::board::{Seat, SourceStage};
use crate::sources::{DispatchOptions, Dispatched, Host, Job, Section, Ways};

/// Runs a future in virtual time: when all of it waits, the clock jumps to the next deadline.
pub(crate) fn virtually<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Lets so much of virtual time pass.
pub(crate) async fn pass(time: Duration) {
    let _ = timeout(time, pending::<()>()).await;
}

/// A dispatcher that takes the number of a tick.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(alias = "counted")]
pub(crate) struct Count {
    pub(crate) tick: u64,
}

/// One that takes nothing.
#[derive(Dispatcher, Serialize, Deserialize)]
pub(crate) struct Clean;

impl Process for Count {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Clean {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// What a source asked for, when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// In milliseconds since the beginning.
    pub(crate) at: u64,
    pub(crate) pool: String,
    pub(crate) context: String,
    pub(crate) body: String,
}

/// A job that a source sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SentJob {
    pub(crate) name: &'static str,
    pub(crate) payload: String,
    pub(crate) options: DispatchOptions,
    pub(crate) origin: String,
}

/// How the pool answers: after this time, with this.
type Answers = dyn Fn(usize) -> (Duration, Result<Reply, ExecError>) + Send + Sync;
type Store = dyn Fn(usize) -> Result<Dispatched, SpawnError> + Send + Sync;

/// The service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) began: Instant,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) sent: Arc<Mutex<Vec<SentJob>>>,
    pub(crate) at_once: Arc<Mutex<(usize, usize)>>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) store: Arc<Store>,
}

/// Time of the made-up clock at the beginning, in seconds since 1970.
pub(crate) const EPOCH: i64 = 1_000_000;

impl Service {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            asked: Arc::default(),
            sent: Arc::default(),
            at_once: Arc::default(),
            answers: Arc::new(|_| (Duration::ZERO, Ok(Reply::default()))),
            store: Arc::new(|_| Ok(stored())),
        }
    }

    /// Whose workers take so long for each request.
    pub(crate) fn busy(time: Duration) -> Self {
        Self {
            answers: Arc::new(move |_| (time, Ok(Reply::default()))),
            ..Self::new()
        }
    }

    pub(crate) fn ways(&self) -> Ways {
        let (asking, sending, began) = (self.clone(), self.clone(), self.began);
        let registry = Registry::builder()
            .with(Count::definition())
            .with(Clean::definition());
        Ways {
            registry: registry.build().unwrap(),
            send: Arc::new(move |jobs| jobs.into_iter().map(|job| sending.take(job)).collect()),
            unfinished: Arc::new(|| Ok(Vec::new())),
            cancel: Arc::new(|jobs, _| Ok(jobs)),
            look: Arc::new(drop),
            exec: Arc::new(move |request| asking.ask(request)),
            #[cfg(feature = "pg_notify")]
            node: None,
            #[cfg(feature = "http")]
            gate: None,
            now: Arc::new(move || {
                let passed = Instant::now().duration_since(began).as_millis();
                EPOCH * 1000 + i64::try_from(passed).unwrap()
            }),
        }
    }

    fn take(&self, job: Job) -> Result<Dispatched, SpawnError> {
        let mut sent = self.sent.lock().unwrap();
        sent.push(SentJob {
            name: job.definition.name,
            payload: job.payload,
            options: job.options,
            origin: job.origin,
        });
        (self.store)(sent.len() - 1)
    }

    fn ask(&self, mut request: PoolRequest) {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(Asked {
                at: self.millis(),
                pool: request.pool.clone(),
                context: String::from_utf8(request.context).unwrap(),
                body: String::from_utf8(request.body).unwrap(),
            });
            asked.len() - 1
        };
        let mut at_once = self.at_once.lock().unwrap();
        at_once.0 += 1;
        at_once.1 = at_once.1.max(at_once.0);
        let (time, answer) = (self.answers)(number);
        let running = Arc::clone(&self.at_once);
        tokio::spawn(async move {
            pass(time).await;
            running.lock().unwrap().0 -= 1;
            let _: Wish = (request.answer)(Part::End(answer));
        });
    }

    pub(crate) fn millis(&self) -> u64 {
        let passed = Instant::now().duration_since(self.began).as_millis();
        u64::try_from(passed).unwrap()
    }

    /// The handle of a source called `ticker`, with a pool of so many workers; 0 is none.
    pub(crate) fn host(&self, workers: u32) -> (Host, Seat) {
        let seat = Seat::new("ticker", 10, SourceStage::Waiting);
        let pool = section("ticker", "", workers).pool;
        let host = Host::new("ticker", pool, self.ways(), seat.clone());
        (host, seat)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn sent(&self) -> Vec<SentJob> {
        self.sent.lock().unwrap().clone()
    }
}

/// A section, as code gives it, with a pool `php` of so many workers; 0 is none.
pub(crate) fn section(name: &str, text: &str, workers: u32) -> Section {
    let mut table: toml::Table = toml::from_str(text).unwrap();
    if workers > 0 {
        table.insert("pool".into(), "php".into());
    }
    let php = PoolConfig {
        max_workers: workers,
        ..PoolConfig::default()
    };
    let config = Config::new("app").with_pool("php", php);
    Section::of(&config.with_source(name, table), name).unwrap()
}

pub(crate) fn stored() -> Dispatched {
    Dispatched {
        id: "0123456789abcdef".parse::<JobId>().unwrap(),
        duplicate: false,
    }
}
