//! What ties a supervisor to the service around it.
//!
//! A detached supervisor has none of it: it answers nobody, and nothing of it is counted.

use std::sync::Arc;

use super::announce::Turn;
use super::desk::Inbox;
use crate::metrics::Metrics;

/// The service's ends.
pub(crate) struct Ties {
    /// Told of each turn, on the supervisor's thread: it must not wait.
    pub(crate) tell: Box<dyn Fn(Turn) + Send>,
    /// Where the rest of the service hands requests in.
    pub(crate) inbox: Inbox,
    pub(crate) standing: Standing,
    pub(crate) metrics: Arc<Metrics>,
}

/// Whose process a service runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its own: signals and the service manager are its business.
    Owner,
    /// Another program's, which minds both itself.
    Guest,
}
