//! The layers of a configuration, put on top of each other: file, env file, environment, flags.
//!
//! Problems of all layers are told at once, so each one says where it stands; only a file that
//! cannot be read at all comes alone.

use std::path::{Path, PathBuf};

use super::env_file::{Entry, EnvFile};
use super::error::one_line;
use super::keys::{Key, Mistake, PLAIN, Site, Variable};
use super::origin::Origin;
use super::reference::ENV_FILE_VARIABLE;
use super::surroundings::{CONFIG_VARIABLE, Surroundings};
use super::{Config, ConfigError, ConfigProblem, OptionValue, Search, location};

/// Names the level of a log as well, for whoever writes it: a mistake in it is told in the log,
/// and stops nobody.
const LENIENT: &str = "DISPATCHER_LOG";

impl Config {
    /// Reads the configuration as `search` and `surroundings` say.
    pub(crate) fn load(
        app: impl Into<String>,
        surroundings: &Surroundings,
        search: Search<'_>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::new(app);
        location::check_app(&config.app)?;
        let mut problems = Problems::default();
        let env_file = env_file(surroundings, search, &mut problems)?;
        if let Some(path) = file(&config.app, surroundings, search, env_file.as_ref()) {
            problems.take(config.read_file(&path, &surroundings.directory))?;
        }
        for (section, key, variable) in variables() {
            if let Some(file) = &env_file
                && let Some(entry) = file.value(variable.name)
            {
                let site = site_of(file, entry);
                let told = config.set(section, key, &variable.read(&entry.value), &site);
                problems.of_env_file(&file.path, entry.line, told);
            }
            if let Some(text) = surroundings.variable(variable.name) {
                let site = Site {
                    folder: &surroundings.directory,
                    origin: Origin::Variable(variable.name),
                };
                // What is no text fits nothing, and is told as it is.
                let value = variable.read(&text.to_string_lossy());
                let told = config.set(section, key, &value, &site);
                if told.is_ok() || variable.name != LENIENT {
                    problems.of_variable(variable.name, told);
                }
            }
        }
        config.env_file = env_file.map(|file| file.path);
        problems.none_or_else(config)
    }

    /// Sets one value, as a flag of the command line says.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub(crate) fn set_by_flag(
        &mut self,
        section: &[&str],
        name: &str,
        value: &OptionValue,
        flag: &'static str,
    ) -> Result<(), String> {
        let site = Site {
            folder: Path::new("/"),
            origin: Origin::Flag(flag),
        };
        let keys = PLAIN.iter().filter(|(place, _)| *place == section);
        let key = keys
            .flat_map(|(_, keys)| *keys)
            .find(|key| key.name == name);
        let key = key.expect("invariant: a flag sets a key of the table");
        self.set(section, key, value, &site)
            .map_err(|mistake| match mistake {
                Mistake::Value(why) => why,
                Mistake::Whole { what, .. } => what,
            })
    }

    /// Sets one value, and remembers who did.
    pub(super) fn set(
        &mut self,
        section: &[&str],
        key: &Key<Self>,
        value: &OptionValue,
        site: &Site<'_>,
    ) -> Result<(), Mistake> {
        (key.set)(self, value, site).map_err(|mistake| match mistake {
            Mistake::Value(why) => Mistake::Whole {
                what: format!("`{}` {why}", key.name),
                todo: String::new(),
            },
            Mistake::Whole { .. } => mistake,
        })?;
        let parts = [section, &[key.name]].concat();
        self.origins.set(&parts, site.origin.clone());
        Ok(())
    }
}

/// Every key that has a variable.
fn variables() -> impl Iterator<Item = (&'static [&'static str], &'static Key<Config>, Variable)> {
    PLAIN.iter().flat_map(|(section, keys)| {
        keys.iter()
            .filter_map(move |key| Some((*section, key, key.variable?)))
    })
}

fn site_of<'a>(file: &'a EnvFile, entry: &Entry) -> Site<'a> {
    Site {
        folder: file.folder(),
        origin: Origin::EnvFile {
            path: file.path.clone(),
            line: entry.line,
        },
    }
}

/// The env file that a flag or a variable names.
fn env_file(
    surroundings: &Surroundings,
    search: Search<'_>,
    problems: &mut Problems,
) -> Result<Option<EnvFile>, ConfigError> {
    let variable = || surroundings.variable(ENV_FILE_VARIABLE).map(Path::new);
    let Some(path) = search.env_file.or_else(variable) else {
        return Ok(None);
    };
    let path = surroundings.directory.join(path);
    let read = EnvFile::read(&path);
    problems.env_file = Some(path);
    problems.take(read)
}

/// The configuration file: the flag's, the variable's, the env file's, or a known place's.
fn file(
    app: &str,
    surroundings: &Surroundings,
    search: Search<'_>,
    env_file: Option<&EnvFile>,
) -> Option<PathBuf> {
    let is_named = search.explicit.is_some() || surroundings.variable(CONFIG_VARIABLE).is_some();
    let named = env_file.filter(|_| !is_named);
    let named =
        named.and_then(|file| Some(file.folder().join(&file.value(CONFIG_VARIABLE)?.value)));
    named.or_else(|| surroundings.config_file(app, search))
}

/// What is wrong, of all layers.
#[derive(Default)]
struct Problems {
    env_file: Option<PathBuf>,
    /// The configuration file, once it has problems.
    file: Option<PathBuf>,
    of_file: Vec<ConfigProblem>,
    of_env_file: Vec<ConfigProblem>,
    of_variables: Vec<(&'static str, ConfigProblem)>,
}

impl Problems {
    /// Keeps the problems of a file, and goes on.
    fn take<T>(&mut self, read: Result<T, ConfigError>) -> Result<Option<T>, ConfigError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(ConfigError::Problems { path, problems }) if path == self.env_file => {
                self.of_env_file = problems;
                Ok(None)
            }
            Err(ConfigError::Problems { path, problems }) => {
                self.file = path;
                self.of_file = problems;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn of_env_file(&mut self, path: &Path, line: usize, told: Result<(), Mistake>) {
        debug_assert_eq!(
            self.env_file.as_deref(),
            Some(path),
            "there is one env file"
        );
        self.of_env_file.extend(problem(Some(line), told));
    }

    fn of_variable(&mut self, name: &'static str, told: Result<(), Mistake>) {
        self.of_variables
            .extend(problem(None, told).map(|problem| (name, problem)));
    }

    /// The configuration, unless there is a problem.
    fn none_or_else(mut self, config: Config) -> Result<Config, ConfigError> {
        if self.of_file.is_empty() && self.of_env_file.is_empty() {
            if self.of_variables.is_empty() {
                return Ok(config);
            }
            if let [(_, _)] = self.of_variables[..]
                && let Some((name, problem)) = self.of_variables.pop()
            {
                return Err(ConfigError::Variable { name, problem });
            }
        }
        self.of_env_file.sort_by_key(|problem| problem.line);
        let only_env_file = self.of_file.is_empty() && self.of_variables.is_empty();
        if only_env_file {
            return Err(ConfigError::Problems {
                path: self.env_file,
                problems: self.of_env_file,
            });
        }
        let env_file = self.env_file.unwrap_or_default();
        let of_env_file = self.of_env_file.into_iter().map(|problem| {
            let line = problem.line.unwrap_or(1);
            ConfigProblem {
                line: None,
                what: one_line(&format!(
                    "{} line {line}: {}",
                    env_file.display(),
                    problem.what
                )),
                todo: problem.todo,
            }
        });
        let of_variables = self
            .of_variables
            .into_iter()
            .map(|(name, problem)| ConfigProblem {
                what: format!("{name}: {}", problem.what),
                ..problem
            });
        Err(ConfigError::Problems {
            path: self.file,
            problems: of_variables
                .chain(of_env_file)
                .chain(self.of_file)
                .collect(),
        })
    }
}

fn problem(line: Option<usize>, told: Result<(), Mistake>) -> Option<ConfigProblem> {
    let (what, todo) = match told.err()? {
        Mistake::Value(why) => (why, String::new()),
        Mistake::Whole { what, todo } => (what, todo),
    };
    Some(ConfigProblem {
        line,
        what: one_line(&what),
        todo: one_line(&todo),
    })
}
