//! stub
use crate::Backoff;
use std::time::Duration;
/// Stub.
#[must_use]
pub fn backoff_delay(_b: &Backoff, _f: u32, _r: u64) -> Duration {
    Duration::from_secs(1)
}
