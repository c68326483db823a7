//! The service: a supervisor that stays, and everything that brings work to it.
//!
//! It runs until it is told otherwise: claiming stops at once, what runs has the drain timeout to
//! end and is queued again after that; told a second time, it does not wait.

#[cfg_attr(not(feature = "service"), path = "no_admin.rs")]
mod admin;
#[cfg(feature = "service")]
mod lists;
mod running;
mod schedules;
#[cfg_attr(not(feature = "service"), path = "no_sources.rs")]
mod sources;
mod stage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;

use dispatcher_core::Registry;

use crate::app;
use crate::client::{Sender, SpawnError};
use crate::config::{Config, LogFormat, StoreLocation};
use crate::control::{self, Board};
use crate::log;
use crate::metrics::Metrics;
use crate::store::{self, Build, StoreClient};
use crate::supervisor::desk::{Desk, Inbox, desk};
use crate::supervisor::{self, Orders, Standing, Stay, SupervisorError, Ties, Turn};

use admin::Listening;
use sources::Bringing;
use stage::{Phase, Stage};

pub use running::RunningService;

/// A long-lived supervisor of the program's dispatchers, with their schedules.
///
/// [`init`](crate::init) must have been the first line of `main`. A program that is nothing but a
/// service gives its thread to [`run`](Self::run); one that does other things as well, a web
/// server, say, calls [`start`](Self::start).
///
/// ```no_run
/// use dispatcher_runner::{Config, Service};
///
/// fn main() -> Result<(), dispatcher_runner::ServiceError> {
///     dispatcher_runner::init();
///     Service::new(Config::new("myapp").with_workers(8)).run()
/// }
/// ```
#[derive(Debug)]
pub struct Service {
    config: Config,
    /// The dispatchers of the program, unless it keeps them to itself.
    registry: Option<Registry>,
}

/// Why a service could not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The program has no dispatchers, and none of its sources is on.
    #[error("there is nothing to serve: this program has no dispatchers, and no source is on")]
    NothingToServe,
    /// The configuration, the state or the program is not as it must be.
    #[error(transparent)]
    Setup(#[from] SpawnError),
    /// Metrics and health cannot be told where they were asked for.
    #[error("metrics and health cannot be told at {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Something that it cannot do without failed.
    #[error("the service ended")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SupervisorError> for ServiceError {
    fn from(error: SupervisorError) -> Self {
        Self::failed(error)
    }
}

impl ServiceError {
    fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl Service {
    /// A service with this configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            registry: None,
        }
    }

    /// One of these dispatchers only: those of the generic binary are for its benchmark.
    pub(crate) fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Serves until a signal or the command `stop` says otherwise; what it has to say goes to
    /// standard error. SIGTERM and SIGINT are its own while it runs, and it tells the service
    /// manager (`sd_notify`) when it is ready.
    ///
    /// # Errors
    /// When there is nothing to serve, or the state cannot be used.
    pub fn run(self) -> Result<(), ServiceError> {
        log::to_stderr(log_settings(&self.config));
        let wiring = Wiring::new()?;
        let prepared = Prepared::of(self, &wiring.desk)?;
        prepared.serve(Standing::Owner, wiring)
    }

    /// Starts it on a thread of its own and returns at once. Signals, the service manager and the
    /// log stay the business of the program: events go to its `tracing` subscriber.
    ///
    /// Jobs that the program sends itself come here if it has given [`setup`](crate::setup) the
    /// same configuration.
    ///
    /// ```no_run
    /// use dispatcher_runner::{Config, Service};
    ///
    /// # fn serve_web_pages_until_told() {}
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     dispatcher_runner::init();
    ///     let config = Config::from_environment("myapp")?;
    ///     dispatcher_runner::setup(config.clone())?;
    ///     let service = Service::new(config).start()?;
    ///     serve_web_pages_until_told();
    ///     // Nothing new is started; what runs may finish.
    ///     service.stop();
    ///     Ok(service.wait()?)
    /// }
    /// ```
    ///
    /// # Errors
    /// When there is nothing to serve, or the state cannot be used.
    pub fn start(self) -> Result<RunningService, ServiceError> {
        let wiring = Wiring::new()?;
        RunningService::begin(Prepared::of(self, &wiring.desk)?, wiring)
    }
}

fn log_settings(config: &Config) -> log::Settings {
    let format = match config.log_format() {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    log::Settings::named(config.log_level().as_str(), format)
}

/// A service that has all it needs.
struct Prepared {
    config: Config,
    registry: Registry,
    location: StoreLocation,
    build: &'static Build,
    store: StoreClient,
    sources: Bringing,
    admin: Listening,
    metrics: Arc<Metrics>,
}

/// What sources may tell of the service besides what the supervisor knows.
struct Seen {
    metrics: Arc<Metrics>,
    /// Where metrics are told.
    #[cfg_attr(
        not(feature = "service"),
        expect(dead_code, reason = "without sources nobody is told")
    )]
    admin: Option<SocketAddr>,
}

/// What joins the parts of a service.
struct Wiring {
    stage: Arc<Stage>,
    desk: Desk,
    inbox: Inbox,
}

impl Wiring {
    fn new() -> Result<Self, ServiceError> {
        let (desk, inbox) = desk().map_err(ServiceError::failed)?;
        Ok(Self {
            stage: Arc::new(Stage::new()),
            desk,
            inbox,
        })
    }
}

impl Prepared {
    fn of(service: Service, desk: &Desk) -> Result<Self, ServiceError> {
        let Service { config, registry } = service;
        let registry = registry.unwrap_or_else(|| app::registry().clone());
        let registry = config.resolve(registry);
        let registry = registry.map_err(SpawnError::config)?;
        let location = config.store().map_err(SpawnError::config)?;
        let build = app::build()?;
        let store = app::open_patiently(&location).map_err(SpawnError::from)?;
        let sender = Sender {
            config: &config,
            location: &location,
            build,
            store: store.clone(),
        };
        let seen = Seen {
            metrics: Arc::new(Metrics::new()),
            admin: config.admin(),
        };
        let sources = Bringing::of(&sender, &registry, desk, &seen)?;
        if registry.is_empty() && sources.is_empty() {
            return Err(ServiceError::NothingToServe);
        }
        Ok(Self {
            admin: Listening::of(&config)?,
            metrics: seen.metrics,
            sources,
            config,
            registry,
            location,
            build,
            store,
        })
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            config: &self.config,
            location: &self.location,
            build: self.build,
            store: self.store.clone(),
        }
    }

    fn orders(&self, node: Option<String>) -> Orders {
        let drain = self.config.drain_timeout().as_millis();
        let mut orders = self.sender().orders();
        orders.stay = Stay::UntilTold {
            drain_ms: u64::try_from(drain).unwrap_or(u64::MAX),
        };
        orders.queues = self.config.queues().to_vec();
        orders.queues.extend(node);
        orders.staff = self.sender().staff_of_service(&self.registry);
        orders
    }

    /// Serves until it is told to end.
    fn serve(self, standing: Standing, wiring: Wiring) -> Result<(), ServiceError> {
        let served = self.serve_in(standing, &wiring.stage, wiring.desk, wiring.inbox);
        wiring.stage.reach(Phase::Ended);
        served
    }

    fn serve_in(
        &self,
        standing: Standing,
        stage: &Arc<Stage>,
        desk: Desk,
        inbox: Inbox,
    ) -> Result<(), ServiceError> {
        let sender = self.sender();
        sender.register(&self.registry)?;
        let orders = self.orders(node_of(&self.location)?);
        tracing::info!(
            program = orders.program,
            state = %self.location,
            workers = orders.slots,
            queues = ?self.config.queues(),
            dispatchers = self.registry.iter().count(),
            "service starts"
        );
        let metrics = Arc::clone(&self.metrics);
        let board = Arc::new(Board {
            program: orders.program.clone(),
            build: self.build.id.clone(),
            queues: self.config.queues().to_vec(),
            drain: self.config.drain_timeout(),
            desk,
            store: self.store.clone(),
            metrics: Arc::clone(&metrics),
            sources: self.sources.reports(),
            reset_sources: self.sources.resets(),
        });
        let (listener, listeners) = channel();
        let hatch = control::Hatch::new().map_err(ServiceError::failed)?;
        let told = Arc::clone(stage);
        let ties = Ties {
            tell: Box::new(move |turn| {
                if let Turn::Ready(directory) = &turn {
                    // The service answers before anybody is told that it is ready.
                    let _ = listener.send(control::bind(directory));
                }
                told.turn(turn);
            }),
            inbox,
            standing,
            metrics: Arc::clone(&metrics),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| schedules::follow(&sender, &self.registry, stage, &metrics));
            scope.spawn(|| self.sources.follow(stage));
            let (hatch, board) = (&hatch, &board);
            scope.spawn(|| self.admin.serve(board));
            scope.spawn(move || match listeners.recv() {
                Ok(Ok(listener)) => control::serve(&listener, board, hatch),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the service cannot be asked anything: no control socket");
                }
                Err(_) => {}
            });
            // Whatever becomes of the supervisor: the others would wait for its end for ever.
            let _over = OnEnd(|| {
                stage.reach(Phase::Ended);
                hatch.close();
                self.admin.close();
            });
            supervisor::run(&orders, None, Some(ties))
        })?;
        tracing::info!("service ended");
        Ok(())
    }
}

/// Does something at the end of a scope, also when that is a panic.
struct OnEnd<F: Fn()>(F);

impl<F: Fn()> Drop for OnEnd<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// The label of jobs that only services of this folder run; none where nobody else could.
fn node_of(location: &StoreLocation) -> Result<Option<String>, ServiceError> {
    store::node_label(location.file(), location.target()).map_err(ServiceError::failed)
}
