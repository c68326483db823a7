//! Workers of a Goridge host, in three languages, against the bytes of the specification.
//!
//! The host of these tests writes and reads bytes; nothing here knows how a worker is made.

mod host;
mod misuse;
mod streams;
mod tasks;
