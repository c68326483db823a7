//! The program's `main` when it has none of its own: the command line over this program's store.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::Registry;

use crate::app;
use crate::cli::{
    self, Bench, CliError, Environment, Host, JobOptions, JobRequest, State, SubmittedJob, Terminal,
};
use crate::client::{Request, Sender, SpawnError, TickReport};
use crate::config::{Config, StoreLocation, Surroundings};
use crate::control::{self, Answer, ControlError, Request as ControlRequest};
use crate::process::{self, KillingUnit};
use crate::service::{Service, ServiceError};
use crate::store::{self, Store, StoreClient, StoreError, SupervisorRow};
use crate::supervisor;

/// A whole program: [`init`](crate::init), then the command that the arguments ask for.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     dispatcher_runner::main()
/// }
/// ```
#[must_use]
pub fn main() -> ExitCode {
    app::init();
    command_line(app::registry().clone(), None)
}

/// The generic binary's `main`. Its own dispatchers are for `bench`, and nobody else is told of
/// them.
#[doc(hidden)]
#[must_use]
pub fn generic_main(bench: Bench) -> ExitCode {
    app::init();
    command_line(Registry::default(), Some(bench))
}

fn command_line(registry: Registry, bench: Option<Bench>) -> ExitCode {
    crate::log::warnings_to_stderr();
    let surroundings = Surroundings::of_process();
    let environment = Environment {
        program: app::program_name(),
        bench,
        sources: sources(),
        config: app::given_config().cloned(),
        terminal: Terminal::of_process(&surroundings),
        surroundings,
        interrupts: cli::Interrupts::of_process(),
        image: app::image(),
        build: app::build().ok().cloned(),
        now,
        host: &mut ThisProgram {
            store: None,
            served: registry.clone(),
        },
        registry,
    };
    cli::run(std::env::args_os().skip(1), environment)
}

/// Sources that share a name are no reason to refuse every command: a service does.
#[cfg(feature = "service")]
fn sources() -> Vec<(&'static str, i32)> {
    let sources = crate::sources::Sources::of_process();
    sources.map_or_else(|_| Vec::new(), |sources| sources.names())
}

#[cfg(not(feature = "service"))]
fn sources() -> Vec<(&'static str, i32)> {
    Vec::new()
}

fn now() -> i64 {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)
}

struct ThisProgram {
    /// Opened at the first submission.
    store: Option<StoreClient>,
    /// The dispatchers that it runs; those of the generic binary are for `bench` only.
    served: Registry,
}

impl ThisProgram {
    fn sender<'a>(&mut self, state: &State<'a>) -> Result<Sender<'a>, SpawnError> {
        let store = match &self.store {
            Some(store) => store.clone(),
            None => self.store.insert(app::open(state.location)?).clone(),
        };
        Ok(Sender {
            config: state.config,
            location: state.location,
            build: app::build()?,
            store,
        })
    }

    fn send(
        &mut self,
        state: &State<'_>,
        request: &JobRequest,
    ) -> Result<SubmittedJob, SpawnError> {
        let sender = self.sender(state)?;
        let request = prepare(&sender, request)?;
        let sent = sender.submit(vec![request])?;
        let sent = sent.first().expect("invariant: one request has one answer");
        Ok(SubmittedJob {
            id: sent.id,
            duplicate: sent.duplicate,
        })
    }
}

fn prepare(sender: &Sender<'_>, job: &JobRequest) -> Result<Request, SpawnError> {
    let mut request = Request::checked(job.definition, job.payload.clone(), sender.config)?;
    match &job.options {
        JobOptions::Adjusted {
            overrides,
            unique_key,
        } => {
            overrides.apply(
                &mut request.options,
                &mut (job.definition.dispatcher_options)(),
            );
            request.options.unique_key = unique_key.clone().or(request.options.unique_key);
        }
        JobOptions::Frozen(options) => request.options = (**options).clone(),
    }
    request.retry_of = job.retry_of;
    Ok(request)
}

impl Host for ThisProgram {
    fn open_store(&mut self, location: &StoreLocation) -> Result<Box<dyn Store>, StoreError> {
        store::open(location.file(), location.target())
    }

    fn has_state(&self, location: &StoreLocation) -> bool {
        if location.target().is_some() {
            return true;
        }
        let found = location.file().metadata();
        !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn submit(
        &mut self,
        state: &State<'_>,
        request: &JobRequest,
    ) -> Result<SubmittedJob, CliError> {
        self.send(state, request)
            .map_err(|error| refused(&error, state.location))
    }

    fn wake(&mut self, supervisor: &SupervisorRow) {
        supervisor::wake(&supervisor.directory);
    }

    fn is_alive(&mut self, supervisor: &SupervisorRow) -> bool {
        supervisor::is_alive(supervisor)
    }

    fn is_service(&mut self, supervisor: &SupervisorRow) -> bool {
        control::has_socket(&supervisor.directory)
    }

    fn control(
        &mut self,
        supervisor: &SupervisorRow,
        request: ControlRequest,
    ) -> Result<Answer, ControlError> {
        control::ask(&supervisor.directory, request)
    }

    fn killing_unit(&mut self, supervisor: &SupervisorRow) -> Option<KillingUnit> {
        process::killing_unit(supervisor.pid, supervisor::ROLE)
    }

    fn wake_all(&mut self, state: &State<'_>) {
        let woken = self
            .sender(state)
            .and_then(|sender| sender.wake_all(&self.served));
        if let Err(error) = woken {
            tracing::error!(%error, "nobody was woken; the next submission sees to it");
        }
    }

    fn keep_served(&mut self, state: &State<'_>, dispatcher: &str, queue: &str) {
        if let Ok(sender) = self.sender(state) {
            sender.keep_served(dispatcher, queue);
        }
    }

    fn tick(&mut self, state: &State<'_>, registry: &Registry) -> Result<TickReport, CliError> {
        self.sender(state)
            .and_then(|sender| sender.tick(registry))
            .map_err(|error| refused(&error, state.location))
    }

    fn serve(&mut self, config: Config) -> Result<(), CliError> {
        let state = config.store().map(|location| location.to_string());
        Service::new(config)
            .with_registry(self.served.clone())
            .run()
            .map_err(|error| {
                let (exit, why, todo) = match &error {
                    ServiceError::NothingToServe => (
                        cli::exit::USAGE,
                        "a service runs the dispatchers that are linked into its program"
                            .to_owned(),
                        "add one, or see the guide on registration".to_owned(),
                    ),
                    ServiceError::Setup(setup) => {
                        let state = state.unwrap_or_else(|error| error.to_string());
                        let why = format!("nothing was started; the state is {state}");
                        (exit_of(setup), why, setup.advice())
                    }
                    ServiceError::Admin { source, .. } => (
                    cli::exit::CONFIGURATION,
                    source.to_string(),
                    "choose a free loopback address, as in [service] admin = \"127.0.0.1:9090\""
                        .to_owned(),
                ),
                ServiceError::Failed(cause) => (
                        cli::exit::STORE,
                        crate::log::chain(cause.as_ref()),
                        "what it ran is taken over by the next supervisor; see its log".to_owned(),
                    ),
                };
                CliError::new(exit, error.to_string(), why, todo)
            })
    }

    fn wait(&mut self, timeout: Duration) {
        std::thread::sleep(timeout);
    }
}

fn exit_of(error: &SpawnError) -> u8 {
    use crate::cli::exit;
    match error {
        SpawnError::QueueFull { .. } => exit::QUEUE_FULL,
        SpawnError::MissingRequirement { .. } | SpawnError::Config(_) => exit::CONFIGURATION,
        SpawnError::PayloadTooLarge { .. }
        | SpawnError::Option { .. }
        | SpawnError::Payload(_)
        | SpawnError::Unknown(_)
        | SpawnError::NotInitialised
        | SpawnError::ThreadsBeforeInit { .. } => exit::USAGE,
        SpawnError::Store(_) => exit::STORE,
    }
}

fn refused(error: &SpawnError, location: &StoreLocation) -> CliError {
    let exit = exit_of(error);
    let (what, why) = match error {
        SpawnError::Payload(refused) => {
            let what = format!("the payload does not fit {}", refused.dispatcher);
            (what, format!("{}; nothing was stored", refused.reason))
        }
        SpawnError::QueueFull { .. }
        | SpawnError::Store(_)
        | SpawnError::MissingRequirement { .. }
        | SpawnError::Config(_)
        | SpawnError::PayloadTooLarge { .. }
        | SpawnError::Option { .. }
        | SpawnError::Unknown(_)
        | SpawnError::NotInitialised
        | SpawnError::ThreadsBeforeInit { .. } => (error.to_string(), why_refused(error, location)),
    };
    CliError::new(exit, what, why, error.advice())
}

fn why_refused(error: &SpawnError, location: &StoreLocation) -> String {
    match error {
        SpawnError::QueueFull { max_queue, .. } => {
            format!(
                "{max_queue} of its jobs are unfinished, waiting or running; nothing was stored"
            )
        }
        SpawnError::Store(failure) => {
            format!("{}; the state is {location}", crate::log::chain(failure))
        }
        SpawnError::MissingRequirement { .. }
        | SpawnError::Config(_)
        | SpawnError::PayloadTooLarge { .. }
        | SpawnError::Option { .. }
        | SpawnError::Payload(_)
        | SpawnError::Unknown(_)
        | SpawnError::NotInitialised
        | SpawnError::ThreadsBeforeInit { .. } => {
            "the job was checked before anything was stored".to_owned()
        }
    }
}
