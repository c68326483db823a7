//! The wire of the Python package `dispatcherd`: its texts, as values, and back.
//!
//! Nothing here does any I/O or knows a clock. Whatever comes in has a result: a task, a control
//! command, a piece of something longer, or a reason why it was dropped; none of them disturbs
//! the next.

mod chunks;
mod echo;
mod json;
mod message;
mod payload;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use chunks::AGE_MAX;
#[cfg(feature = "socket")]
pub(crate) use chunks::MESSAGE_BYTES_MAX;
#[cfg(feature = "pg_notify")]
pub(crate) use chunks::NOTIFY_BYTES_MAX;
pub(crate) use chunks::{Assembler, LINE_BYTES_MAX, Piece, split};
pub(crate) use echo::{Filter, Fitting, masked, recall, remember};
pub(crate) use json::Json;
#[cfg(feature = "pg_notify")]
pub(crate) use message::PUBLISHED_ID;
pub(crate) use message::{Control, Dropped, Message, Task, open};
#[cfg(test)]
pub(crate) use payload::Mismatch;
pub(crate) use payload::{payload_of, refused_payload};
