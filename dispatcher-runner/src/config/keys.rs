//! The table of keys: every key of a configuration that is one value, with all that is known of it.
//!
//! The reader, the variables, `config show`, `config default` and `docs/configuration.md` are made
//! from it, so that none of them can know a key that another one does not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dispatcher_core::duration::format_duration;
use serde_json::{Value, json};

use super::location::{self, StoreLocation};
use super::options::labels;
use super::origin::Origin;
use super::remote::REMOTE;
use super::{Config, LEASE_MIN, LogFormat, LogLevel, OptionValue};

/// One key, set on a `T` and shown from an `S`.
pub(super) struct Key<T: 'static, S: 'static = T> {
    pub(super) name: &'static str,
    /// What may be written, in words.
    pub(super) takes: &'static str,
    pub(super) preset: Preset,
    pub(super) variable: Option<Variable>,
    /// One sentence.
    pub(super) meaning: &'static str,
    pub(super) set: Set<T>,
    pub(super) show: fn(&S) -> Value,
}

type Set<T> = fn(&mut T, &OptionValue, &Site<'_>) -> Result<(), Mistake>;

/// What holds while nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// This value, as TOML writes it.
    Is(&'static str),
    /// What these words say; an example is a value that could be written.
    Words {
        words: &'static str,
        example: &'static str,
    },
    /// Another key; this one is written instead of it.
    Instead {
        of: &'static str,
        example: &'static str,
    },
}

/// A variable of the environment that sets the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
}

/// How a variable's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A number, or else a text.
    One,
    /// Texts between commas.
    List,
}

impl Variable {
    pub(super) fn read(self, text: &str) -> OptionValue {
        match self.holds {
            Holds::One => OptionValue::typed(text),
            Holds::List => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                OptionValue::List(items.collect())
            }
        }
    }
}

/// Where a value stands.
pub(super) struct Site<'a> {
    /// Relative paths begin here.
    pub(super) folder: &'a Path,
    pub(super) origin: Origin,
}

impl Site<'_> {
    /// A program as it is written: a word is looked for on PATH, anything with a slash begins at
    /// the folder.
    pub(super) fn program(&self, program: &str) -> PathBuf {
        if program.contains('/') {
            self.folder.join(program)
        } else {
            PathBuf::from(program)
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Follows the name of the key: "takes …, not …".
    Value(String),
    /// Says it all.
    Whole { what: String, todo: String },
}

impl Mistake {
    pub(super) fn whole(what: impl Into<String>, todo: impl Into<String>) -> Self {
        let (what, todo) = (what.into(), todo.into());
        Self::Whole { what, todo }
    }
}

impl From<String> for Mistake {
    fn from(why: String) -> Self {
        Self::Value(why)
    }
}

/// `[app]`.
pub(super) static APP: &[Key<Config>] = &[
    Key {
        name: "name",
        takes: "a text",
        preset: Preset::Words {
            words: "the name of the program",
            example: "\"myapp\"",
        },
        variable: None,
        meaning: "name of the application; its state lies in a folder of this name",
        set: |config, value, _| {
            let name = value.quoted_text()?;
            location::check_app(&name)
                .map_err(|error| Mistake::whole(error.to_string(), error.advice()))?;
            config.app = name;
            Ok(())
        },
        show: |config| json!(config.app),
    },
    Key {
        name: "program",
        takes: "a text",
        preset: Preset::Words {
            words: "none",
            example: "\"./myapp\"",
        },
        variable: None,
        meaning: "the application that a generic `dispatcher-runner` hands over to; a word is looked \
                  for on PATH, a path begins at the folder of the file",
        set: |config, value, site| {
            config.program = Some(site.program(&value.quoted_text()?));
            Ok(())
        },
        show: |config| json!(config.program),
    },
];

/// `[store]`.
pub(super) static STORE: &[Key<Config>] = &[
    Key {
        name: "url",
        takes: "a URL",
        preset: Preset::Words {
            words: "`state.db` in the user's folder for states",
            example: "\"sqlite:/var/lib/myapp/state.db\"",
        },
        variable: Some(Variable {
            name: "DISPATCHER_DATABASE_URL",
            holds: Holds::One,
        }),
        meaning: "where jobs are remembered: `sqlite:` and a path, which begins at the folder of the file if it is \
                  relative, or `postgres://` and a database",
        set: |config, value, site| {
            let named = location::parse_url(&value.quoted_text()?, site.folder)
                .map_err(|problem| Mistake::whole(problem.what, problem.todo))?;
            config.store = Some(StoreLocation::named(named, site.origin.clone()));
            Ok(())
        },
        show: |config| {
            let location = config.store.as_ref();
            json!(location.map(|it| it.url().unwrap_or_else(|| it.place().display().to_string())))
        },
    },
    Key {
        name: "lease",
        takes: "a duration",
        preset: Preset::Is("\"1m\""),
        variable: Some(Variable {
            name: "DISPATCHER_STORE_LEASE",
            holds: Holds::One,
        }),
        meaning: "how long a machine of a PostgreSQL store may be out of touch before others take over its jobs; \
                  it has ended them by then",
        set: |config, value, _| {
            let lease = value.duration()?;
            if lease < LEASE_MIN {
                return Err(Mistake::whole(
                    format!("a lease of {} is too short", format_duration(lease)),
                    format!("give it at least {}", format_duration(LEASE_MIN)),
                ));
            }
            config.lease = lease;
            Ok(())
        },
        show: |config| json!(format_duration(config.lease)),
    },
];

/// `[store.retention]`.
pub(super) static RETENTION: &[Key<Config>] = &[
    Key {
        name: "age",
        takes: "a duration",
        preset: Preset::Is("\"1w\""),
        variable: Some(Variable {
            name: "DISPATCHER_RETENTION_AGE",
            holds: Holds::One,
        }),
        meaning: "how long a finished job is kept",
        set: |config, value, _| {
            config.retention_age = value.duration()?;
            Ok(())
        },
        show: |config| json!(format_duration(config.retention_age)),
    },
    Key {
        name: "count",
        takes: "a whole number",
        preset: Preset::Is("10000"),
        variable: Some(Variable {
            name: "DISPATCHER_RETENTION_COUNT",
            holds: Holds::One,
        }),
        meaning: "how many finished jobs of a dispatcher are kept",
        set: |config, value, _| {
            config.retention_count = value.integer("a whole number from 0 on")?;
            Ok(())
        },
        show: |config| json!(config.retention_count),
    },
];

/// `[service]`.
pub(super) static SERVICE: &[Key<Config>] = &[
    Key {
        name: "workers",
        takes: "a whole number from 1 on",
        preset: Preset::Words {
            words: "twice the number of CPUs",
            example: "8",
        },
        variable: Some(Variable {
            name: "DISPATCHER_WORKERS",
            holds: Holds::One,
        }),
        meaning: "jobs that a supervisor runs at once",
        set: |config, value, _| {
            config.workers = Some(positive(value)?);
            Ok(())
        },
        show: |config| json!(config.workers),
    },
    Key {
        name: "queues",
        takes: "a label or a list of them",
        preset: Preset::Words {
            words: "all",
            example: "[\"default\", \"mail\"]",
        },
        variable: Some(Variable {
            name: "DISPATCHER_QUEUES",
            holds: Holds::List,
        }),
        meaning: "labels of the queues that a service claims; in the variable between commas",
        set: |config, value, _| {
            config.queues = labels(value)?;
            Ok(())
        },
        show: |config| json!(config.queues),
    },
    Key {
        name: "drain_timeout",
        takes: "a duration",
        preset: Preset::Is("\"60s\""),
        variable: Some(Variable {
            name: "DISPATCHER_DRAIN_TIMEOUT",
            holds: Holds::One,
        }),
        meaning: "time for what runs when the service is told to end; then it is stopped, and jobs \
                  are queued again",
        set: |config, value, _| {
            config.drain_timeout = value.duration()?;
            Ok(())
        },
        show: |config| json!(format_duration(config.drain_timeout)),
    },
    Key {
        name: "admin",
        takes: "a loopback address with a port",
        preset: Preset::Words {
            words: "none",
            example: "\"127.0.0.1:9090\"",
        },
        variable: Some(Variable {
            name: "DISPATCHER_ADMIN",
            holds: Holds::One,
        }),
        meaning: "where metrics and health are answered; only on this machine, because nobody is \
                  asked who he is",
        set: |config, value, _| {
            config.admin = Some(loopback(value)?);
            Ok(())
        },
        show: |config| json!(config.admin.map(|address| address.to_string())),
    },
];

/// `[log]`.
pub(super) static LOG: &[Key<Config>] = &[
    Key {
        name: "level",
        takes: "`error`, `warn`, `info` or `debug`",
        preset: Preset::Is("\"info\""),
        variable: Some(Variable {
            name: "DISPATCHER_LOG",
            holds: Holds::One,
        }),
        meaning: "the least severe level that is written",
        set: |config, value, _| {
            config.log_level = value.word(&LogLevel::ALL.map(LogLevel::as_str))?;
            Ok(())
        },
        show: |config| json!(config.log_level.as_str()),
    },
    Key {
        name: "format",
        takes: "`text` or `json`",
        preset: Preset::Is("\"text\""),
        variable: Some(Variable {
            name: "DISPATCHER_LOG_FORMAT",
            holds: Holds::One,
        }),
        meaning: "lines for people, or an object of JSON a line",
        set: |config, value, _| {
            config.log_format = value.word(&LogFormat::ALL.map(LogFormat::as_str))?;
            Ok(())
        },
        show: |config| json!(config.log_format.as_str()),
    },
];

/// The sections whose keys are set on the configuration itself, with their place in a file.
pub(super) static PLAIN: &[(&[&str], &[Key<Config>])] = &[
    (&["app"], APP),
    (&["store"], STORE),
    (&["store", "retention"], RETENTION),
    (&["service"], SERVICE),
    (&["log"], LOG),
    (&["remote"], REMOTE),
];

const POSITIVE: &str = "a whole number from 1 on";

pub(super) fn positive(value: &OptionValue) -> Result<u32, String> {
    match value.integer(POSITIVE)? {
        0 => Err(format!("takes {POSITIVE}, not 0")),
        number => Ok(number),
    }
}

fn loopback(value: &OptionValue) -> Result<SocketAddr, Mistake> {
    let takes = "an address with a port, such as \"127.0.0.1:9090\" or \"[::1]:9090\"";
    let text = value.text(takes)?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        return Err(Mistake::Value(format!("takes {takes}, not {text:?}")));
    };
    match admin_mistake(address) {
        None => Ok(address),
        Some(why) => Err(Mistake::whole(
            format!("`admin` cannot be {address}: {why}"),
            format!("write \"127.0.0.1:{}\"", address.port()),
        )),
    }
}

/// Why metrics cannot be answered there, if they cannot.
pub(super) fn admin_mistake(address: SocketAddr) -> Option<&'static str> {
    let why = "it is no loopback address, and whoever reaches it is asked for no password";
    (!address.ip().is_loopback()).then_some(why)
}
