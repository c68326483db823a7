//! Randomness from the kernel: ids of jobs, names of directories, seeds.

use dispatcher_core::JobId;
use rustix::rand::{GetRandomFlags, getrandom};

/// A new public id.
pub(crate) fn new_job_id() -> JobId {
    JobId::from_bytes(random())
}

/// A seed.
pub(crate) fn random_u64() -> u64 {
    u64::from_ne_bytes(random())
}

/// Sixteen characters for a name.
pub(crate) fn random_hex() -> String {
    format!("{:016x}", random_u64())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // `getrandom(2)`: reads of up to 256 bytes are never cut short once the pool is initialised.
    while getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(N) {}
    bytes
}
