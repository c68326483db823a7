//! What the processes of every attempt really did, whatever anybody wrote down.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::message::WorkResult;
use dispatcher_core::{ExitStatus, JobId};

/// By job and number of the attempt.
pub(super) type Truth = BTreeMap<(JobId, u32), Deeds>;

/// What happened to one attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Deeds {
    /// When its process came to be, by the true clock.
    pub(super) born: Option<Duration>,
    pub(super) died: Option<(Duration, ExitStatus)>,
    /// Every result that it sent, complete or not.
    pub(super) results: Vec<WorkResult>,
    pub(super) said_hello: bool,
    /// It sent something that is no message.
    pub(super) broke_protocol: bool,
    /// A signal was sent to it, or was on its way.
    pub(super) signalled: bool,
    pub(super) spawn_failed: bool,
    /// It was told that it uses too much memory.
    pub(super) over_limit: bool,
    /// Its keeper or its supervisor was lost.
    pub(super) lost: bool,
    /// It was in a worker of a pool, which may live on after its result.
    pub(super) pooled: bool,
    /// Workers of pools that did not want it.
    pub(super) unwanted: u32,
    /// Its worker gave it back, and nobody has it.
    pub(super) back: bool,
    /// Processes that it left, and that live.
    pub(super) strays: u32,
}
