//! What a message says of itself in its headers, as its receiver reads it.
//!
//! Whatever is malformed is no stamp; whether it is true, only the secret tells.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use sha2::Sha256;

use super::{Mac, Secret, VERSION};

/// Longest id of a message, in bytes.
const ID_BYTES_MAX: usize = 128;
/// Signatures of one message, at most; those of other versions count.
const SIGNATURES_MAX: usize = 16;

/// The three headers of a message, well-formed. Nothing is known to be true of them.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) timestamp: u64,
    signatures: Vec<[u8; 32]>,
}

impl Stamp {
    /// Reads the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`; `None` when
    /// one of them is malformed.
    pub(crate) fn read(id: &[u8], timestamp: &[u8], signature: &[u8]) -> Option<Self> {
        Some(Self {
            id: read_id(id)?,
            timestamp: read_timestamp(timestamp)?,
            signatures: read_signatures(signature)?,
        })
    }

    /// Whether it was made at most `tolerance` seconds ago, or will be.
    pub(crate) fn is_fresh(&self, now: u64, tolerance: u64) -> bool {
        now.abs_diff(self.timestamp) <= tolerance
    }

    /// Whether one of the signatures was made with the secret.
    pub(crate) fn is_signed_with(&self, secret: &Secret, body: &[u8]) -> bool {
        let mac = secret.mac(&self.id, self.timestamp, body);
        let mut holds = false;
        // All of them, so that the time says nothing about which one it was.
        for signature in &self.signatures {
            holds |= mac == Mac::from(hmac::digest::Output::<Hmac<Sha256>>::from(*signature));
        }
        holds
    }
}

/// Whether it can be the id of a message: 1 to 128 visible ASCII characters but `.` and `,`.
fn is_id(text: &[u8]) -> bool {
    let visible = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b',');
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.iter().all(visible)
}

fn read_id(text: &[u8]) -> Option<String> {
    if !is_id(text) {
        return None;
    }
    String::from_utf8(text.to_vec()).ok()
}

/// Decimal as it would be written: no sign, no space, no zero in front. One text for one time,
/// because the text is what is signed.
fn read_timestamp(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Signatures of version 1; other versions are skipped, and so is what is no signature at all.
fn read_signatures(text: &[u8]) -> Option<Vec<[u8; 32]>> {
    let text = std::str::from_utf8(text).ok()?;
    let words = || text.split(' ').filter(|word| !word.is_empty());
    if words().count() > SIGNATURES_MAX {
        return None;
    }
    let signatures = words().filter_map(|word| {
        let bytes = STANDARD.decode(word.strip_prefix(VERSION)?).ok()?;
        bytes.try_into().ok()
    });
    let signatures: Vec<_> = signatures.collect();
    (!signatures.is_empty()).then_some(signatures)
}
