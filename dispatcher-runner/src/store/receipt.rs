//! Receipts: a message from outside is acted on once, however often it comes.
//!
//! A receipt is written in the transaction that stores the jobs of its message, so there is one if
//! and only if they were acknowledged. It is kept at least as long as was asked, and never gives
//! way to another one: a store with as many as it may have refuses more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Accepted;

/// Expired receipts that one submission removes, at most.
pub(super) const PRUNED_MAX: usize = 64;

/// Asks for a receipt of the group of jobs with which it comes.
#[derive(Debug, Clone)]
pub(crate) struct NewReceipt {
    /// Who sent the message, and its id: together they name the receipt.
    pub(crate) sender: String,
    pub(crate) id: String,
    /// What the message was, so that the same id is not taken for another message.
    pub(crate) hash: [u8; 32],
    /// What the caller needs to answer again, besides the jobs; opaque to the store.
    pub(crate) note: String,
    /// How long it is kept, at least.
    pub(crate) keep: Duration,
    /// How many receipts there may be.
    pub(crate) count_max: u64,
}

/// What is on record about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) hash: [u8; 32],
    pub(crate) note: String,
    /// What became of its jobs, in their order.
    pub(crate) jobs: Vec<Accepted>,
}

/// Why a group with a receipt was not accepted. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReceiptError {
    /// The id stands for another message of the same sender.
    #[error("another message had the same id")]
    OtherMessage,
    /// There are as many receipts as may be, none of them old enough to go.
    #[error("there are {count_max} receipts, and no more are kept")]
    Full { count_max: u64 },
}

/// A job of a receipt, as stores write it: its id, and whether it was there already.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Noted(dispatcher_core::JobId, bool);

impl From<Accepted> for Noted {
    fn from(job: Accepted) -> Self {
        Self(job.id, job.duplicate)
    }
}

impl From<Noted> for Accepted {
    fn from(Noted(id, duplicate): Noted) -> Self {
        Self { id, duplicate }
    }
}
