//! A source's section of the configuration, as the service hands it in.
//!
//! Which pool it has is no concern of its type: the key is taken out before.

use serde::de::DeserializeOwned;

use crate::config::ConfigProblem;

/// A section `[sources.NAME]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// Its keys but for the pool.
    pub(crate) table: toml::Table,
    /// The pool that it names or holds.
    pub(crate) pool: Option<OwnPool>,
}

/// The pool of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPool {
    /// As the supervisor knows it.
    pub(crate) name: String,
    /// Tasks that it serves at once, at most.
    pub(crate) workers: u32,
}

impl Section {
    /// The source that it describes.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, Vec<ConfigProblem>> {
        let read = T::deserialize(self.table.clone());
        read.map_err(|error| vec![self.problem(name, error.to_string().trim_end())])
    }

    /// What a source has against it.
    pub(super) fn problem(&self, name: &str, what: &str) -> ConfigProblem {
        ConfigProblem {
            line: None,
            what: format!("[sources.{name}]: {what}"),
            todo: String::new(),
        }
    }
}
