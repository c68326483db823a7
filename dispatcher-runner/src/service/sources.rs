//! The service's part in sources: their sections, what they may ask for, when they begin and end.
//!
//! They begin when jobs are run, are told to end as soon as nothing new is to be started, and have
//! the drain time; they never hold up a service that has ended for longer than a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::Registry;

use super::ServiceError;
use super::stage::{Phase, Stage};
use crate::client::{Request, Sender, SpawnError};
use crate::config::{Config, ConfigError, StoreLocation};
use crate::metrics::SourceReport;
use crate::pool::PoolRequest;
use crate::sources::{Board, Dispatched, Job, Prepared, Section, SourceStage, Sources, Ways};
use crate::store::{Build, StoreClient};
use crate::supervisor::desk::{Ask, Desk};

/// Time for sources after the end of the supervisor, from which no answer comes any more.
const AFTER: Duration = Duration::from_secs(5);
/// Time beyond the drain time in which the sources' thread should have ended by itself.
const MARGIN: Duration = Duration::from_secs(1);

/// What jobs of sources are made with.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) location: StoreLocation,
    pub(super) build: &'static Build,
    pub(super) store: StoreClient,
}

/// The sources of a service.
pub(super) struct Bringing {
    prepared: Mutex<Option<Prepared>>,
    board: Board,
    drain: Duration,
}

impl Bringing {
    /// The sources that have a section.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(super) fn of(means: Means, desk: &Desk) -> Result<Self, ServiceError> {
        let sources = Sources::of_process().map_err(ServiceError::failed)?;
        let drain = means.config.drain_timeout();
        let config = means.config.clone();
        let names: Vec<_> = sources.names().into_iter().map(|(name, _)| name).collect();
        config.check_sources(&names).map_err(SpawnError::config)?;
        let path = config.file().map(std::path::Path::to_path_buf);
        let prepared = Prepared::new(
            &sources,
            |name| Section::of(&config, name),
            &ways(means, desk),
        )
        .map_err(|problems| SpawnError::config(ConfigError::Problems { path, problems }))?;
        Ok(Self {
            board: prepared.board(),
            prepared: Mutex::new(Some(prepared)),
            drain,
        })
    }

    /// Whether none has a section.
    pub(super) fn is_empty(&self) -> bool {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.as_ref().is_none_or(Prepared::is_empty)
    }

    /// What `status` and metrics show.
    pub(super) fn reports(&self) -> Box<dyn Fn() -> Vec<SourceReport> + Send + Sync> {
        let board = self.board.clone();
        Box::new(move || {
            let mut states = board.look();
            states.retain(|state| state.stage != SourceStage::Off);
            let reports = states.into_iter().map(|state| SourceReport {
                name: state.name.to_owned(),
                unhealthy: (!state.healthy).then(|| state.last_error.unwrap_or_default()),
                counters: [("restarts", state.restarts)]
                    .into_iter()
                    .chain(state.counters)
                    .map(|(name, count)| (name.to_owned(), count))
                    .collect(),
            });
            reports.collect()
        })
    }

    /// Runs them while the service serves.
    pub(super) fn follow(&self, stage: &Stage) {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(prepared) = prepared.take() else {
            return;
        };
        prepared.report();
        if prepared.is_empty() || stage.wait(Phase::Serving) != Phase::Serving {
            return;
        }
        let running = match prepared.start() {
            Ok(running) => running,
            Err(error) => {
                tracing::error!(%error, "no source could be started");
                return;
            }
        };
        stage.wait(Phase::Stopping);
        running.stop(self.drain);
        let mut left = self.drain.saturating_add(MARGIN);
        while !left.is_zero() {
            // Short looks: the supervisor may end meanwhile, by itself or told a second time.
            let ended = stage.phase() == Phase::Ended;
            let wait = left.min(if ended { AFTER } else { MARGIN });
            if running.wait(wait) {
                return;
            }
            left = if ended { Duration::ZERO } else { left - wait };
        }
        tracing::warn!("sources that did not end are left behind");
    }
}

fn ways(means: Means, desk: &Desk) -> Ways {
    let desk = desk.clone();
    Ways {
        registry: means.registry.clone(),
        send: Arc::new(move |job| means.send(job)),
        exec: Arc::new(move |request: PoolRequest| desk.ask(Ask::Exec(request))),
        now: Arc::new(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
        }),
    }
}

impl Means {
    fn send(&self, job: Job) -> Result<Dispatched, SpawnError> {
        let mut request = Request::checked(job.definition, job.payload, &self.config)?;
        job.options.apply(&mut request.options);
        request.origin = job.origin;
        let known = self.config.known_queues(&self.registry);
        if !known.contains(&request.options.queue) {
            return Err(SpawnError::Option {
                dispatcher: job.definition.name.to_owned(),
                option: "queue",
                why: format!("nobody has declared the queue `{}`", request.options.queue),
            });
        }
        let sender = Sender {
            config: &self.config,
            location: &self.location,
            build: self.build,
            store: self.store.clone(),
        };
        let sent = sender.submit(vec![request])?;
        let sent = sent.first().expect("invariant: one request has one answer");
        Ok(Dispatched {
            id: sent.id,
            duplicate: sent.duplicate,
        })
    }
}
