//! What a running job sees of the system that runs it.

use std::ffi::c_void;
use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use crate::limits::{OUTPUT_BYTES_MAX, PROGRESS_BYTES_MAX};
use crate::message::WorkerMessage;
use crate::{Failure, JobId};

/// A running job's view of its attempt.
pub struct Context {
    job: JobId,
    attempt: u32,
    deadline: Option<SystemTime>,
    libraries: Vec<Library>,
    link: Box<dyn Link>,
}

/// The way from a job to whoever runs it: a worker's channel, or a test's recorder.
pub trait Link {
    /// Sends one message.
    ///
    /// # Errors
    /// When nobody listens any more.
    fn send(&mut self, message: WorkerMessage) -> Result<(), LinkError>;

    /// Whether the job was asked to stop. The first call turns TERM from death into a flag.
    fn cancelled(&mut self) -> bool;

    /// What runs the futures of [`AsyncProcess`](crate::AsyncProcess).
    #[cfg(feature = "async")]
    fn driver(&self) -> crate::Driver {
        crate::async_process::park
    }
}

/// Nobody listens to this job any more.
#[derive(Debug, thiserror::Error)]
#[error("the link to the supervisor is gone")]
pub struct LinkError(#[source] pub Option<std::io::Error>);

/// A shared library that `package_includes` named, loaded before the job began.
#[derive(Debug, Clone)]
pub struct Library {
    /// As written in the option.
    pub name: String,
    /// Handle of the platform's loader; valid as long as the process lives.
    pub handle: *mut c_void,
}

impl Context {
    /// Made by whoever runs the job.
    #[must_use]
    pub fn new(
        job: JobId,
        attempt: u32,
        deadline: Option<SystemTime>,
        libraries: Vec<Library>,
        link: Box<dyn Link>,
    ) -> Self {
        Self {
            job,
            attempt,
            deadline,
            libraries,
            link,
        }
    }

    /// Id of the job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Which try this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the attempt will be stopped; `None` without a timeout.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// A library that `package_includes` named.
    #[must_use]
    pub fn library(&self, name: &str) -> Option<&Library> {
        self.libraries.iter().find(|library| library.name == name)
    }

    /// Reports how far the job is: a fraction (clamped to 0..=1) and a text (cut at 1 KiB).
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn progress(&mut self, fraction: f64, text: &str) -> Result<(), Failure> {
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        let mut end = text.len().min(PROGRESS_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].to_owned();
        Ok(self.link.send(WorkerMessage::Progress { fraction, text })?)
    }

    /// Stores a value with the job; a later call replaces it. Readable once the attempt succeeded.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, is larger than 1 MiB, or nobody listens any more.
    pub fn output<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let value = serde_json::to_string(value)?;
        if value.len() > OUTPUT_BYTES_MAX {
            return Err(Failure::discard(format!(
                "the output has {} bytes of JSON, more than the {OUTPUT_BYTES_MAX} that are kept; \
                 store large results in a file and output its name",
                value.len()
            )));
        }
        Ok(self.link.send(WorkerMessage::Output { value })?)
    }

    /// Whether the job was asked to stop (cancelled, timed out, shut down).
    ///
    /// Calling it makes stopping cooperative: from then on TERM sets this flag instead of ending
    /// the process, and the job has `grace` to finish.
    pub fn cancelled(&mut self) -> bool {
        self.link.cancelled()
    }

    #[cfg(feature = "async")]
    pub(crate) fn driver(&self) -> crate::Driver {
        self.link.driver()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("job", &self.job)
            .field("attempt", &self.attempt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
