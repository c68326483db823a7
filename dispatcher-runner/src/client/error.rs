//! Why a job was not accepted.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use dispatcher_core::{PayloadError, UnknownDispatcher};

use crate::config::ConfigError;
use crate::store::{StoreError, SubmitError};

/// Why a job was not accepted. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// As many jobs of the dispatcher are unfinished as its `max_queue` allows.
    #[error("the queue of {dispatcher} is full (max_queue = {max_queue})")]
    QueueFull {
        /// Name of the dispatcher.
        dispatcher: String,
        /// The limit.
        max_queue: u32,
        /// When there is probably room again, from the backlog and the mean run time.
        retry_after: Duration,
    },
    /// Something that the dispatcher needs is not installed.
    #[error("{dispatcher} needs what is not installed here: {}", names.join(", "))]
    MissingRequirement {
        /// Name of the dispatcher.
        dispatcher: String,
        /// What is missing.
        names: Vec<String>,
    },
    /// The payload is larger than 2 MiB.
    #[error("the payload has {bytes} bytes of JSON, more than the {max} that are accepted")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// An option that the value, the builder or the command line has set does not fit.
    #[error("the option `{option}` of this job of {dispatcher} does not fit: {why}")]
    Option {
        /// Name of the dispatcher.
        dispatcher: String,
        /// Name of the option.
        option: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The value cannot be written as JSON, or the JSON does not fit the dispatcher.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// No dispatcher has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownDispatcher),
    /// `dispatcher_runner::init()` was not called.
    #[error("dispatcher_runner::init() was not called; make it the first line of main")]
    NotInitialised,
    /// Threads were running when `dispatcher_runner::init()` was called.
    #[error(
        "dispatcher_runner::init() came after the start of other threads ({threads}); workers could \
         not be forked from such a program"
    )]
    ThreadsBeforeInit {
        /// How many, besides the one that called.
        threads: usize,
    },
    /// The configuration cannot be used.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    /// The store failed.
    #[error("the job could not be stored")]
    Store(#[source] StoreFailure),
}

impl SpawnError {
    pub(crate) fn config(error: ConfigError) -> Self {
        Self::Config(match &error {
            ConfigError::Unreadable { .. }
            | ConfigError::UnreadableEnvFile { .. }
            | ConfigError::Problems { .. } => {
                format!("{error}: {}", error.why().replace('\n', "; "))
            }
            ConfigError::Code { .. }
            | ConfigError::Variable { .. }
            | ConfigError::NoHome { .. }
            | ConfigError::AppName { .. } => error.to_string(),
        })
    }

    /// One line of what to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::QueueFull { retry_after, .. } => {
                format!(
                    "try again in about {} s, or raise max_queue",
                    retry_after.as_secs().max(1)
                )
            }
            Self::MissingRequirement { names, .. } => format!("install {}", names.join(", ")),
            Self::PayloadTooLarge { .. } => "put the data in a file and send its name".into(),
            Self::Option { option, .. } => {
                format!("see the table of options for what `{option}` takes")
            }
            Self::Payload(error) => {
                let name = error.dispatcher;
                format!("see `list {name}` for the fields that it takes")
            }
            Self::Unknown(error) => error.advice(),
            Self::NotInitialised => {
                "call dispatcher_runner::init() before anything else in main".into()
            }
            Self::ThreadsBeforeInit { .. } => {
                "call dispatcher_runner::init() as the first line of \
                 main, before an async runtime or anything else that starts threads"
                    .into()
            }
            Self::Config(_) => "correct the configuration and try again".into(),
            Self::Store(error) => error.advice().to_owned(),
        }
    }
}

impl From<StoreError> for SpawnError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl From<SubmitError> for SpawnError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QueueFull {
                dispatcher,
                max_queue,
                unfinished,
                concurrency,
                mean_run,
            } => {
                let retry_after = retry_after(unfinished, max_queue, concurrency, mean_run);
                Self::QueueFull {
                    dispatcher,
                    max_queue,
                    retry_after,
                }
            }
            SubmitError::Store(error) => error.into(),
            // Only who asks for a receipt or a batch is told this, and that is seen to before.
            error @ (SubmitError::Receipt(_) | SubmitError::BatchExists { .. }) => {
                StoreError::Database {
                    path: std::path::PathBuf::new(),
                    detail: error.to_string(),
                }
                .into()
            }
        }
    }
}

/// The store could not do what it was asked.
#[derive(Debug)]
pub struct StoreFailure(StoreError);

impl StoreFailure {
    /// One line of what to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        self.0.advice()
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for StoreFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

/// Time until one job more fits: the excess over the limit, run at the mean speed.
fn retry_after(
    unfinished: u32,
    max_queue: u32,
    concurrency: u32,
    mean_run: Option<Duration>,
) -> Duration {
    let excess = unfinished.saturating_sub(max_queue).saturating_add(1);
    let mean = mean_run.unwrap_or(Duration::from_secs(1));
    (mean.saturating_mul(excess) / concurrency.max(1)).max(Duration::from_secs(1))
}
