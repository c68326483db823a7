//! What an application's owner decides: where the state lies, aliases, overrides, limits.
//!
//! A [`Config`] is a plain value. Nothing outside `surroundings.rs` reads the environment, and a
//! configuration file is either taken whole or refused with every problem it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_core::limits::{FINISHED_AGE_MAX, FINISHED_COUNT_MAX};
use dispatcher_core::{Definition, DispatcherOptions, Options, Registry, RegistryProblem, suggest};

mod checked;
mod error;
mod file;
mod location;
mod options;
mod surroundings;
mod values;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, ConfigProblem};
pub use location::{StoreLocation, StoreOrigin};
pub use values::OptionValue;

pub(crate) use checked::{checked, label_mistake};
use error::one_line;

pub(crate) use options::Overrides;
pub(crate) use surroundings::{CONFIG_VARIABLE, STORE_VARIABLE, Surroundings};

/// Time for running jobs when a service is told to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

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
    store: Option<StoreLocation>,
    aliases: BTreeMap<String, Alias>,
    overrides: BTreeMap<String, Section>,
    retention_age: Duration,
    retention_count: u64,
    workers: Option<u32>,
    queues: Vec<String>,
    drain_timeout: Duration,
}

/// A configured alias.
#[derive(Debug, Clone)]
struct Alias {
    target: String,
    line: Option<usize>,
}

/// Overrides of one dispatcher.
#[derive(Debug, Clone, Default)]
struct Section {
    overrides: Overrides,
    line: Option<usize>,
}

/// Where to look for a configuration file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    /// `--config`.
    pub(crate) explicit: Option<&'a Path>,
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
            store: None,
            aliases: BTreeMap::new(),
            overrides: BTreeMap::new(),
            retention_age: FINISHED_AGE_MAX,
            retention_count: FINISHED_COUNT_MAX,
            workers: None,
            queues: Vec::new(),
            drain_timeout: DRAIN_TIMEOUT,
        }
    }

    /// The configuration that this process's environment and files give the application `app`.
    ///
    /// The file is the first of `$DISPATCHER_CONFIG`, `$XDG_CONFIG_HOME/<app>/dispatcher.toml`
    /// and `/etc/<app>/dispatcher.toml` that exists; none is fine.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong, or when the state location is.
    pub fn from_environment(app: impl Into<String>) -> Result<Self, ConfigError> {
        Self::load(app, &Surroundings::of_process(), Search::default())
    }

    /// Reads the configuration as `search` and `surroundings` say.
    pub(crate) fn load(
        app: impl Into<String>,
        surroundings: &Surroundings,
        search: Search<'_>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::new(app);
        location::check_app(&config.app)?;
        if let Some(path) = surroundings.config_file(&config.app, search) {
            config.read_file(&path, &surroundings.directory)?;
        }
        if let Some(location) = surroundings.store_from_variable()? {
            config.store = Some(location);
        }
        Ok(config)
    }

    /// Puts the state file at `file`; its folder holds everything else that belongs to the state.
    #[must_use]
    pub fn with_store(mut self, file: impl Into<PathBuf>) -> Self {
        self.store = Some(StoreLocation::new(file.into(), StoreOrigin::Code));
        self
    }

    /// Makes `alias` another exact name of the dispatcher `target`.
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<String>, target: impl Into<String>) -> Self {
        let target = target.into();
        self.aliases
            .insert(alias.into(), Alias { target, line: None });
        self
    }

    /// Overrides one option of a dispatcher; option and value as in `#[dispatcher(...)]`.
    ///
    /// # Errors
    /// When there is no such option, or the value does not fit it.
    pub fn with_option(
        mut self,
        dispatcher: &str,
        option: &str,
        value: impl Into<OptionValue>,
    ) -> Result<Self, ConfigError> {
        let section = self.overrides.entry(dispatcher.to_owned()).or_default();
        section
            .overrides
            .set(option, value.into())
            .map_err(|what| ConfigError::Code {
                dispatcher: dispatcher.to_owned(),
                what,
            })?;
        Ok(self)
    }

    /// Keeps finished jobs for `age`, and at most `count` of them per dispatcher.
    #[must_use]
    pub fn with_retention(mut self, age: Duration, count: u64) -> Self {
        self.retention_age = age;
        self.retention_count = count;
        self
    }

    /// Sets the number of worker slots of a supervisor; at least one.
    #[must_use]
    pub fn with_workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers.max(1));
        self
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
            Some(location) => Ok(location.clone()),
            None => surroundings.default_store(&self.app),
        }
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

    /// Time that a service gives its running jobs when it is told to end; then they are stopped and
    /// queued again.
    #[must_use]
    pub fn with_drain_timeout(mut self, time: Duration) -> Self {
        self.drain_timeout = time;
        self
    }

    /// Queue labels that a service claims; none is all. [`resolve`](Self::resolve) refuses what is
    /// no label.
    #[must_use]
    pub fn with_queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// Queue labels that the service claims; empty is all.
    #[must_use]
    pub fn queues(&self) -> &[String] {
        &self.queues
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
        if let Some(section) = self.overrides.get(name) {
            section.overrides.apply(job, dispatcher);
        }
    }

    /// Adds the configured aliases to a registry, and checks that every section of a dispatcher
    /// names one, and that labels of the service are labels.
    ///
    /// # Errors
    /// All aliases, sections and labels that do not fit, at once.
    pub fn resolve(&self, registry: Registry) -> Result<Registry, ConfigError> {
        let mut problems: Vec<_> = self
            .overrides
            .iter()
            .filter_map(|(name, section)| {
                match registry.iter().find(|known| known.name == name.as_str()) {
                    Some(definition) => schedule_problem(definition, section),
                    None => Some(unknown_section(&registry, name, section)),
                }
            })
            .chain(self.queues.iter().filter_map(|label| odd_label(label)))
            .collect();
        let aliases = self
            .aliases
            .iter()
            .map(|(alias, to)| (alias.clone(), to.target.clone()))
            .collect();
        let resolved = match registry.with_aliases(aliases) {
            Ok(registry) => registry,
            Err(error) => {
                problems.extend(error.problems().iter().map(|it| self.alias_problem(it)));
                Registry::default()
            }
        };
        if problems.is_empty() {
            return Ok(resolved);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Problems {
            path: self.file.clone(),
            problems,
        })
    }

    fn alias_problem(&self, problem: &RegistryProblem) -> ConfigProblem {
        let word = match problem {
            RegistryProblem::Empty => "",
            RegistryProblem::Taken { word, .. } => word,
            RegistryProblem::UnknownTarget { alias, .. } => alias,
        };
        ConfigProblem {
            line: self.aliases.get(word).and_then(|alias| alias.line),
            what: one_line(&problem.to_string().replace('\n', "; ")),
            todo: one_line(&problem.advice()),
        }
    }
}

fn unknown_section(registry: &Registry, name: &str, section: &Section) -> ConfigProblem {
    let meant = suggest(name, registry.iter().map(|known| known.name));
    ConfigProblem {
        line: section.line,
        what: one_line(&format!(
            "[dispatchers.{name}] names no dispatcher of this program"
        )),
        todo: match meant {
            Some(meant) => format!("did you mean [dispatchers.{meant}]?"),
            None => "the command `list` shows every dispatcher".to_owned(),
        },
    }
}

/// A label that code gave the service, and that is none.
fn odd_label(label: &str) -> Option<ConfigProblem> {
    label_mistake(label).map(|mistake| ConfigProblem {
        line: None,
        what: one_line(&format!("the service cannot claim {label:?}: {mistake}")),
        todo: "correct the labels given to `with_queues`".to_owned(),
    })
}

/// What does not fit between the overrides of a schedule and what was declared.
fn schedule_problem(definition: &Definition, section: &Section) -> Option<ConfigProblem> {
    let (mut job, mut dispatcher) = ((definition.options)(), (definition.dispatcher_options)());
    section.overrides.apply(&mut job, &mut dispatcher);
    let name = definition.name;
    let line = section.line;
    let lonely = section.overrides.of_schedule();
    if dispatcher.schedule.is_none()
        && !section.overrides.has("schedule")
        && let [first, ..] = lonely[..]
    {
        return Some(ConfigProblem {
            line,
            what: format!("[dispatchers.{name}] sets `{first}`, but {name} has no schedule"),
            todo: "set `schedule` as well".to_owned(),
        });
    }
    if dispatcher.schedule.is_some() && definition.default_payload.is_none() {
        return Some(ConfigProblem {
            line,
            what: format!("[dispatchers.{name}] schedules {name}, which has no default payload"),
            todo: "derive `Default` for it, so that a tick knows what to run".to_owned(),
        });
    }
    None
}
