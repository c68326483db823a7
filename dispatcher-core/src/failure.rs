//! What `process()` answers when it did not succeed.

use std::error::Error;
use std::time::Duration;

use crate::limits::MESSAGE_BYTES_MAX;

/// The reason why a job did not succeed, and what should happen next.
///
/// Any error becomes one through `?`, its chain of causes kept.
///
/// ```
/// use dispatcher_core::Failure;
/// fn parse(text: &str) -> Result<u32, Failure> { Ok(text.parse::<u32>()?) }
/// assert_eq!(parse("x").unwrap_err().message(), "invalid digit found in string");
/// ```
///
/// It does not implement [`Error`] itself; that is what lets every error convert into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    causes: Vec<String>,
}

/// What a [`Failure`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Counted against `retries`, tried again after the back-off.
    Failed,
    /// Counted against `retries`, tried again after the given time.
    RetryAfter(Duration),
    /// Not tried again.
    Discard,
    /// Run again after the given time; neither a failure nor a retry.
    Snooze(Duration),
}

impl Failure {
    /// A failure with a message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Failed, message)
    }

    /// A failure that is retried after `delay` instead of after the back-off.
    #[must_use]
    pub fn retry_after(delay: Duration) -> Self {
        Self::of(
            FailureKind::RetryAfter(delay),
            format!("asked to be retried in {delay:?}"),
        )
    }

    /// A failure that is not retried.
    #[must_use]
    pub fn discard(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Discard, message)
    }

    /// Not now: the job runs again after `delay`, which counts neither as failure nor as retry.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::of(FailureKind::Snooze(delay), format!("snoozed for {delay:?}"))
    }

    /// A boxed error, which `?` cannot convert.
    #[must_use]
    pub fn from_boxed(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            if failure.causes.len() == 32 {
                break;
            }
            failure.causes.push(bounded(error.to_string()));
            source = error.source();
        }
        failure
    }

    /// What it asks for.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What went wrong, without its causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    fn of(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: bounded(message.into()),
            causes: Vec::new(),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_boxed(&error)
    }
}

/// Cuts a text at [`MESSAGE_BYTES_MAX`], at a character boundary.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
