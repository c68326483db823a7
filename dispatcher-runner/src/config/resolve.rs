//! What a configuration says, held against the dispatchers that there are.
//!
//! Only here is it known whether a section overrides a compiled-in dispatcher or makes one; and
//! whatever code has set is held to the rules of a file.

use std::collections::BTreeMap;

use dispatcher_core::{
    Definition, DispatcherOptions, Isolation, Options, PayloadKind, Registry, RegistryProblem,
    suggest,
};

use super::checked::label_mistake;
use super::definitions::{Made, definition};
use super::error::one_line;
use super::keys::{Mistake, admin_mistake};
use super::origin::key;
use super::pools::{pool_mistake, pool_name_mistake};
use super::work::{configured_mistake, dispatcher_name_mistake};
use super::{Config, ConfigError, ConfigProblem, Configured, Overrides, PoolOf, WorkOf};
use crate::pool::DEFAULT_POOL;

/// Sources that come with a feature of their name.
const SHIPPED_SOURCES: [&str; 1] = ["ticker"];

impl Config {
    /// Adds the configured dispatchers and aliases to a registry, and checks that every section of
    /// a dispatcher names one or makes one, that pools are there, and that what code has set is
    /// what a file could say.
    ///
    /// # Errors
    /// Everything that does not fit, at once.
    pub fn resolve(&self, registry: Registry) -> Result<Registry, ConfigError> {
        let mut problems = self.of_code();
        for (name, overrides) in &self.overrides {
            let compiled = registry
                .iter()
                .find(|known| known.name == name.as_str() && known.payload == PayloadKind::Fields);
            problems.extend(match (compiled, self.configured.get(name)) {
                (Some(definition), Some(configured)) => {
                    self.assigned(definition, configured, overrides)
                }
                (Some(definition), None) => self.schedule_problem(definition, overrides),
                (None, Some(configured)) => self.made(name, configured, overrides),
                (None, None) => Some(self.unknown_section(&registry, name)),
            });
        }
        let resolved = self.with_names(registry, &mut problems);
        if problems.is_empty() {
            return Ok(resolved);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Problems {
            path: self.file.clone(),
            problems,
        })
    }

    /// Whether there is anything in it that only `resolve` can check without compiled-in
    /// dispatchers.
    pub(crate) fn makes_dispatchers(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Whether it names dispatchers: in aliases, or in sections.
    pub(crate) fn names_dispatchers(&self) -> bool {
        !self.aliases.is_empty() || !self.overrides.is_empty()
    }

    /// Checks that every section of a source names one of these.
    ///
    /// # Errors
    /// All that do not, at once.
    pub fn check_sources(&self, names: &[&str]) -> Result<(), ConfigError> {
        let unknown = self
            .sources
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        let problems = unknown.map(|(name, section)| ConfigProblem {
            line: section.line(),
            what: one_line(&format!(
                "[sources.{}] names no source of this program",
                key(name)
            )),
            todo: match suggest(name, names.iter().copied()) {
                Some(meant) => format!("did you mean [sources.{meant}]?"),
                None if SHIPPED_SOURCES.contains(&name.as_str()) => {
                    format!("build the program with the feature `{name}` of dispatcher-runner")
                }
                None if names.is_empty() => {
                    "it has none; link one, or remove the section".to_owned()
                }
                None => format!("it has {}", names.join(", ")),
            },
        });
        let mut problems: Vec<_> = problems.collect();
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| problem.line);
        let path = self.file.clone();
        Err(ConfigError::Problems { path, problems })
    }

    /// What is wrong with naming this pool, and what to do.
    pub(super) fn pool_problem(&self, pool: &str) -> Option<(String, String)> {
        if pool == DEFAULT_POOL || self.pools.contains_key(pool) {
            return None;
        }
        let known = self.pools.keys().map(String::as_str).chain([DEFAULT_POOL]);
        let todo = match suggest(pool, known) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => match pool_name_mistake(pool) {
                Some(mistake) => mistake,
                None => format!("write a section [pools.{pool}]"),
            },
        };
        Some((format!("there is no pool {pool:?}"), todo))
    }

    /// What code has set, and no file could say.
    fn of_code(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut told = |what: String, todo: &str| {
            problems.push(ConfigProblem {
                line: None,
                what: one_line(&what),
                todo: one_line(todo),
            });
        };
        for label in &self.queues {
            if let Some(mistake) = label_mistake(label) {
                told(
                    format!("the service cannot claim {label:?}: {mistake}"),
                    "correct the labels given to `with_queues`",
                );
            }
        }
        if let Some((address, why)) = self.admin.and_then(|it| Some((it, admin_mistake(it)?))) {
            told(
                format!("`admin` cannot be {address}: {why}"),
                "give `with_admin` one of 127.0.0.1",
            );
        }
        for (name, pool) in &self.pools {
            if let Some(mistake) = pool_name_mistake(name) {
                told(format!("a pool cannot be called {name:?}"), &mistake);
            }
            if let Some(mistake) = pool_mistake(pool) {
                let (what, todo) = in_words(mistake);
                told(format!("pool {name:?}: {what}"), &todo);
            }
        }
        let of_sources =
            self.sources
                .iter()
                .filter_map(|(name, section)| match section.pool()? {
                    PoolOf::Named(pool) => Some((name, self.pool_problem(pool)?)),
                    PoolOf::Inline(_) => None,
                });
        for (name, (what, todo)) in of_sources {
            told(format!("source {name:?}: {what}"), &todo);
        }
        problems
    }

    /// A compiled-in dispatcher that is assigned to a pool.
    fn assigned(
        &self,
        definition: &Definition,
        configured: &Configured,
        overrides: &Overrides,
    ) -> Option<ConfigProblem> {
        let name = definition.name;
        let section = format!("[dispatchers.{}]", key(name));
        let WorkOf::Pool(pool) = &configured.work else {
            let line = self.line_of(name, "command").or(configured.line);
            let what =
                format!("{section} has a `command`, but {name} is compiled into this program");
            return Some(problem(line, what, "give the section another name"));
        };
        if let Some((what, todo)) = self.pool_problem(pool) {
            let line = self.line_of(name, "pool").or(configured.line);
            return Some(problem(line, format!("{section}: {what}"), &todo));
        }
        if !configured.documentation.is_empty() {
            let line = self.line_of(name, "description").or(configured.line);
            let what = format!("{section} has a `description`, but {name} has one in its source");
            return Some(problem(line, what, "leave it out"));
        }
        let mut job = (definition.options)();
        overrides.apply(&mut job, &mut (definition.dispatcher_options)());
        if job.isolation != Isolation::Pool {
            let line = self.line_of(name, "pool").or(configured.line);
            let what = format!(
                "{section} names a pool, but {name} has isolation {}",
                job.isolation.as_str()
            );
            return Some(problem(line, what, "write `isolation = \"pool\"` as well"));
        }
        self.schedule_problem(definition, overrides)
    }

    /// A dispatcher that a section makes.
    fn made(
        &self,
        name: &str,
        configured: &Configured,
        overrides: &Overrides,
    ) -> Option<ConfigProblem> {
        let section = format!("[dispatchers.{}]", key(name));
        let line = configured.line;
        if let Some(mistake) = dispatcher_name_mistake(name) {
            let what = format!("a dispatcher cannot be called {name:?}");
            return Some(problem(line, what, &mistake));
        }
        if let Some(mistake) = configured_mistake(configured) {
            let (what, todo) = in_words(mistake);
            return Some(problem(line, format!("{section}: {what}"), &todo));
        }
        let isolation = match &configured.work {
            WorkOf::Pool(pool) => {
                if let Some((what, todo)) = self.pool_problem(pool) {
                    return Some(problem(line, format!("{section}: {what}"), &todo));
                }
                Isolation::Pool
            }
            WorkOf::Command(_) => Isolation::Exec,
        };
        let mut job = Options {
            isolation,
            ..Options::default()
        };
        overrides.apply(&mut job, &mut DispatcherOptions::default());
        if job.isolation != isolation {
            let line = self.line_of(name, "isolation").or(line);
            let what = format!(
                "{section} runs with isolation {}, and says {}",
                isolation.as_str(),
                job.isolation.as_str()
            );
            return Some(problem(line, what, "leave `isolation` out"));
        }
        self.schedule_problem(self.definition(name, configured), overrides)
    }

    fn definition(&self, name: &str, configured: &Configured) -> &'static Definition {
        let file = self.file.as_ref().filter(|_| configured.line.is_some());
        definition(Made {
            name: name.to_owned(),
            documentation: configured.documentation.clone(),
            file: file.map_or_else(|| "code".to_owned(), |file| file.display().to_string()),
            line: configured
                .line
                .and_then(|line| u32::try_from(line).ok())
                .unwrap_or(0),
        })
    }

    /// The registry with configured dispatchers and aliases, unless there were problems.
    fn with_names(&self, registry: Registry, problems: &mut Vec<ConfigProblem>) -> Registry {
        let compiled = |name: &str| {
            let mut all = registry.iter();
            all.any(|known| known.name == name && known.payload == PayloadKind::Fields)
        };
        let made: Vec<_> = self
            .configured
            .iter()
            .filter(|(name, _)| !compiled(name) && dispatcher_name_mistake(name).is_none())
            .map(|(name, configured)| self.definition(name, configured))
            .collect();
        let registry = match registry.clone().with_definitions(made) {
            Ok(registry) => registry,
            Err(error) => {
                problems.extend(error.problems().iter().map(|it| self.name_problem(it)));
                registry
            }
        };
        let aliases: BTreeMap<_, _> = self.aliases.clone();
        match registry.with_aliases(aliases) {
            Ok(registry) => registry,
            Err(error) => {
                problems.extend(error.problems().iter().map(|it| self.name_problem(it)));
                Registry::default()
            }
        }
    }

    fn line_of(&self, dispatcher: &str, key: &str) -> Option<usize> {
        self.origins.line(&["dispatchers", dispatcher, key])
    }

    fn name_problem(&self, problem: &RegistryProblem) -> ConfigProblem {
        let word = match problem {
            RegistryProblem::Empty => "",
            RegistryProblem::Taken { word, .. } => word,
            RegistryProblem::UnknownTarget { alias, .. } => alias,
        };
        let line = self.origins.line(&["aliases", word]);
        ConfigProblem {
            line: line.or_else(|| self.origins.line(&["dispatchers", word])),
            what: one_line(&problem.to_string().replace('\n', "; ")),
            todo: one_line(&problem.advice()),
        }
    }

    fn unknown_section(&self, registry: &Registry, name: &str) -> ConfigProblem {
        let meant = suggest(name, registry.iter().map(|known| known.name));
        let what = format!("[dispatchers.{name}] names no dispatcher of this program");
        let todo = match meant {
            Some(meant) => format!("did you mean [dispatchers.{meant}]?"),
            None => "the command `list` shows every dispatcher; `command` or `pool` would make one"
                .to_owned(),
        };
        problem(self.origins.line(&["dispatchers", name]), what, &todo)
    }

    /// What does not fit between the overrides of a schedule and what was declared.
    fn schedule_problem(
        &self,
        definition: &Definition,
        overrides: &Overrides,
    ) -> Option<ConfigProblem> {
        let (mut job, mut dispatcher) = ((definition.options)(), (definition.dispatcher_options)());
        overrides.apply(&mut job, &mut dispatcher);
        let name = definition.name;
        let line = self.origins.line(&["dispatchers", name]);
        let lonely = overrides.of_schedule();
        if dispatcher.schedule.is_none()
            && !overrides.has("schedule")
            && let [first, ..] = lonely[..]
        {
            let what = format!("[dispatchers.{name}] sets `{first}`, but {name} has no schedule");
            return Some(problem(line, what, "set `schedule` as well"));
        }
        if dispatcher.schedule.is_some() && definition.default_payload.is_none() {
            let what =
                format!("[dispatchers.{name}] schedules {name}, which has no default payload");
            let todo = "derive `Default` for it, so that a tick knows what to run";
            return Some(problem(line, what, todo));
        }
        None
    }
}

fn problem(line: Option<usize>, what: String, todo: &str) -> ConfigProblem {
    ConfigProblem {
        line,
        what: one_line(&what),
        todo: one_line(todo),
    }
}

fn in_words(mistake: Mistake) -> (String, String) {
    match mistake {
        Mistake::Value(why) => (why, String::new()),
        Mistake::Whole { what, todo } => (what, todo),
    }
}
