//! The service: a supervisor that stays, and everything that brings work to it.
//!
//! It runs until SIGTERM or SIGINT says otherwise: claiming stops at once, what runs has the drain
//! timeout to end and is queued again after that; a second signal does not wait.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::app;
use crate::client::{Sender, SpawnError};
use crate::config::Config;
use crate::log;
use crate::supervisor::{self, Stay, SupervisorError, Turn};

/// Longest time between two looks at the schedules: a configuration or a clock may have changed.
const SCHEDULES_INTERVAL: Duration = Duration::from_secs(30);
/// Time until schedules are looked at again when the store cannot be asked.
const SCHEDULES_AGAIN: Duration = Duration::from_secs(5);

/// A long-lived supervisor of the program's dispatchers, with their schedules.
///
/// [`init`](crate::init) must have been the first line of `main`; whoever calls [`run`](Self::run)
/// gives its thread to the service.
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
}

/// Why a service could not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The program has no dispatchers.
    #[error("there is nothing to serve: this program has no dispatchers")]
    NothingToServe,
    /// The configuration, the state or the program is not as it must be.
    #[error(transparent)]
    Setup(#[from] SpawnError),
    /// Something that it cannot do without failed.
    #[error("the service ended")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SupervisorError> for ServiceError {
    fn from(error: SupervisorError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Service {
    /// A service with this configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Serves until a signal says otherwise; what it has to say goes to standard error.
    ///
    /// # Errors
    /// When there is nothing to serve, or the state cannot be used.
    pub fn run(self) -> Result<(), ServiceError> {
        log::to_stderr(log::Settings::default());
        if app::registry().is_empty() {
            return Err(ServiceError::NothingToServe);
        }
        let registry = self.config.resolve(app::registry().clone());
        let registry = registry.map_err(SpawnError::config)?;
        let location = self.config.store().map_err(SpawnError::config)?;
        let build = app::build()?;
        let store = app::open(location.file()).map_err(SpawnError::from)?;
        let sender = Sender {
            config: &self.config,
            location: &location,
            build,
            store,
        };
        sender.register(&registry)?;
        let drain = self.config.drain_timeout().as_millis();
        let mut orders = sender.orders();
        orders.stay = Stay::UntilTold {
            drain_ms: u64::try_from(drain).unwrap_or(u64::MAX),
        };
        orders.queues = self.config.queues().to_vec();
        tracing::info!(
            program = orders.program,
            state = %location,
            workers = orders.slots,
            queues = ?orders.queues,
            dispatchers = registry.iter().count(),
            "service starts"
        );
        let (turn, turns) = channel();
        std::thread::scope(|scope| {
            let (sender, registry) = (&sender, &registry);
            scope.spawn(move || follow_schedules(sender, registry, &turns));
            supervisor::run(&orders, None, Some(turn))
        })?;
        tracing::info!("service ended");
        Ok(())
    }
}

/// Submits what is due, from the time when jobs are run here until nothing new is to be started.
fn follow_schedules(
    sender: &Sender<'_>,
    registry: &dispatcher_core::Registry,
    turns: &Receiver<Turn>,
) {
    if turns.recv() != Ok(Turn::Ready) {
        return;
    }
    let mut told = Vec::new();
    loop {
        let wait = match sender.tick_in_service(registry) {
            Ok(report) => {
                for (name, tick) in &report.decided {
                    let fate = tick.fate.as_str();
                    tracing::info!(name, tick = tick.tick, fate, "tick");
                }
                if report.problems != told {
                    for problem in &report.problems {
                        tracing::error!(%problem, "a schedule is not followed");
                    }
                    told = report.problems;
                }
                report.next_in.unwrap_or(SCHEDULES_INTERVAL)
            }
            Err(error) => {
                tracing::error!(error = %log::chain(&error), "schedules cannot be followed now");
                SCHEDULES_AGAIN
            }
        };
        match turns.recv_timeout(wait.min(SCHEDULES_INTERVAL)) {
            Err(RecvTimeoutError::Timeout) | Ok(Turn::Ready) => {}
            Ok(Turn::Stopping) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
