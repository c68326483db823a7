//! The service's part in sources: their sections, what they may ask for, when they begin and end.
//!
//! They begin when jobs are run, are told to end as soon as nothing new is to be started, and have
//! the drain time; they never hold up a service that has ended for longer than a moment.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::Registry;

use super::lists::{self, Viewing};
use super::stage::{Phase, Stage};
use super::{Seen, ServiceError};
use crate::client::{Request, Sender, SpawnError};
use crate::config::{Config, ConfigError, StoreLocation};
use crate::control::ResetSources;
use crate::metrics::SourceReport;
use crate::pool::PoolRequest;
use crate::sources::{
    Board, Dispatched, Fit, Job, Prepared, Resetter, Section, SourceStage, Sources, Twins, Ways,
};
use crate::store::{Build, StoreClient};
use crate::supervisor::desk::{Ask, Desk};

/// Time for sources after the end of the supervisor, from which no answer comes any more.
const AFTER: Duration = Duration::from_secs(5);
/// Time beyond the drain time in which the sources' thread should have ended by itself.
const MARGIN: Duration = Duration::from_secs(1);

/// What jobs of sources are made with.
struct Means {
    config: Config,
    registry: Registry,
    location: StoreLocation,
    build: Build,
    store: StoreClient,
    #[cfg(feature = "pg_notify")]
    node: Option<String>,
}

/// The sources of a service.
pub(super) struct Bringing {
    prepared: Mutex<Option<Prepared>>,
    board: Board,
    drain: Duration,
    /// While they serve.
    resetter: Arc<Mutex<Option<Resetter>>>,
}

impl Bringing {
    /// The sources that have a section.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(super) fn of(
        sender: &Sender<'_>,
        registry: &Registry,
        desk: &Desk,
        seen: &Seen,
    ) -> Result<Self, ServiceError> {
        let sources = Sources::of_process().map_err(ServiceError::failed)?;
        let config = sender.config;
        let means = Means {
            config: config.clone(),
            registry: registry.clone(),
            location: sender.location.clone(),
            build: sender.build.clone(),
            store: sender.store.clone(),
            #[cfg(feature = "pg_notify")]
            node: super::node_of(sender.location)?,
        };
        let names: Vec<_> = sources.names().into_iter().map(|(name, _)| name).collect();
        config.check_sources(&names).map_err(SpawnError::config)?;
        let path = config.file().map(std::path::Path::to_path_buf);
        let view = Arc::new(Viewing::new(desk, seen));
        let prepared = Prepared::new(
            &sources,
            |name| Section::of(config, name),
            &ways(means, desk, Arc::clone(&view)),
        )
        .map_err(|problems| SpawnError::config(ConfigError::Problems { path, problems }))?;
        view.set_sources(prepared.board());
        Ok(Self {
            board: prepared.board(),
            prepared: Mutex::new(Some(prepared)),
            drain: config.drain_timeout(),
            resetter: Arc::default(),
        })
    }

    /// Whether none has a section.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.prepared).as_ref().is_none_or(Prepared::is_empty)
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

    /// What the command `reset` does to them; `None` when there are none.
    pub(super) fn resets(&self) -> ResetSources {
        let resetter = Arc::clone(&self.resetter);
        Box::new(move || {
            let resetter = lock(&resetter).clone()?;
            let (told, answer) = channel();
            resetter.reset(Box::new(move |result| {
                let _ = told.send(result);
            }));
            Some(
                answer
                    .recv()
                    .unwrap_or_else(|_| Err("the sources have ended".to_owned())),
            )
        })
    }

    fn set_resetter(&self, resetter: Option<Resetter>) {
        *lock(&self.resetter) = resetter;
    }

    /// Runs them while the service serves.
    pub(super) fn follow(&self, stage: &Stage) {
        let Some(prepared) = lock(&self.prepared).take() else {
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
        self.set_resetter(Some(running.resetter()));
        stage.wait(Phase::Stopping);
        self.set_resetter(None);
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

/// Every change is whole before the lock is let go of.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ways(means: Means, desk: &Desk, view: Arc<Viewing>) -> Ways {
    let desk = desk.clone();
    let (listed, cancelled) = (means.store.clone(), means.store.clone());
    Ways {
        #[cfg(feature = "pg_notify")]
        node: means.node.clone(),
        #[cfg(feature = "http")]
        gate: Some(crate::client::Gate::new(
            &means.sender(),
            means.registry.clone(),
        )),
        registry: means.registry.clone(),
        send: Arc::new(move |jobs| means.send(jobs)),
        unfinished: Arc::new(move || lists::unfinished(&listed)),
        cancel: Arc::new(move |jobs, by| lists::cancel(&cancelled, jobs, by)),
        look: Arc::new(move |told| view.look(told)),
        exec: Arc::new(move |request: PoolRequest| desk.ask(Ask::Exec(request))),
        now: Arc::new(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
        }),
    }
}

impl Means {
    fn sender(&self) -> Sender<'_> {
        Sender {
            config: &self.config,
            location: &self.location,
            build: &self.build,
            store: self.store.clone(),
        }
    }

    fn send(&self, jobs: Vec<Job>) -> Vec<Result<Dispatched, SpawnError>> {
        let requests = jobs.into_iter().map(|job| self.request(job)).collect();
        let sent = self.sender().submit_each(requests).into_iter();
        let dispatched = sent.map(|sent| {
            sent.map(|sent| Dispatched {
                id: sent.id,
                duplicate: sent.duplicate,
            })
        });
        dispatched.collect()
    }

    fn request(&self, job: Job) -> Result<Request, SpawnError> {
        let (definition, payload) = (job.definition, job.payload);
        let mut request = match job.fit {
            Fit::Checked => Request::checked(definition, payload, &self.config),
            Fit::Misfit => Request::misfit(definition, payload, &self.config),
        }?;
        job.options.apply(&mut request.options);
        match job.twins {
            Twins::AsDeclared => {}
            Twins::Found => {
                let mut shared = (definition.dispatcher_options)();
                let mut own = request.options.clone();
                self.config.apply(definition.name, &mut own, &mut shared);
                let declared = shared.on_duplicate;
                request.options.on_duplicate.get_or_insert(declared);
            }
        }
        request.origin = job.origin;
        let known = self.config.known_queues(&self.registry);
        #[cfg(feature = "pg_notify")]
        let is_own_node = self.node.as_ref() == Some(&request.options.queue);
        #[cfg(not(feature = "pg_notify"))]
        let is_own_node = false;
        if !is_own_node && !known.contains(&request.options.queue) {
            return Err(SpawnError::Option {
                dispatcher: job.definition.name.to_owned(),
                option: "queue",
                why: format!("nobody has declared the queue `{}`", request.options.queue),
            });
        }
        Ok(request)
    }
}
