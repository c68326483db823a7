//! What a source sees of its service: durable jobs, its pool, its counters.
//!
//! Nothing here waits on the source's thread: the store is asked on threads of its own, and a
//! pool's answer comes to a future.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::{Definition, JobId, OnDuplicate, Options, Registry};
use serde::Serialize;

use super::board::Seat;
use super::section::OwnPool;
use super::view::{ServiceView, UnfinishedJob};
#[cfg(feature = "http")]
use crate::client::Gate;
use crate::client::SpawnError;
use crate::pool::PoolRequest;

/// A source's hold on its service. Every copy is the same.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    name: &'static str,
    pool: Option<OwnPool>,
    ways: Ways,
    seat: Seat,
}

/// How the service does what sources ask of it.
#[derive(Clone)]
pub(crate) struct Ways {
    /// The dispatchers of the service, with configured aliases.
    pub(crate) registry: Registry,
    /// Stores jobs durably, each that can be, in their order; which takes its time.
    pub(crate) send: Arc<dyn Fn(Vec<Job>) -> Vec<Sent> + Send + Sync>,
    /// What is unfinished, which takes its time.
    pub(crate) unfinished: Arc<dyn Fn() -> Result<Vec<UnfinishedJob>, SpawnError> + Send + Sync>,
    /// Cancels jobs durably, which takes its time; answers with those that will not succeed.
    pub(crate) cancel: Arc<Cancel>,
    /// Has the service looked at; dropped uncalled when it has ended.
    pub(crate) look: Arc<dyn Fn(TellView) + Send + Sync>,
    /// Hands a request to a pool, which takes none.
    pub(crate) exec: Arc<dyn Fn(PoolRequest) + Send + Sync>,
    /// The wall clock, in milliseconds since 1970.
    pub(crate) now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Label of jobs that only services of this node run; none where nobody else could.
    #[cfg(feature = "pg_notify")]
    pub(crate) node: Option<String>,
    /// Everything that may be done with jobs; only a service has one.
    #[cfg(feature = "http")]
    pub(crate) gate: Option<Gate>,
}

/// Cancels jobs; the text says who wants it.
pub(crate) type Cancel = dyn Fn(Vec<JobId>, String) -> Result<Vec<JobId>, SpawnError> + Send + Sync;

/// Takes what was seen.
pub(crate) type TellView = Box<dyn FnOnce(ServiceView) + Send>;

/// A job that a source wants stored.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) definition: &'static Definition,
    /// JSON.
    pub(crate) payload: String,
    pub(crate) options: DispatchOptions,
    /// Who sends it, as the job's record says it.
    pub(crate) origin: String,
    pub(crate) fit: Fit,
    pub(crate) twins: Twins,
}

/// Who finds a job that looks for duplicates of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twins {
    /// As its dispatcher has it: nobody, if that takes no notice of duplicates.
    AsDeclared,
    /// All that look, each for itself.
    #[cfg_attr(
        not(any(feature = "socket", feature = "pg_notify")),
        expect(dead_code, reason = "other sources do not say it with each job")
    )]
    Found,
}

/// What is known of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It must fit its dispatcher.
    Checked,
    /// It does not: its job fails in its worker, which tells the reason.
    #[cfg_attr(
        not(any(feature = "socket", feature = "pg_notify")),
        expect(dead_code, reason = "other sources are told that it does not fit")
    )]
    Misfit,
}

/// What became of a job.
pub(crate) type Sent = Result<Dispatched, SpawnError>;

/// Options of one job that a source sends; what is not set is as declared and configured.
///
/// ```
/// use dispatcher_runner::DispatchOptions;
/// let once = DispatchOptions { unique_key: Some("order 7".into()), ..DispatchOptions::default() };
/// assert_eq!(once.delay, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DispatchOptions {
    /// Replaces the payload as the job's identity among duplicates.
    pub unique_key: Option<String>,
    /// Label that a supervisor may be told to serve.
    pub queue: Option<String>,
    /// Higher first.
    pub priority: Option<i32>,
    /// Waiting time before the job may start.
    pub delay: Option<Duration>,
    /// Ends the job as expired when it has waited longer.
    pub expires: Option<Duration>,
    /// Run time of one attempt; zero is no limit.
    pub timeout: Option<Duration>,
    /// Further attempts after a failure.
    pub retries: Option<u32>,
    /// What happens to it beside an unfinished job of the same identity.
    pub on_duplicate: Option<OnDuplicate>,
}

impl DispatchOptions {
    /// A job that is dropped while one with the same key is unfinished.
    ///
    /// ```
    /// use dispatcher_runner::DispatchOptions;
    /// assert_eq!(DispatchOptions::unique("order 7").unique_key.as_deref(), Some("order 7"));
    /// ```
    #[must_use]
    pub fn unique(key: impl Into<String>) -> Self {
        Self {
            unique_key: Some(key.into()),
            ..Self::default()
        }
    }

    /// Sets what is set here.
    pub(crate) fn apply(self, options: &mut Options) {
        options.unique_key = self.unique_key.or(options.unique_key.take());
        if let Some(queue) = self.queue {
            options.queue = queue;
        }
        if let Some(priority) = self.priority {
            options.priority = priority;
        }
        options.delay = self.delay.or(options.delay);
        options.expires = self.expires.or(options.expires);
        options.timeout = self.timeout.or(options.timeout);
        options.retries = self.retries.unwrap_or(options.retries);
        options.on_duplicate = self.on_duplicate.or(options.on_duplicate);
    }
}

/// A job that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatched {
    /// The job; of a duplicate the surviving one.
    pub id: JobId,
    /// It is an unfinished job of the same identity; nothing was stored.
    pub duplicate: bool,
}

impl Host {
    pub(super) fn new(name: &'static str, pool: Option<OwnPool>, ways: Ways, seat: Seat) -> Self {
        Self(Arc::new(Inner {
            name,
            pool,
            ways,
            seat,
        }))
    }

    /// Name of the source.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Label of jobs that only services of this node run; none where nobody else could.
    #[cfg(feature = "pg_notify")]
    pub(super) fn node_label(&self) -> Option<&str> {
        self.0.ways.node.as_deref()
    }

    /// The source's own pool, as its section names or holds it.
    #[must_use]
    pub fn pool(&self) -> Option<&str> {
        self.0.pool.as_ref().map(|pool| pool.name.as_str())
    }

    /// Tasks that the source's own pool serves at once, at most; 0 without one.
    #[must_use]
    pub fn pool_workers(&self) -> u32 {
        self.0.pool.as_ref().map_or(0, |pool| pool.workers)
    }

    /// The dispatcher of this name, or alias.
    ///
    /// # Errors
    /// When the service has none.
    pub fn dispatcher(&self, name: &str) -> Result<&'static Definition, SpawnError> {
        Ok(self.0.ways.registry.resolve(name)?)
    }

    /// Stores a job durably; somebody will run it, whatever happens to this service. Dropping the
    /// future does not take the job back.
    ///
    /// # Errors
    /// When it was refused: a full queue, an unknown dispatcher, a payload that does not fit, a
    /// failing store. Nothing was stored then.
    pub async fn dispatch(
        &self,
        name: &str,
        payload: impl Serialize + Send,
        options: DispatchOptions,
    ) -> Result<Dispatched, SpawnError> {
        let definition = self.dispatcher(name)?;
        let json = serde_json::to_string(&payload).map_err(|error| definition.refusal(&error))?;
        drop(payload);
        self.send(definition, json, options).await
    }

    /// [`dispatch`](Self::dispatch) of a payload that is JSON already.
    ///
    /// # Errors
    /// As `dispatch`.
    pub async fn dispatch_json(
        &self,
        name: &str,
        payload: String,
        options: DispatchOptions,
    ) -> Result<Dispatched, SpawnError> {
        self.send(self.dispatcher(name)?, payload, options).await
    }

    async fn send(
        &self,
        definition: &'static Definition,
        payload: String,
        options: DispatchOptions,
    ) -> Result<Dispatched, SpawnError> {
        let job = Job {
            definition,
            payload,
            options,
            origin: self.origin(),
            fit: Fit::Checked,
            twins: Twins::AsDeclared,
        };
        let mut sent = self.send_all(vec![job]).await;
        sent.pop().expect("invariant: one job has one answer")
    }

    /// Who sends jobs of this source.
    pub(super) fn origin(&self) -> String {
        format!("source {}", self.0.name)
    }

    /// Stores each of the jobs that can be stored, in their order.
    pub(super) async fn send_all(&self, jobs: Vec<Job>) -> Vec<Sent> {
        let send = Arc::clone(&self.0.ways.send);
        aside(move || send(jobs)).await
    }

    /// Adds one to a counter of the source, which metrics show. At most 64 names are kept.
    pub fn count(&self, counter: &'static str) {
        self.count_by(counter, 1);
    }

    /// Adds to a counter of the source.
    pub fn count_by(&self, counter: &'static str, by: u64) {
        self.0.seat.count(counter, by);
    }

    /// Sets a gauge of the source, which metrics show. At most 64 names are kept.
    pub fn gauge(&self, gauge: &'static str, value: f64) {
        self.0.seat.gauge(gauge, value);
    }

    /// The source does what it is for; it is not asked for more often than it wants to say so.
    pub fn report_healthy(&self) {
        self.0.seat.health(None);
    }

    /// The source serves on, but something is wrong: its other side cannot be reached, say.
    pub fn report_unhealthy(&self, why: impl fmt::Display) {
        self.0.seat.health(Some(why.to_string()));
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        (self.0.ways.now)().div_euclid(1000)
    }

    /// Everything that may be done with jobs.
    #[cfg(feature = "http")]
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.0.ways.gate.as_ref()
    }

    /// Jobs of the state that have not ended, those that run first; at most 100,000 that run and
    /// as many that wait.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<UnfinishedJob>, SpawnError> {
        let unfinished = Arc::clone(&self.0.ways.unfinished);
        aside(move || unfinished()).await
    }

    /// Cancels jobs durably; answers with those that will not succeed any more. Those that run are
    /// being stopped then.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn cancel(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, SpawnError> {
        let cancel = Arc::clone(&self.0.ways.cancel);
        let by = self.origin();
        aside(move || cancel(jobs, by)).await
    }

    /// What the service does now; `None` when it has ended.
    pub async fn look(&self) -> Option<ServiceView> {
        let (told, answer) = tokio::sync::oneshot::channel();
        (self.0.ways.look)(Box::new(move |view| drop(told.send(view))));
        answer.await.ok()
    }

    pub(super) fn hand_in(&self, request: PoolRequest) {
        (self.0.ways.exec)(request);
    }
}

/// Does something that blocks, on another thread.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and drops whoever waits here.
            Err(_) => pending().await,
        },
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.0.name)
            .field("pool", &self.0.pool)
            .finish_non_exhaustive()
    }
}
