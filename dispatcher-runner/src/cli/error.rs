//! What a command says when it cannot do what it was asked: what happened, why, what to do.
//!
//! Every error that reaches a person has all three parts, and an exit code that scripts can tell.

use std::io;

use dispatcher_core::UnknownDispatcher;

use crate::config::{ConfigError, StoreLocation};
use crate::store::StoreError;

/// Exit codes of errors, from `sysexits.h` where it has one.
pub(crate) mod exit {
    /// Bad usage, an unknown name, bad JSON.
    pub(crate) const USAGE: u8 = 64;
    /// A queue is full.
    pub(crate) const QUEUE_FULL: u8 = 69;
    /// The link to a worker or supervisor broke.
    pub(crate) const LOST: u8 = 70;
    /// The store failed.
    pub(crate) const STORE: u8 = 74;
    /// A requirement or the configuration is wrong.
    pub(crate) const CONFIGURATION: u8 = 78;
    /// What was asked for was answered with no.
    pub(crate) const NEGATIVE: u8 = 1;
    /// Interrupted by SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// An error in three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) todo: String,
    pub(crate) exit: u8,
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It could not go on.
    Failed(Box<CliError>),
    /// Nobody reads its output any more, which is no error.
    Pipe,
}

/// The exit code of a command that came to its end.
pub(crate) type Done = Result<u8, Stop>;

impl CliError {
    pub(crate) fn new(
        exit: u8,
        what: impl Into<String>,
        why: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            todo: todo.into(),
            exit,
        }
    }

    pub(crate) fn usage(
        what: impl Into<String>,
        why: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self::new(exit::USAGE, what, why, todo)
    }

    /// A store that failed, with the place of the state.
    pub(crate) fn store(error: &StoreError, location: &StoreLocation) -> Self {
        let mut why = vec![format!("the state is {location}")];
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            why.insert(0, cause.to_string());
            source = cause.source();
        }
        Self::new(
            exit::STORE,
            error.to_string(),
            why.join("; "),
            error.advice(),
        )
    }
}

impl From<UnknownDispatcher> for CliError {
    fn from(error: UnknownDispatcher) -> Self {
        let text = error.to_string();
        let (what, why) = text.split_once('\n').unwrap_or((&text, ""));
        Self::usage(what, why, error.advice())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(
            exit::CONFIGURATION,
            error.to_string(),
            error.why(),
            error.advice(),
        )
    }
}

impl<E: Into<CliError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::new(
            exit::STORE,
            "cannot write the output",
            error.to_string(),
            "check the device or pipe that it goes to",
        )
    }
}
