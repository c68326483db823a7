//! Standard Webhooks v1: what a sender signs, and whether somebody who has the secret did.
//!
//! Pure: clock, tolerance and bytes are given. Nothing of a request is looked at but what is
//! signed, and signatures are compared in constant time.

#[cfg(feature = "http")]
mod stamp;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::{CtOutput, KeyInit as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

#[cfg(feature = "http")]
pub(crate) use stamp::Stamp;

/// Bytes of a secret, at least and at most.
pub(crate) const SECRET_BYTES: (usize, usize) = (24, 96);

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";

type Mac = CtOutput<Hmac<Sha256>>;

/// A secret that two applications share.
///
/// ```
/// use dispatcher_runner::http::Secret;
/// assert!(Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_ok());
/// assert!(Secret::parse("secret").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// Not base64.
    #[error("it is not base64: letters, digits, `+` and `/`, their number a multiple of 4")]
    Base64,
    /// Too short or too long.
    #[error("it stands for {bytes} bytes, and must be 24 to 96 (32 to 128 characters)")]
    Length {
        /// How many it stands for.
        bytes: usize,
    },
}

impl SecretError {
    /// One line of what to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        "`generate-secret --show` makes one"
    }
}

impl Secret {
    /// Reads base64 of 24 to 96 bytes, with or without `whsec_` in front.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let bytes = STANDARD.decode(text).map_err(|_| SecretError::Base64)?;
        let (min, max) = SECRET_BYTES;
        if bytes.len() < min || bytes.len() > max {
            return Err(SecretError::Length { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The header `webhook-signature` of a message. `timestamp` counts seconds since 1970.
    ///
    /// ```
    /// use dispatcher_runner::http::Secret;
    /// let secret = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
    /// assert_eq!(
    ///     secret.sign("m1", 1_700_000_000, b""),
    ///     "v1,MGGBRRYCSWS5yz066a7mzWvT8XMLun+2EOEEvYFYHLo=",
    /// );
    /// # Ok::<(), dispatcher_runner::http::SecretError>(())
    /// ```
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mac = self.mac(id, timestamp, body).into_bytes();
        format!("{VERSION}{}", STANDARD.encode(mac))
    }

    fn mac(&self, id: &str, timestamp: u64, body: &[u8]) -> Mac {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("invariant: HMAC takes a key of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize()
    }
}

/// A secret is never printed.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
