//! The service of a program that was built without an admin listener: a configured one is an error.

use std::io;
use std::sync::Arc;

use super::ServiceError;
use crate::config::Config;
use crate::control::Board;

/// No listener.
pub(super) struct Listening;

impl Listening {
    pub(super) fn of(config: &Config) -> Result<Self, ServiceError> {
        match config.admin() {
            None => Ok(Self),
            Some(address) => Err(ServiceError::Admin {
                address,
                source: io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this program was built without the feature `service` of dispatcher-runner",
                ),
            }),
        }
    }

    pub(super) fn serve(&self, _: &Arc<Board>) {}

    pub(super) fn close(&self) {}
}
