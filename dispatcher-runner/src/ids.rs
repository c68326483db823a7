//! What the kernel gives names by: randomness for jobs, directories and seeds, and its own boot.

use dispatcher_core::JobId;
use rustix::rand::{GetRandomFlags, getrandom};

/// A new public id.
pub(crate) fn new_job_id() -> JobId {
    JobId::from_bytes(random())
}

/// The name of this boot of the machine, which no other one has.
pub(crate) fn boot() -> std::io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(boot.trim().to_owned())
}

/// A seed.
pub(crate) fn random_u64() -> u64 {
    u64::from_ne_bytes(random())
}

/// Sixteen characters for a name.
pub(crate) fn random_hex() -> String {
    format!("{:016x}", random_u64())
}

/// So many letters and digits, each as likely as any other.
pub(crate) fn random_letters(count: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        for byte in random::<64>() {
            // What is left over of 256 would favour the first letters.
            if byte < 248 && letters.len() < count {
                letters.push(char::from(LETTERS[usize::from(byte % 62)]));
            }
        }
    }
    letters
}

/// A random UUID (version 4).
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub(crate) fn random_uuid() -> String {
    let bits = u128::from_ne_bytes(random());
    let bits = bits & !(0xf000_c000 << 48) | 0x4000_8000 << 48;
    let hex = format!("{bits:032x}");
    let (time, rest) = hex.split_at(8);
    format!(
        "{time}-{}-{}-{}-{}",
        &rest[..4],
        &rest[4..8],
        &rest[8..12],
        &rest[12..]
    )
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // `getrandom(2)`: reads of up to 256 bytes are never cut short once the pool is initialised.
    while getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(N) {}
    bytes
}
