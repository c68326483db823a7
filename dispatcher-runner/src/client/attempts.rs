//! What is on record about the attempts of a job.
//!
//! An attempt is on record once it has ended; the one under way is not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::Outcome;

use super::{JobHandle, StoreFailure};
use crate::store::{AttemptRecord, Capture, Stream, UnixMs};

/// One attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// When its process started; `None` if none did.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub ended_at: SystemTime,
    /// Run time by a clock that nobody sets.
    pub run_time: Duration,
    /// Its process; `None` if there was none.
    pub pid: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What an attempt wrote: the first 64 KiB and the last 192 KiB of each stream, with a line
/// between them that says how much is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Captured {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl<T> JobHandle<T> {
    /// The attempts that have ended, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read, or the job was pruned meanwhile.
    pub fn attempts(&self) -> Result<Vec<Attempt>, StoreFailure> {
        let attempts = self.record()?.attempts;
        Ok(attempts.into_iter().map(Attempt::of).collect())
    }

    /// What an attempt wrote; empty before its end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn captured(&self, attempt: u32) -> Result<Captured, StoreFailure> {
        let job = self.id();
        let capture = super::handle::store()?.call(move |store| store.capture(job, attempt))?;
        Ok(capture.map(Captured::of).unwrap_or_default())
    }
}

impl Attempt {
    fn of(record: AttemptRecord) -> Self {
        Self {
            number: record.attempt,
            started_at: record.started_at.map(time),
            ended_at: time(record.ended_at),
            run_time: record.run_time,
            pid: record.pid,
            outcome: record.outcome,
        }
    }
}

impl Captured {
    fn of(capture: Capture) -> Self {
        Self {
            stdout: joined(capture.stdout),
            stderr: joined(capture.stderr),
        }
    }
}

fn joined(stream: Stream) -> Vec<u8> {
    let mut bytes = stream.head;
    if stream.dropped > 0 {
        bytes.extend(format!("\n[{} bytes were not kept]\n", stream.dropped).into_bytes());
    }
    bytes.extend(stream.tail);
    bytes
}

fn time(ms: UnixMs) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_stream_says_so() {
        let stream = |dropped| Stream {
            head: b"ab".to_vec(),
            tail: b"yz".to_vec(),
            dropped,
        };
        assert_eq!(joined(stream(0)), b"abyz");
        assert_eq!(joined(stream(7)), b"ab\n[7 bytes were not kept]\nyz");
    }
}
