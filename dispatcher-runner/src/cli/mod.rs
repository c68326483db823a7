//! The commands of the command line, for an application's binary and the generic one.
//!
//! A command sees the store, the registry and a [`Host`]; it starts no process and touches no
//! engine. Whoever is told a terminal state is told it after [`Store::sync`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Definition, JobId, Options, Registry};

use crate::client::TickReport;
use crate::config::{Config, Overrides, Search, StoreLocation, Surroundings, WorkingDirectory};
use crate::control::{Answer, ControlError, Request};
use crate::process::KillingUnit;
use crate::store::{Build, Store, StoreError, SupervisorRow, UnixMs};

mod arguments;
mod commands;
mod completions;
mod error;
mod format;
mod generic;
mod grammar;
mod help;
mod ids;
mod interrupts;
mod layout;
mod live;
mod services;
mod session;
mod terminal;

#[cfg(test)]
mod tests;

use arguments::Arguments;
use grammar::{Binary, CommandName};
use session::Session;

pub use commands::{Bench, BenchForm, BenchOptions, BenchSubject};

pub(crate) use error::{CliError, Done, Stop, exit};
pub(crate) use interrupts::Interrupts;
pub(crate) use terminal::Terminal;

/// Everything that the command line works with.
pub(crate) struct Environment<'a> {
    /// Name of the program, as help shows it and as the state's folder is called.
    pub(crate) program: String,
    /// The dispatchers of the program; none in the generic binary.
    pub(crate) registry: Registry,
    /// What only the generic binary can do.
    pub(crate) bench: Option<Bench>,
    /// Names and weights of the sources that are linked in, the heavier first.
    pub(crate) sources: Vec<(&'static str, i32)>,
    /// A configuration made in code; files and variables are not asked then.
    pub(crate) config: Option<Config>,
    pub(crate) surroundings: Surroundings,
    pub(crate) terminal: Terminal,
    pub(crate) interrupts: Interrupts,
    /// Absolute path of the program, as it was called.
    pub(crate) image: PathBuf,
    /// The running image.
    pub(crate) build: Option<Build>,
    /// The wall clock.
    pub(crate) now: fn() -> UnixMs,
    pub(crate) host: &'a mut dyn Host,
}

impl Environment<'_> {
    fn binary(&self) -> Binary {
        match self.bench {
            Some(_) => Binary::Generic,
            None => Binary::Application,
        }
    }
}

/// What the command line needs of the rest of the program.
pub(crate) trait Host {
    /// Opens the store, creating it where there is none.
    fn open_store(&mut self, location: &StoreLocation) -> Result<Box<dyn Store>, StoreError>;

    /// Whether there is a state; also when that cannot be told, which opening it will explain.
    fn has_state(&self, location: &StoreLocation) -> bool;

    /// Submits a job durably, and makes sure that somebody runs it.
    fn submit(&mut self, state: &State<'_>, request: &JobRequest)
    -> Result<SubmittedJob, CliError>;

    /// Wakes a supervisor that has something new to do.
    fn wake(&mut self, supervisor: &SupervisorRow);

    /// Whether the supervisor of a row still lives.
    fn is_alive(&mut self, supervisor: &SupervisorRow) -> bool;

    /// Whether a living supervisor is a service, which answers at its control socket.
    fn is_service(&mut self, supervisor: &SupervisorRow) -> bool;

    /// Asks a service, and waits for the answer.
    fn control(
        &mut self,
        supervisor: &SupervisorRow,
        request: Request,
    ) -> Result<Answer, ControlError>;

    /// The systemd service that kills a living supervisor, or its jobs; none when that is safe.
    fn killing_unit(&mut self, supervisor: &SupervisorRow) -> Option<KillingUnit>;

    /// Wakes whoever is open, and starts a supervisor when there is work that nobody serves.
    fn wake_all(&mut self, state: &State<'_>);

    /// Starts a supervisor when there is none, for a job that is waited for.
    fn keep_served(&mut self, state: &State<'_>, dispatcher: &str, queue: &str);

    /// Decides the ticks of the program's schedules that have passed, and submits their jobs.
    fn tick(&mut self, state: &State<'_>, registry: &Registry) -> Result<TickReport, CliError>;

    /// Serves until a signal says otherwise.
    fn serve(&mut self, config: Config) -> Result<(), CliError>;

    /// Waits until something may have changed, at most for `timeout`.
    fn wait(&mut self, timeout: Duration);
}

/// What a command works on.
pub(crate) struct State<'a> {
    pub(crate) config: &'a Config,
    pub(crate) location: &'a StoreLocation,
}

/// A job to be submitted.
#[derive(Debug)]
pub(crate) struct JobRequest {
    pub(crate) definition: &'static Definition,
    /// JSON, as it was typed.
    pub(crate) payload: String,
    pub(crate) options: JobOptions,
    pub(crate) retry_of: Option<JobId>,
}

/// Where the options of a job come from.
#[derive(Debug)]
pub(crate) enum JobOptions {
    /// Declared, then configured, then adjusted by the value, then by these.
    Adjusted {
        /// From the command line.
        overrides: Overrides,
        /// Replaces the payload as identity.
        unique_key: Option<String>,
    },
    /// Those of another job.
    Frozen(Box<Options>),
}

/// A job that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubmittedJob {
    pub(crate) id: JobId,
    /// It is an unfinished one with the same identity; nothing was stored.
    pub(crate) duplicate: bool,
}

/// Runs the command that the arguments (without the program's name) ask for.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment<'_>,
) -> ExitCode {
    ExitCode::from(run_to_code(arguments.into_iter().collect(), environment))
}

fn run_to_code(arguments: Vec<OsString>, mut environment: Environment<'_>) -> u8 {
    let code = match dispatch(arguments, &mut environment) {
        Ok(code) => code,
        Err(Stop::Pipe) => 0,
        Err(Stop::Failed(error)) => {
            environment.terminal.error(&error);
            error.exit
        }
    };
    environment.terminal.clear_progress();
    code
}

fn dispatch(arguments: Vec<OsString>, environment: &mut Environment<'_>) -> Done {
    let binary = environment.binary();
    let parsed = Arguments::parse(arguments.clone(), binary)?;
    let program = environment.program.clone();
    if let Some(command) = parsed.command.filter(|command| !command.is_of(binary)) {
        return Err(generic::only_there(command.name, &program).into());
    }
    if parsed.has("help") && parsed.path("app").is_none() {
        let text = match parsed.command {
            Some(command) => help::of_command(&program, command),
            None => help::overview(&program, binary),
        };
        environment.terminal.print(&text)?;
        return Ok(0);
    }
    if parsed.has("version") && parsed.path("app").is_none() {
        return commands::version(environment, &parsed);
    }
    // Measures Dispatcher itself: neither a configuration nor an application has a part in it.
    let is_bench = parsed.command.is_some_and(|it| it.id == CommandName::Bench);
    if is_bench && parsed.path("app").is_none() {
        return commands::bench(environment, &parsed);
    }
    // Makes what a configuration may be missing.
    let is_secret = parsed
        .command
        .is_some_and(|it| it.id == CommandName::GenerateSecret);
    if is_secret && parsed.path("app").is_none() {
        return commands::generate_secret(environment, &parsed);
    }
    let is_config = parsed
        .command
        .is_some_and(|it| it.id == CommandName::Config);
    if is_config && commands::asks_for_defaults(&parsed) {
        return commands::config_default(environment, &parsed);
    }
    let config = load_config(&parsed, environment)?;
    generic::hand_over(&arguments, &parsed, &config, environment)?;
    let Some(command) = parsed.command else {
        environment
            .terminal
            .note(help::overview(&program, binary).trim_end());
        return Ok(exit::USAGE);
    };
    // The generic binary alone knows none of the dispatchers that sections and aliases name.
    let is_alone = environment.registry.is_empty() && !config.makes_dispatchers();
    let registry = match is_alone {
        true => environment.registry.clone(),
        false => config.resolve(environment.registry.clone())?,
    };
    let location = config.store_in(&environment.surroundings)?;
    let mut session = Session {
        arguments: parsed,
        config,
        location,
        registry,
        environment,
    };
    commands::run(command.id, &mut session)
}

fn load_config(parsed: &Arguments, environment: &Environment<'_>) -> Result<Config, CliError> {
    let explicit = parsed.path("config");
    let env_file = parsed.path("env-file");
    if let (None, None, Some(config)) = (&explicit, &env_file, &environment.config) {
        return Ok(config.clone());
    }
    let search = Search {
        explicit: explicit.as_deref(),
        env_file: env_file.as_deref(),
        working_directory: if environment.registry.is_empty() {
            WorkingDirectory::Searched
        } else {
            WorkingDirectory::Ignored
        },
    };
    let app = match &environment.config {
        Some(config) => config.app(),
        None => &environment.program,
    };
    Ok(Config::load(app, &environment.surroundings, search)?)
}
