//! What can be wrong with a configuration, each with a line and with what to do.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was asked for, or that exists, cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An env file that was asked for cannot be read.
    #[error("cannot read the env file {}", path.display())]
    UnreadableEnvFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Everything that is wrong in a file, or with aliases and sections given in code.
    #[error("{}", headline(path.as_ref(), problems))]
    Problems {
        /// The file; `None` for a configuration made in code.
        path: Option<PathBuf>,
        /// At least one, in the order of their lines.
        problems: Vec<ConfigProblem>,
    },
    /// An option given in code is wrong.
    #[error("an option of {dispatcher} is wrong: {what}")]
    Code {
        /// The dispatcher whose option it is.
        dispatcher: String,
        /// What is wrong with it.
        what: String,
    },
    /// A variable of the environment cannot be used.
    #[error("{name} cannot be used: {}", problem.what)]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: ConfigProblem,
    },
    /// There is no default place for the state.
    #[error(
        "there is no place for the state of {app}: HOME is not set and user {uid} is not in /etc/passwd"
    )]
    NoHome {
        /// The application.
        app: String,
        /// Number of the user.
        uid: u32,
    },
    /// The name of the application cannot be the name of a folder.
    #[error("{app:?} cannot be the name of an application: it names the folder of its state")]
    AppName {
        /// The name.
        app: String,
    },
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Line in the file, from 1; `None` when it was not said in a file.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty where `what` says what would be right.
    pub todo: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.what)?;
        if !self.todo.is_empty() {
            write!(f, "; {}", self.todo)?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// Why it cannot be used: one line, or one for each problem.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Unreadable { source, .. } | Self::UnreadableEnvFile { source, .. } => {
                source.to_string()
            }
            Self::Problems { problems, .. } => {
                let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
                lines.join("\n")
            }
            Self::Code { .. } => "the program sets it so itself".to_owned(),
            Self::Variable { .. } => "it is set so in the environment".to_owned(),
            Self::NoHome { .. } => "the default place is under the home folder".to_owned(),
            Self::AppName { .. } => {
                "a slash, a leading dot, a control character or nothing at all is no folder's name"
                    .to_owned()
            }
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "name a readable file with --config or DISPATCHER_CONFIG, or unset them".to_owned()
            }
            Self::UnreadableEnvFile { .. } => {
                "name a readable file with --env-file or DISPATCHER_ENV_FILE, or unset them"
                    .to_owned()
            }
            Self::Problems { problems, .. } if problems.iter().any(is_elsewhere) => {
                "correct these lines and variables".to_owned()
            }
            Self::Problems { path: Some(_), .. } => "correct these lines".to_owned(),
            Self::Problems { path: None, .. } | Self::Code { .. } => {
                "correct the program's `Config`".to_owned()
            }
            Self::Variable { problem, .. } if problem.todo.is_empty() => {
                "correct it, or unset it".to_owned()
            }
            Self::Variable { problem, .. } => problem.todo.clone(),
            Self::NoHome { .. } => {
                "set HOME, XDG_STATE_HOME or DISPATCHER_DATABASE_URL=sqlite:/path/state.db"
                    .to_owned()
            }
            Self::AppName { .. } => "use a plain word such as `myapp`".to_owned(),
        }
    }
}

/// A text from outside as part of a message, which is one line whatever was written.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

/// Whether a problem is that of a variable.
fn is_elsewhere(problem: &ConfigProblem) -> bool {
    problem.line.is_none() && problem.what.starts_with("DISPATCHER_")
}

fn headline(path: Option<&PathBuf>, problems: &[ConfigProblem]) -> String {
    let place = match path {
        Some(path) => path.display().to_string(),
        None => "the configuration".to_owned(),
    };
    match problems.len() {
        1 => format!("{place} has a problem"),
        many => format!("{place} has {many} problems"),
    }
}
