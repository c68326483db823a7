//! A source's section of the configuration, with the pool that it means.
//!
//! Which pool a source has is no concern of its type: the configuration keeps it apart.

use serde::de::DeserializeOwned;

use crate::config::{Config, ConfigError, ConfigProblem, PoolOf, SourceSection};
use crate::pool::pool_of_source;

/// A section `[sources.NAME]`.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    written: SourceSection,
    /// The pool that it names or holds.
    pub(super) pool: Option<OwnPool>,
}

/// The pool of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnPool {
    /// As the supervisor knows it.
    pub(super) name: String,
    /// Tasks that it serves at once, at most.
    pub(super) workers: u32,
}

impl Section {
    /// The section of a source, if the configuration has one.
    pub(crate) fn of(config: &Config, source: &str) -> Option<Self> {
        let written = config.source(source)?.clone();
        let pool = written.pool().map(|pool| match pool {
            PoolOf::Named(name) => OwnPool {
                name: name.clone(),
                // The default pool is there without a section.
                workers: config
                    .pools()
                    .get(name)
                    .cloned()
                    .unwrap_or_default()
                    .max_workers,
            },
            PoolOf::Inline(pool) => OwnPool {
                name: pool_of_source(source),
                workers: pool.max_workers,
            },
        });
        Some(Self { written, pool })
    }

    /// The source that it describes.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<ConfigProblem>> {
        self.written.read().map_err(|error| match error {
            ConfigError::Problems { problems, .. } => problems,
            ConfigError::Unreadable { .. }
            | ConfigError::UnreadableEnvFile { .. }
            | ConfigError::Code { .. }
            | ConfigError::Variable { .. }
            | ConfigError::NoHome { .. }
            | ConfigError::AppName { .. } => vec![self.problem(&error.to_string())],
        })
    }

    /// What a source has against it.
    pub(super) fn problem(&self, what: &str) -> ConfigProblem {
        ConfigProblem {
            line: self.written.line(),
            what: what.to_owned(),
            todo: String::new(),
        }
    }
}
