//! The service of a program that was built without sources: the same face, and nothing behind it.

use dispatcher_core::Registry;

use super::ServiceError;
use super::stage::Stage;
use crate::client::SpawnError;
use crate::config::{Config, StoreLocation};
use crate::metrics::SourceReport;
use crate::store::{Build, StoreClient};
use crate::supervisor::desk::Desk;

/// What jobs of sources would be made with.
pub(super) struct Means {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) location: StoreLocation,
    pub(super) build: &'static Build,
    pub(super) store: StoreClient,
}

/// No sources.
pub(super) struct Bringing;

impl Bringing {
    pub(super) fn of(means: Means, _: &Desk) -> Result<Self, ServiceError> {
        means
            .config
            .check_sources(&[])
            .map_err(SpawnError::config)?;
        Ok(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn reports(&self) -> Box<dyn Fn() -> Vec<SourceReport> + Send + Sync> {
        Box::new(Vec::new)
    }

    pub(super) fn follow(&self, _: &Stage) {}
}
