//! The clock of the embedded stores, read once per operation.
//!
//! It decides when something is due; it never decides an order, so that a jump back delays jobs
//! and turns nothing round.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::{SystemTime, UNIX_EPOCH};

use super::UnixMs;

/// Wall-clock time.
#[derive(Debug, Clone, Default)]
pub(super) enum Clock {
    /// The system's.
    #[default]
    System,
    /// What a test or the simulator says, in milliseconds since 1970.
    Given(Arc<AtomicI64>),
}

impl Clock {
    pub(super) fn now(&self) -> UnixMs {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .unwrap_or_default(),
            Self::Given(now) => now.load(Ordering::Relaxed),
        }
    }
}
