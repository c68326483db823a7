//! Bytes and texts from outside: whatever they are, they are read or refused, and nothing else.
//!
//! Beyond that: what is read can be written and read again as the same value, how input was cut
//! makes no difference, and nobody reserves memory that a length only claims.

mod allocations;
mod driver;
mod frames;
mod payloads;
mod texts;
mod workers;
