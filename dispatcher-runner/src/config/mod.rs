//! What an application's owner decides: where the state lies, aliases, overrides, limits.
//!
//! A [`Config`] is a plain value. Nothing outside `surroundings.rs` reads the environment, and a
//! configuration file is either taken whole or refused with every problem it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_core::limits::{FINISHED_AGE_MAX, FINISHED_COUNT_MAX};
use dispatcher_core::{DispatcherOptions, Isolation, Options, Registry};

mod checked;
mod definitions;
mod env_file;
mod error;
mod file;
mod given;
mod keys;
mod layers;
mod location;
mod log;
mod options;
mod origin;
mod pools;
mod reference;
mod remote;
mod resolve;
mod shown;
mod sources;
mod surroundings;
mod values;
mod work;

#[cfg(test)]
mod tests;

use crate::pool::PoolConfig;

pub use error::{ConfigError, ConfigProblem};
pub use location::StoreLocation;
pub use log::{LogFormat, LogLevel, UnknownLogWord};
pub use origin::Origin;
pub use sources::{PoolOf, SourceSection};
pub use values::OptionValue;
pub use work::{CommandConfig, Configured, PAYLOAD_FILE, PayloadBy, WorkOf};

pub(crate) use checked::{checked, label_mistake};

pub(crate) use options::Overrides;
pub(crate) use reference::{default_file, page};
pub(crate) use shown::Shown;
pub(crate) use surroundings::{CONFIG_VARIABLE, STORE_VARIABLE, Surroundings};

#[cfg(feature = "remote")]
pub(crate) use remote::RemoteConfig;
#[cfg(not(feature = "remote"))]
use remote::RemoteConfig;

use origin::Origins;

/// Time for running jobs when a service is told to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a machine may be out of touch with the database that others use, too: longer than a
/// way that swallows everything takes to be noticed.
const LEASE: Duration = Duration::from_secs(60);
/// Renewals are a fourth of it apart, and each may take its time.
const LEASE_MIN: Duration = Duration::from_secs(5);

/// Name of a configuration file.
pub(crate) const FILE_NAME: &str = "dispatcher.toml";

/// The configuration of an application, from code, a file and the environment.
///
/// ```
/// use dispatcher_runner::Config;
/// let config = Config::new("myapp")
///     .with_store("/var/lib/myapp/state.db")
///     .with_option("Backup", "timeout", "5m")?;
/// assert_eq!(config.app(), "myapp");
/// # Ok::<(), dispatcher_runner::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    app: String,
    program: Option<PathBuf>,
    file: Option<PathBuf>,
    env_file: Option<PathBuf>,
    store: Option<StoreLocation>,
    aliases: BTreeMap<String, String>,
    overrides: BTreeMap<String, Overrides>,
    configured: BTreeMap<String, Configured>,
    pools: BTreeMap<String, PoolConfig>,
    sources: BTreeMap<String, SourceSection>,
    lease: Duration,
    retention_age: Duration,
    retention_count: u64,
    workers: Option<u32>,
    queues: Vec<String>,
    drain_timeout: Duration,
    admin: Option<SocketAddr>,
    log_level: LogLevel,
    log_format: LogFormat,
    remote: RemoteConfig,
    origins: Origins,
}

/// Where to look for a configuration file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    /// `--config`.
    pub(crate) explicit: Option<&'a Path>,
    /// `--env-file`.
    pub(crate) env_file: Option<&'a Path>,
    /// Whether the working directory is searched as well.
    pub(crate) working_directory: WorkingDirectory,
}

/// Whether `./dispatcher.toml` counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum WorkingDirectory {
    /// It does: the generic binary.
    Searched,
    /// It does not: an application of its own.
    #[default]
    Ignored,
}

impl Config {
    /// A configuration with every default, for the application `app`.
    #[must_use]
    pub fn new(app: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            program: None,
            file: None,
            env_file: None,
            store: None,
            aliases: BTreeMap::new(),
            overrides: BTreeMap::new(),
            configured: BTreeMap::new(),
            pools: BTreeMap::new(),
            sources: BTreeMap::new(),
            lease: LEASE,
            retention_age: FINISHED_AGE_MAX,
            retention_count: FINISHED_COUNT_MAX,
            workers: None,
            queues: Vec::new(),
            drain_timeout: DRAIN_TIMEOUT,
            admin: None,
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            remote: RemoteConfig::default(),
            origins: Origins::default(),
        }
    }

    /// The configuration that this process's environment and files give the application `app`.
    ///
    /// The file is the first of `$DISPATCHER_CONFIG`, `$XDG_CONFIG_HOME/<app>/dispatcher.toml`
    /// and `/etc/<app>/dispatcher.toml` that exists; none is fine. Variables such as
    /// `$DISPATCHER_WORKERS` count more, and so does the env file that `$DISPATCHER_ENV_FILE`
    /// names; the reference lists them.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong, or when the state location is.
    pub fn from_environment(app: impl Into<String>) -> Result<Self, ConfigError> {
        Self::load(app, &Surroundings::of_process(), Search::default())
    }

    /// Name of the application; its state lies in a folder of this name.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The application binary that a generic `dispatcher-runner` runs.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The env file that was read.
    #[must_use]
    pub fn env_file(&self) -> Option<&Path> {
        self.env_file.as_deref()
    }

    /// Where the state lies: as configured, or the default place for this user.
    ///
    /// # Errors
    /// When nothing is configured and there is no default place: no HOME and no passwd entry.
    pub fn store(&self) -> Result<StoreLocation, ConfigError> {
        self.store_in(&Surroundings::of_process())
    }

    pub(crate) fn store_in(
        &self,
        surroundings: &Surroundings,
    ) -> Result<StoreLocation, ConfigError> {
        match &self.store {
            Some(location) if location.target().is_some() => {
                let states = surroundings.default_store(&self.app)?;
                Ok(location.clone().in_folder(states.directory()))
            }
            Some(location) => Ok(location.clone()),
            None => surroundings.default_store(&self.app),
        }
    }

    /// How long claims in a PostgreSQL store last unless they are renewed, in milliseconds.
    pub(crate) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a finished job is kept.
    #[must_use]
    pub fn retention_age(&self) -> Duration {
        self.retention_age
    }

    /// How many finished jobs of a dispatcher are kept.
    #[must_use]
    pub fn retention_count(&self) -> u64 {
        self.retention_count
    }

    /// Worker slots of a supervisor; `None` is twice the number of CPUs.
    #[must_use]
    pub fn workers(&self) -> Option<u32> {
        self.workers
    }

    /// Time that a service gives its running jobs when it is told to end.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// Queue labels that the service claims; empty is all.
    #[must_use]
    pub fn queues(&self) -> &[String] {
        &self.queues
    }

    /// Where metrics and health are answered: a loopback address, or nowhere.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The least severe level that is written.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.log_level
    }

    /// How a line of the log looks.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// The pools that have a section, by name. [`DEFAULT_POOL`](crate::DEFAULT_POOL) is there
    /// without one.
    #[must_use]
    pub fn pools(&self) -> &BTreeMap<String, PoolConfig> {
        &self.pools
    }

    /// The section of a source; without one it is not wanted.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&SourceSection> {
        self.sources.get(name)
    }

    /// The other side of jobs over HTTP.
    #[cfg(feature = "remote")]
    pub(crate) fn remote(&self) -> &RemoteConfig {
        &self.remote
    }

    /// The sections of sources, by name.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &SourceSection)> {
        self.sources
            .iter()
            .map(|(name, section)| (name.as_str(), section))
    }

    /// The sections of dispatchers that name a command or a pool. One whose name is that of a
    /// compiled-in dispatcher says in which pool this runs, and makes no other; see
    /// [`pool_of`](Self::pool_of).
    #[must_use]
    pub fn configured(&self) -> &BTreeMap<String, Configured> {
        &self.configured
    }

    /// The pool that the section of a dispatcher names.
    #[must_use]
    pub fn pool_of(&self, name: &str) -> Option<&str> {
        match &self.configured.get(name)?.work {
            WorkOf::Pool(pool) => Some(pool),
            WorkOf::Command(_) => None,
        }
    }

    /// Every label of a queue that somebody has declared: the default one, those of dispatchers,
    /// those of `[service] queues`.
    pub(crate) fn known_queues(&self, registry: &Registry) -> BTreeSet<String> {
        let of_dispatchers = registry.iter().map(|definition| {
            let mut job = (definition.options)();
            let mut dispatcher = (definition.dispatcher_options)();
            self.apply(definition.name, &mut job, &mut dispatcher);
            job.queue
        });
        let default = Options::default().queue;
        let of_service = self.queues.iter().cloned();
        of_dispatchers.chain(of_service).chain([default]).collect()
    }

    /// Applies the overrides of the dispatcher `name` on its declared options.
    pub fn apply(&self, name: &str, job: &mut Options, dispatcher: &mut DispatcherOptions) {
        match self.configured.get(name).map(|configured| &configured.work) {
            Some(WorkOf::Pool(_)) => job.isolation = Isolation::Pool,
            Some(WorkOf::Command(_)) => job.isolation = Isolation::Exec,
            None => {}
        }
        if let Some(overrides) = self.overrides.get(name) {
            overrides.apply(job, dispatcher);
        }
    }
}
