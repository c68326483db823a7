//! The service of a program that was built without sources: the same face, and nothing behind it.
//!
//! A configuration that asks for one is refused, as one that asks for an unknown one is.

use dispatcher_core::Registry;

use super::stage::Stage;
use super::{Seen, ServiceError};
use crate::client::{Sender, SpawnError};
use crate::control::ResetSources;
use crate::metrics::SourceReport;
use crate::supervisor::desk::Desk;

/// No sources.
pub(super) struct Bringing;

impl Bringing {
    pub(super) fn of(
        sender: &Sender<'_>,
        _: &Registry,
        _: &Desk,
        _: &Seen,
    ) -> Result<Self, ServiceError> {
        sender
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

    pub(super) fn resets(&self) -> ResetSources {
        Box::new(|| None)
    }

    pub(super) fn follow(&self, _: &Stage) {}
}
