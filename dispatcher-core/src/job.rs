//! The job model: identity, the five states, and the one function that knows the rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Public id of a job: 16 characters of Crockford base32 (80 random bits), lower case.
///
/// ```
/// use dispatcher_core::JobId;
/// let id = JobId::from_bytes([0xff; 10]);
/// assert_eq!(id.as_str(), "zzzzzzzzzzzzzzzz");
/// assert_eq!("ZZZZZZZZZZZZZZZZ".parse::<JobId>(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; 16]);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    /// Length of the text form.
    pub const LEN: usize = 16;

    /// Makes an id of 80 bits that the caller drew at random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let mut text = [0; 16];
        for (half, chunk) in [&bytes[..5], &bytes[5..]].into_iter().enumerate() {
            let bits = chunk
                .iter()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for position in 0..8 {
                let index = (bits >> (35 - 5 * position)) & 31;
                text[half * 8 + position] = ALPHABET[index as usize];
            }
        }
        Self(text)
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0)
            .expect("invariant: an id holds characters of its alphabet only")
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let bytes: [u8; 16] = text.as_bytes().try_into().map_err(|_| JobIdError)?;
        let lower = bytes.map(|byte| byte.to_ascii_lowercase());
        if lower.iter().all(|byte| ALPHABET.contains(byte)) {
            Ok(Self(lower))
        } else {
            Err(JobIdError)
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is no job id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job id has 16 characters out of 0-9 and a-z without i, l, o and u")]
pub struct JobIdError;

/// Where a job stands. Scheduled, held and waiting-for-retry jobs are `Queued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting.
    Queued,
    /// An attempt is under way.
    Running,
    /// Ended well; never changes again.
    Succeeded,
    /// Ended badly; never changes again.
    Failed,
    /// Ended by request; never changes again.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The spelling used in rows, flags and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended for good.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Running => false,
        }
    }

    /// The one place that knows which state follows which.
    ///
    /// # Errors
    /// When the transition is not allowed from this state; the state stays as it was.
    pub const fn apply(self, transition: Transition) -> Result<Self, RefusedTransition> {
        let next = match (self, transition) {
            (Self::Queued, Transition::Claim) => Self::Running,
            (Self::Running, Transition::Succeed) => Self::Succeeded,
            (Self::Running, Transition::Fail) => Self::Failed,
            (Self::Running, Transition::Requeue) => Self::Queued,
            (Self::Queued | Self::Running, Transition::Cancel) => Self::Cancelled,
            (Self::Queued, Transition::Expire) => Self::Failed,
            (
                Self::Queued | Self::Running | Self::Succeeded | Self::Failed | Self::Cancelled,
                _,
            ) => {
                return Err(RefusedTransition {
                    from: self,
                    transition,
                });
            }
        };
        Ok(next)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// What may happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A supervisor took it.
    Claim,
    /// Its attempt ended well.
    Succeed,
    /// Its last attempt ended badly.
    Fail,
    /// It waits for another attempt: retry, snooze, shutdown or a lost supervisor.
    Requeue,
    /// A cancellation was acknowledged.
    Cancel,
    /// It waited too long, or can never start.
    Expire,
}

impl Transition {
    /// Every transition.
    pub const ALL: [Self; 6] = [
        Self::Claim,
        Self::Succeed,
        Self::Fail,
        Self::Requeue,
        Self::Cancel,
        Self::Expire,
    ];
}

/// A transition that the job's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} job cannot {transition:?}")]
pub struct RefusedTransition {
    /// The state it was in.
    pub from: JobState,
    /// What was asked.
    pub transition: Transition,
}

/// The three counters of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Starts so far; only rises.
    pub attempt: u32,
    /// Failures counted against `retries`.
    pub failures: u32,
    /// The fence; rises with every claim.
    pub token: u64,
}

#[cfg(test)]
mod tests;
