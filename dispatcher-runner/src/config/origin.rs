//! Where each value of a configuration came from.
//!
//! The layers, the last of which counts: default, file, env file, environment, flag; code stands
//! for itself, where a program makes its configuration with no file at all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Who decided a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The program.
    Code,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1.
        line: usize,
    },
    /// The file that `--env-file` or `$DISPATCHER_ENV_FILE` names.
    EnvFile {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1.
        line: usize,
    },
    /// This variable of the environment.
    Variable(&'static str),
    /// This flag of the command line, with its dashes.
    Flag(&'static str),
}

impl Origin {
    /// One word for it: `default`, `code`, `file`, `env_file`, `environment`, `flag`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Code => "code",
            Self::File { .. } => "file",
            Self::EnvFile { .. } => "env_file",
            Self::Variable(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }

    /// Its line, if it is a file's.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } | Self::EnvFile { line, .. } => Some(*line),
            Self::Default | Self::Code | Self::Variable(_) | Self::Flag(_) => None,
        }
    }

    /// The variable or the flag that it is.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Variable(name) | Self::Flag(name) => Some(name),
            Self::Default | Self::Code | Self::File { .. } | Self::EnvFile { .. } => None,
        }
    }

    /// Its file, if it is one's.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::EnvFile { path, .. } => Some(path),
            Self::Default | Self::Code | Self::Variable(_) | Self::Flag(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Code => f.write_str("set by the program"),
            Self::File { path, line } => {
                write!(f, "config file {} line {line}", path.display())
            }
            Self::EnvFile { path, line } => write!(f, "env file {} line {line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Origins of all values that somebody decided, by their path in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(super) fn set(&mut self, parts: &[&str], origin: Origin) {
        self.0.insert(key_path(parts), origin);
    }

    pub(super) fn of(&self, parts: &[&str]) -> Origin {
        self.0
            .get(&key_path(parts))
            .map_or(Origin::Default, Origin::clone)
    }

    pub(super) fn line(&self, parts: &[&str]) -> Option<usize> {
        self.0.get(&key_path(parts)).and_then(Origin::line)
    }

    /// Forgets a section, which another one replaces.
    pub(super) fn forget(&mut self, parts: &[&str]) {
        let section = key_path(parts);
        let inside = format!("{section}.");
        self.0
            .retain(|path, _| *path != section && !path.starts_with(&inside));
    }
}

/// A path as TOML writes it: `pools.php.workers`, `aliases."certs.renew"`.
pub(super) fn key_path(parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| key(part)).collect();
    parts.join(".")
}

/// A key as TOML writes it.
pub(super) fn key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    quoted(name)
}

/// A text as TOML writes it, on one line whatever it holds.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
