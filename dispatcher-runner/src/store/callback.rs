//! Callbacks: who is told that a job has ended.
//!
//! A callback becomes due in the transaction that ends its job. Whoever takes it holds it for a
//! while, so that two do not tell the same; one that is not settled by then is due again, so a
//! callback may come twice, and never not at all.

use std::time::Duration;

use dispatcher_core::JobId;

/// Asks for a callback when a job of the group has ended; of a duplicate, the surviving one.
#[derive(Debug, Clone)]
pub(crate) struct NewCallback {
    /// Which job of the group.
    pub(crate) job: usize,
    pub(crate) url: String,
    /// Whose secret signs it; opaque to the store.
    pub(crate) sender: String,
}

/// A callback that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueCallback {
    pub(crate) key: i64,
    pub(crate) job: JobId,
    pub(crate) url: String,
    pub(crate) sender: String,
    /// How often it was taken, this time included.
    pub(crate) tries: u32,
}

/// What became of a callback that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "only the source http tells somebody")
)]
pub(crate) enum Settled {
    /// It was told, or never will be.
    Done,
    /// It is due again after this time.
    Again(Duration),
}
