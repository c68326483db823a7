//! The service's part in metrics and health: when they are told, and where.

use std::sync::{Arc, Mutex, PoisonError};

use super::ServiceError;
use crate::admin::{Admin, Closer};
use crate::config::Config;
use crate::control::Board;
use crate::log;

/// The admin listener, if one is configured.
pub(super) struct Listening {
    admin: Mutex<Option<Admin>>,
    closer: Mutex<Option<Closer>>,
}

impl Listening {
    /// Takes the address, so that a service that cannot have it does not begin.
    pub(super) fn of(config: &Config) -> Result<Self, ServiceError> {
        let Some(address) = config.admin() else {
            return Ok(Self {
                admin: Mutex::new(None),
                closer: Mutex::new(None),
            });
        };
        let unusable = |source| ServiceError::Admin { address, source };
        let (admin, closer) = Admin::bind(address).map_err(unusable)?;
        let address = admin.address().map_err(unusable)?;
        tracing::info!(%address, "metrics and health");
        Ok(Self {
            admin: Mutex::new(Some(admin)),
            closer: Mutex::new(Some(closer)),
        })
    }

    /// Answers until [`close`](Self::close).
    pub(super) fn serve(&self, board: &Arc<Board>) {
        let admin = self.admin.lock();
        let taken = admin.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(admin) = taken
            && let Err(error) = admin.serve(Arc::clone(board))
        {
            tracing::error!(error = %log::chain(&error), "metrics and health are not told");
        }
    }

    /// Nobody is answered any more.
    pub(super) fn close(&self) {
        let mut closer = self.closer.lock().unwrap_or_else(PoisonError::into_inner);
        drop(closer.take());
    }
}
