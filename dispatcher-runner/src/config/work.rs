//! `[dispatchers.NAME]` with a command or a pool: dispatchers that the configuration makes.
//!
//! A command is an argv, never a line for a shell. The payload reaches it in one way only, and
//! never as a part of an argument.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::OptionValue;
use super::keys::{Key, Mistake, Preset, Site};
use super::pools::{argv, argv_mistake, variables};

/// The argument that stands for a file with the payload.
pub const PAYLOAD_FILE: &str = "{payload.file}";
/// Whatever begins so, and ends with a brace, is meant as a placeholder.
const PLACEHOLDER: &str = "{payload";
/// Longest name of a dispatcher, as of those that are derived.
const NAME_CHARS_MAX: usize = 128;

/// A dispatcher that a section makes; its options are those of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// What it is for; the key `description`.
    pub documentation: String,
    /// What runs its jobs.
    pub work: WorkOf,
    /// Line of the section in the file; `None` when it was made in code.
    pub line: Option<usize>,
}

/// What runs the jobs of a configured dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkOf {
    /// A program for each job; its exit status is its answer.
    Command(CommandConfig),
    /// The workers of a pool, by its name.
    Pool(String),
}

/// A program for each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// Program and arguments; an argument that is [`PAYLOAD_FILE`] stands for the file.
    pub argv: Vec<String>,
    /// How the payload reaches it.
    pub payload: PayloadBy,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
}

/// How a payload reaches a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadBy {
    /// Not at all.
    #[default]
    None,
    /// In a file of mode 0600, which is removed afterwards; an argument names it.
    File,
    /// On standard input.
    Stdin,
    /// In the variable `DISPATCHER_PAYLOAD`.
    Environment,
}

impl PayloadBy {
    /// As `config show` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Environment => "environment",
        }
    }
}

/// A section that is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkDraft {
    description: Option<String>,
    command: Option<Vec<String>>,
    payload: Option<PayloadBy>,
    pool: Option<String>,
    env: Option<BTreeMap<String, String>>,
}

impl WorkDraft {
    /// The dispatcher, if the section makes one, or what does not fit together in it.
    pub(super) fn settle(self, line: Option<usize>) -> Result<Option<Configured>, Mistake> {
        let work = match (self.command, self.pool) {
            (Some(_), Some(_)) => {
                return Err(Mistake::whole(
                    "`command` and `pool` exclude each other",
                    "a job runs in one of them; keep one",
                ));
            }
            (Some(argv), None) => {
                let by_argument = placeholder(&argv)?;
                let payload = match (by_argument, self.payload) {
                    (PayloadBy::File, Some(_)) => {
                        return Err(Mistake::whole(
                            format!("`payload` and the argument {PAYLOAD_FILE} exclude each other"),
                            "keep one of them",
                        ));
                    }
                    (by_argument, by_key) => by_key.unwrap_or(by_argument),
                };
                let env = self.env.unwrap_or_default();
                WorkOf::Command(CommandConfig { argv, payload, env })
            }
            (None, pool) => {
                for (key, given) in [
                    ("payload", self.payload.is_some()),
                    ("env", self.env.is_some()),
                ] {
                    if given {
                        let what = match key {
                            "env" => "`env` is a table, which only a `command` has",
                            _ => "`payload` says how a `command` gets it, and there is none",
                        };
                        return Err(Mistake::whole(
                            what,
                            format!("write `command`, or no `{key}`"),
                        ));
                    }
                }
                match (pool, &self.description) {
                    (Some(pool), _) => WorkOf::Pool(pool),
                    (None, None) => return Ok(None),
                    (None, Some(_)) => {
                        return Err(Mistake::whole(
                            "`description` is for dispatchers that a section makes",
                            "write `command` or `pool` as well, or leave it out",
                        ));
                    }
                }
            }
        };
        Ok(Some(Configured {
            documentation: self.description.unwrap_or_default(),
            work,
            line,
        }))
    }
}

/// What does not fit in a dispatcher that code has configured.
pub(super) fn configured_mistake(configured: &Configured) -> Option<Mistake> {
    let WorkOf::Command(command) = &configured.work else {
        return None;
    };
    if command.argv.is_empty() {
        return Some(Mistake::whole("`command` is empty", "name a program"));
    }
    if let Some(why) = argv_mistake(&command.argv) {
        return Some(Mistake::whole(format!("`command` {why}"), ""));
    }
    match placeholder(&command.argv) {
        Err(mistake) => Some(mistake),
        Ok(by) if (by == PayloadBy::File) == (command.payload == PayloadBy::File) => None,
        Ok(_) => Some(Mistake::whole(
            format!("the argument {PAYLOAD_FILE} and `PayloadBy::File` belong together"),
            "",
        )),
    }
}

/// What is wrong with the name of a dispatcher, if anything; the same rule as the derive's.
pub(super) fn dispatcher_name_mistake(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it cannot be empty".to_owned());
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Some(format!("it has at most {NAME_CHARS_MAX} characters"));
    }
    let odd = |letter: &char| letter.is_whitespace() || letter.is_control();
    let letter = name.chars().find(odd)?;
    Some(format!(
        "it has no spaces and no control characters, found {letter:?}"
    ))
}

/// The keys of a section besides the options.
pub(super) static WORK: &[Key<WorkDraft, Configured>] = &[
    Key {
        name: "description",
        takes: "a text",
        preset: Preset::Words {
            words: "none",
            example: "\"Dumps the database\"",
        },
        variable: None,
        meaning: "what the dispatcher is for; only with `command` or `pool`",
        set: |draft, value, _| {
            draft.description = Some(value.quoted_text()?);
            Ok(())
        },
        show: |configured| json!(configured.documentation),
    },
    Key {
        name: "command",
        takes: "a list of texts",
        preset: Preset::Words {
            words: "none: the name is that of a compiled-in dispatcher",
            example: "[\"pg_dump\", \"-f\", \"/var/backups/db.sql\", \"mydb\"]",
        },
        variable: None,
        meaning: "makes a dispatcher whose jobs each run this: program and arguments, no shell; the \
                  argument `{payload.file}` stands for a file with the payload",
        set: |draft, value, site: &Site<'_>| {
            draft.command = Some(argv(value, site)?);
            Ok(())
        },
        show: |configured| match &configured.work {
            WorkOf::Command(command) => json!(command.argv),
            WorkOf::Pool(_) => Value::Null,
        },
    },
    Key {
        name: "payload",
        takes: "`stdin` or `environment`",
        preset: Preset::Words {
            words: "not passed, unless an argument is `{payload.file}`",
            example: "\"stdin\"",
        },
        variable: None,
        meaning: "how a `command` gets its payload: on standard input, or in the variable \
                  `DISPATCHER_PAYLOAD`",
        set: |draft, value, _| {
            draft.payload = Some(payload_by(value)?);
            Ok(())
        },
        show: |configured| match &configured.work {
            WorkOf::Command(command) => json!(command.payload.as_str()),
            WorkOf::Pool(_) => Value::Null,
        },
    },
    Key {
        name: "env",
        takes: "a table of texts",
        preset: Preset::Words {
            words: "none",
            example: "{ PGHOST = \"db.example\" }",
        },
        variable: None,
        meaning: "added to the environment of a `command`; a list of names is the option `env`",
        set: |draft, value, _| {
            draft.env = Some(variables(value)?);
            Ok(())
        },
        show: |configured| match &configured.work {
            WorkOf::Command(command) => json!(command.env),
            WorkOf::Pool(_) => Value::Null,
        },
    },
    Key {
        name: "pool",
        takes: "the name of a pool",
        preset: Preset::Instead {
            of: "command",
            example: "\"php\"",
        },
        variable: None,
        meaning: "makes a dispatcher whose jobs run in this pool; for a compiled-in one with \
                  `isolation = \"pool\"` it says in which",
        set: |draft, value, _| {
            draft.pool = Some(value.quoted_text()?);
            Ok(())
        },
        show: |configured| match &configured.work {
            WorkOf::Command(_) => Value::Null,
            WorkOf::Pool(pool) => json!(pool),
        },
    },
];

fn payload_by(value: &OptionValue) -> Result<PayloadBy, Mistake> {
    let text = match value {
        OptionValue::Text(text) => text.as_str(),
        OptionValue::Integer(_)
        | OptionValue::Boolean(_)
        | OptionValue::List(_)
        | OptionValue::Table(_) => "",
    };
    match text {
        "stdin" => Ok(PayloadBy::Stdin),
        "environment" => Ok(PayloadBy::Environment),
        "file" => Err(Mistake::whole(
            "`payload` takes \"stdin\" or \"environment\"",
            format!("for a file, make {PAYLOAD_FILE} an argument of the command"),
        )),
        _ => Err(value.no_word(&["stdin", "environment"]).into()),
    }
}

/// How the arguments say that the payload reaches the command.
fn placeholder(argv: &[String]) -> Result<PayloadBy, Mistake> {
    let mut found = PayloadBy::None;
    for (place, argument) in argv.iter().enumerate() {
        if argument == PAYLOAD_FILE {
            if place == 0 {
                return Err(Mistake::whole(
                    format!("`command` begins with {PAYLOAD_FILE}"),
                    "a payload is no program; name one first",
                ));
            }
            found = PayloadBy::File;
        } else if argument.contains(PAYLOAD_FILE) {
            return Err(Mistake::whole(
                format!("`command` has {PAYLOAD_FILE} inside {argument:?}"),
                format!("make it an argument of its own: \"{PAYLOAD_FILE}\""),
            ));
        } else if let Some(unknown) = unknown_placeholder(argument) {
            return Err(Mistake::whole(
                format!("`command` has an unknown placeholder {unknown}"),
                format!("there is {PAYLOAD_FILE}; or write payload = \"stdin\" or \"environment\""),
            ));
        }
    }
    Ok(found)
}

fn unknown_placeholder(argument: &str) -> Option<&str> {
    let from = &argument[argument.find(PLACEHOLDER)?..];
    let rest = &from[PLACEHOLDER.len()..];
    let end = rest.find('}')?;
    let name = &rest[..end];
    let is_name = name.is_empty() || name.starts_with('.');
    is_name.then(|| &from[..PLACEHOLDER.len() + end + 1])
}
