//! What `[log]` says; whoever writes the log applies it.

use std::str::FromStr;

/// The least severe level that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is odd.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how.
    Debug,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// No word of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown word")]
pub struct UnknownLogWord;

impl LogLevel {
    /// All of them, the most severe first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl LogFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogLevel {
    type Err = UnknownLogWord;

    /// Capitals do not matter: variables of this kind are often written in them.
    fn from_str(text: &str) -> Result<Self, UnknownLogWord> {
        let found = Self::ALL
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(text));
        found.ok_or(UnknownLogWord)
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogWord;

    fn from_str(text: &str) -> Result<Self, UnknownLogWord> {
        let found = Self::ALL
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(text));
        found.ok_or(UnknownLogWord)
    }
}
