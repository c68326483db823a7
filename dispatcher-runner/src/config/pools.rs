//! `[pools.NAME]`: the keys of a pool, and what does not fit together in one.
//!
//! A pool of a file and one of code are held to the same rules; a file's is held to them where it
//! is read, so that each mistake has its line.

use std::path::Path;
use std::time::Duration;

use dispatcher_core::duration::{format_bytes, format_duration};
use serde_json::{Value, json};

use super::OptionValue;
use super::checked::{directory_mistake, is_variable};
use super::keys::{Key, Mistake, Preset, Site, positive};
use crate::pool::PoolConfig;

/// Longest name of a pool.
const NAME_CHARS_MAX: usize = 64;
/// A frame of which a worker may not even send this much would refuse its handshake.
const FRAME_BYTES_MIN: u64 = 1024;
/// The length of a frame has 32 bits.
const FRAME_BYTES_MAX: u64 = u32::MAX as u64;

/// A pool that is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct PoolDraft {
    config: PoolConfig,
    /// The key that was used, and its number.
    workers: Option<(&'static str, u32)>,
    min_workers: Option<u32>,
    max_workers: Option<u32>,
}

impl PoolDraft {
    /// A pool whose workers find `mode` in `RR_MODE` unless its section says otherwise.
    pub(super) fn with_mode(mode: &str) -> Self {
        let mut draft = Self::default();
        mode.clone_into(&mut draft.config.mode);
        draft
    }

    fn set_workers(&mut self, key: &'static str, value: &OptionValue) -> Result<(), Mistake> {
        if let Some((other, _)) = self.workers {
            return Err(Mistake::whole(
                format!("`{key}` and `{other}` are two names of one key"),
                "keep one of them",
            ));
        }
        self.workers = Some((key, positive(value)?));
        Ok(())
    }

    /// The pool, or what does not fit together in it.
    pub(super) fn settle(mut self, folder: &Path) -> Result<PoolConfig, Mistake> {
        let scaled = self.min_workers.or(self.max_workers).is_some();
        if let (Some((key, _)), true) = (self.workers, scaled) {
            return Err(Mistake::whole(
                format!("`{key}` sets both ends, and `min_workers` and `max_workers` each one"),
                format!("keep `{key}` for a fixed number, or the two others for one that changes"),
            ));
        }
        let cpus = self.config.max_workers;
        let (min, max) = match self.workers {
            Some((_, workers)) => (workers, workers),
            None => (
                self.min_workers
                    .unwrap_or(cpus.min(self.max_workers.unwrap_or(cpus))),
                self.max_workers
                    .unwrap_or(cpus.max(self.min_workers.unwrap_or(cpus))),
            ),
        };
        self.config.min_workers = min;
        self.config.max_workers = max;
        if !self.config.command.is_empty() && self.config.working_directory.is_none() {
            // `command = ["php", "worker.php"]` means the file beside the configuration.
            self.config.working_directory = folder.to_str().map(str::to_owned);
        }
        match pool_mistake(&self.config) {
            Some(mistake) => Err(mistake),
            None => Ok(self.config),
        }
    }
}

/// What is wrong with the name of a pool, if anything.
pub(super) fn pool_name_mistake(name: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() {
        return Some("a pool's name cannot be empty".to_owned());
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Some(format!(
            "a pool's name has at most {NAME_CHARS_MAX} characters"
        ));
    }
    let letter = name.chars().find(|letter| !fits(*letter))?;
    Some(format!(
        "a pool's name has letters, digits, `-` and `_`, found {letter:?}"
    ))
}

/// What does not fit in a pool, if anything.
pub(super) fn pool_mistake(pool: &PoolConfig) -> Option<Mistake> {
    let (min, max) = (pool.min_workers, pool.max_workers);
    let value = |why: &str| Mistake::whole(why, "");
    if max == 0 {
        return Some(value("`max_workers` takes a whole number from 1 on, not 0"));
    }
    if min > max {
        return Some(Mistake::whole(
            format!("`min_workers` is {min} and `max_workers` is {max}"),
            "the smaller one comes first",
        ));
    }
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&pool.max_frame) {
        return Some(value("`max_frame` is from 1KiB to 4GiB less one byte"));
    }
    if pool.spawn_timeout.is_zero() {
        return Some(value(
            "`spawn_timeout` cannot be 0: no worker is ready at once",
        ));
    }
    if let Some(why) = argv_mistake(&pool.command) {
        return Some(Mistake::whole(format!("`command` {why}"), ""));
    }
    if let Some(name) = pool.env.iter().find_map(odd_variable) {
        return Some(Mistake::whole(
            format!("`env` cannot set {name:?}"),
            "a name has no `=`, and neither a name nor a value has a zero byte",
        ));
    }
    let directory = pool.working_directory.as_deref();
    if let Some(mistake) = directory.and_then(directory_mistake) {
        return Some(Mistake::whole(
            format!("`working_directory`: {mistake}"),
            "",
        ));
    }
    let odd = |text: &String| text.is_empty() || text.contains('\0');
    if pool.user.as_ref().is_some_and(odd) {
        return Some(value("`user` takes the name or number of a user"));
    }
    let mode = pool.mode.contains('\0');
    mode.then(|| value("`mode` cannot have a zero byte"))
}

/// What is wrong with program and arguments, if anything.
pub(super) fn argv_mistake(argv: &[String]) -> Option<&'static str> {
    if argv.first().is_some_and(String::is_empty) {
        return Some("begins with an empty text, where its program should be");
    }
    let zero = argv.iter().any(|argument| argument.contains('\0'));
    zero.then_some("has a zero byte, which no argument can have")
}

/// Program and arguments, never a line for a shell.
pub(super) fn argv(value: &OptionValue, site: &Site<'_>) -> Result<Vec<String>, Mistake> {
    let takes = "a list: program and arguments, each a text of its own, such as \
                 [\"php\", \"worker.php\"]";
    match value {
        OptionValue::List(argv) if !argv.is_empty() => {
            if let Some(why) = argv_mistake(argv) {
                return Err(Mistake::Value(why.to_owned()));
            }
            let mut argv = argv.clone();
            // What is no text stays as it is; a folder with such a name has its own troubles.
            if let Some(program) = site.program(&argv[0]).to_str() {
                program.clone_into(&mut argv[0]);
            }
            Ok(argv)
        }
        OptionValue::Text(line) => {
            let words: Vec<_> = line
                .split_whitespace()
                .map(|it| format!("{it:?}"))
                .collect();
            Err(Mistake::whole(
                format!("`command` takes {takes}; a text would need a shell, and there is none"),
                format!("write [{}]", words.join(", ")),
            ))
        }
        OptionValue::List(_)
        | OptionValue::Integer(_)
        | OptionValue::Boolean(_)
        | OptionValue::Table(_) => Err(value.misfit(takes).into()),
    }
}

/// Variables and their values.
pub(super) fn variables(
    value: &OptionValue,
) -> Result<std::collections::BTreeMap<String, String>, Mistake> {
    let OptionValue::Table(variables) = value else {
        let takes = "a table of texts, such as { LANG = \"C.UTF-8\" }";
        return Err(value.misfit(takes).into());
    };
    match variables.iter().find_map(odd_variable) {
        None => Ok(variables.clone()),
        Some(name) => Err(Mistake::whole(
            format!("`env` cannot set {name:?}"),
            "a name has no `=`, and neither a name nor a value has a zero byte",
        )),
    }
}

fn odd_variable((name, value): (&String, &String)) -> Option<String> {
    (!is_variable(name) || value.contains('\0')).then(|| name.clone())
}

fn at_least_a_moment(value: &OptionValue) -> Result<Duration, String> {
    let time = value.duration()?;
    if time.is_zero() {
        return Err("cannot be 0: no worker is ready at once".to_owned());
    }
    Ok(time)
}

fn size_or_none(value: &OptionValue) -> Result<Option<u64>, String> {
    let is_zero = match value {
        OptionValue::Integer(number) => *number == 0,
        OptionValue::Text(text) => text.trim() == "0",
        OptionValue::Boolean(_) | OptionValue::List(_) | OptionValue::Table(_) => false,
    };
    if is_zero {
        Ok(None)
    } else {
        value.bytes().map(Some)
    }
}

fn frame(value: &OptionValue) -> Result<u64, String> {
    let bytes = value.bytes()?;
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) {
        return Err("is from 1KiB to 4GiB less one byte".to_owned());
    }
    Ok(bytes)
}

fn shown_time(time: Option<Duration>) -> Value {
    json!(time.map(format_duration))
}

/// Assigns the parsed value to a field of the pool.
macro_rules! assign {
    ($name:ident = |$value:ident, $site:ident| $parse:expr) => {
        |draft, $value, $site| {
            draft.config.$name = $parse?;
            Ok(())
        }
    };
}

const NUMBER: &str = "a whole number";
const DURATION: &str = "a duration";
const DURATION_OR_NONE: &str = "a duration; `0` is none";

/// The table.
pub(super) static POOL: &[Key<PoolDraft, PoolConfig>] = &[
    Key {
        name: "command",
        takes: "a list of texts",
        preset: Preset::Words {
            words: "this program",
            example: "[\"php\", \"worker.php\"]",
        },
        variable: None,
        meaning: "a foreign worker: program and arguments, no shell; a program with a slash begins \
                  at the folder of the file",
        set: assign!(command = |value, site| argv(value, site)),
        show: |pool| json!(pool.command),
    },
    Key {
        name: "mode",
        takes: "a text",
        preset: Preset::Words {
            words: "empty; for a source's own pool the name of the source",
            example: "\"ticker\"",
        },
        variable: None,
        meaning: "what the worker finds in `RR_MODE`",
        set: assign!(mode = |value, _site| value.quoted_text()),
        show: |pool| json!(pool.mode),
    },
    Key {
        name: "workers",
        takes: "a whole number from 1 on",
        preset: Preset::Words {
            words: "the number of CPUs",
            example: "2",
        },
        variable: None,
        meaning: "a fixed number of workers: `min_workers` and `max_workers` at once",
        set: |draft, value, _| draft.set_workers("workers", value),
        show: |pool| {
            let fixed = pool.min_workers == pool.max_workers;
            json!(fixed.then_some(pool.max_workers))
        },
    },
    Key {
        name: "num_workers",
        takes: "a whole number from 1 on",
        preset: Preset::Instead {
            of: "workers",
            example: "2",
        },
        variable: None,
        meaning: "another name of `workers`, as RoadRunner has it",
        set: |draft, value, _| draft.set_workers("num_workers", value),
        show: |_| Value::Null,
    },
    Key {
        name: "min_workers",
        takes: NUMBER,
        preset: Preset::Instead {
            of: "workers",
            example: "1",
        },
        variable: None,
        meaning: "workers that are always there; by default the number of CPUs, but not more than \
                  `max_workers`",
        set: |draft, value, _| {
            draft.min_workers = Some(value.integer("a whole number from 0 on")?);
            Ok(())
        },
        show: |pool| json!(pool.min_workers),
    },
    Key {
        name: "max_workers",
        takes: "a whole number from 1 on",
        preset: Preset::Instead {
            of: "workers",
            example: "8",
        },
        variable: None,
        meaning: "workers at most: each request that waits may start one; by default the number of \
                  CPUs, but not less than `min_workers`",
        set: |draft, value, _| {
            draft.max_workers = Some(positive(value)?);
            Ok(())
        },
        show: |pool| json!(pool.max_workers),
    },
    Key {
        name: "prefetch",
        takes: "a whole number; `0` is none",
        preset: Preset::Is("100"),
        variable: None,
        meaning: "jobs claimed ahead for each worker at most, while they take a few milliseconds or \
                  less; none where a dispatcher has `on_lost = \"fail\"`",
        set: assign!(prefetch = |value, _site| value.integer("a whole number from 0 on")),
        show: |pool| json!(pool.prefetch),
    },
    Key {
        name: "max_jobs",
        takes: "a whole number; `0` is never",
        preset: Preset::Is("0"),
        variable: None,
        meaning: "a worker is replaced after about so many tasks; not all of them at once",
        set: assign!(max_jobs = |value, _site| value.integer("a whole number from 0 on")),
        show: |pool| json!(pool.max_jobs),
    },
    Key {
        name: "ttl",
        takes: DURATION_OR_NONE,
        preset: Preset::Words {
            words: "none",
            example: "\"1h\"",
        },
        variable: None,
        meaning: "a worker is replaced at this age, when it is idle",
        set: assign!(ttl = |value, _site| value.duration_or_none()),
        show: |pool| shown_time(pool.ttl),
    },
    Key {
        name: "idle_ttl",
        takes: DURATION_OR_NONE,
        preset: Preset::Words {
            words: "none",
            example: "\"5m\"",
        },
        variable: None,
        meaning: "after this idle time a worker above `min_workers` ends, and another one is \
                  replaced",
        set: assign!(idle_ttl = |value, _site| value.duration_or_none()),
        show: |pool| shown_time(pool.idle_ttl),
    },
    Key {
        name: "max_memory",
        takes: "a size; `0` is none",
        preset: Preset::Words {
            words: "none",
            example: "\"256MiB\"",
        },
        variable: None,
        meaning: "a worker with more resident memory is replaced, when it is idle",
        set: assign!(max_memory = |value, _site| size_or_none(value)),
        show: |pool| json!(pool.max_memory.map(format_bytes)),
    },
    Key {
        name: "spawn_timeout",
        takes: DURATION,
        preset: Preset::Is("\"60s\""),
        variable: None,
        meaning: "time from the start of a worker to its readiness",
        set: assign!(spawn_timeout = |value, _site| at_least_a_moment(value)),
        show: |pool| json!(format_duration(pool.spawn_timeout)),
    },
    Key {
        name: "queue_timeout",
        takes: DURATION_OR_NONE,
        preset: Preset::Words {
            words: "none",
            example: "\"30s\"",
        },
        variable: None,
        meaning: "longest wait of a request for a free worker",
        set: assign!(queue_timeout = |value, _site| value.duration_or_none()),
        show: |pool| shown_time(pool.queue_timeout),
    },
    Key {
        name: "exec_timeout",
        takes: DURATION_OR_NONE,
        preset: Preset::Is("\"5m\""),
        variable: None,
        meaning: "longest time of a request in a worker; a job has its own `timeout`",
        set: assign!(exec_timeout = |value, _site| value.duration_or_none()),
        show: |pool| shown_time(pool.exec_timeout),
    },
    Key {
        name: "stop_timeout",
        takes: DURATION,
        preset: Preset::Is("\"10s\""),
        variable: None,
        meaning: "time from the request to end to KILL",
        set: assign!(stop_timeout = |value, _site| value.duration()),
        show: |pool| json!(format_duration(pool.stop_timeout)),
    },
    Key {
        name: "drain_timeout",
        takes: DURATION,
        preset: Preset::Is("\"60s\""),
        variable: None,
        meaning: "time for what runs when the service ends",
        set: assign!(drain_timeout = |value, _site| value.duration()),
        show: |pool| json!(format_duration(pool.drain_timeout)),
    },
    Key {
        name: "max_frame",
        takes: "a size from 1KiB on, below 4GiB",
        preset: Preset::Is("\"64MiB\""),
        variable: None,
        meaning: "longest frame that a worker may send",
        set: assign!(max_frame = |value, _site| frame(value)),
        show: |pool| json!(format_bytes(pool.max_frame)),
    },
    Key {
        name: "env",
        takes: "a table of texts",
        preset: Preset::Words {
            words: "none",
            example: "{ APP_ENV = \"production\" }",
        },
        variable: None,
        meaning: "added to the environment of the workers",
        set: assign!(env = |value, _site| variables(value)),
        show: |pool| json!(pool.env),
    },
    Key {
        name: "user",
        takes: "a name, or a number in quotes",
        preset: Preset::Words {
            words: "the user of the service",
            example: "\"www-data\"",
        },
        variable: None,
        meaning: "the user that workers run as",
        set: assign!(
            user = |value, _site| { value.text("the name or number of a user").map(Some) }
        ),
        show: |pool| json!(pool.user),
    },
    Key {
        name: "working_directory",
        takes: "an absolute path",
        preset: Preset::Words {
            words: "`/`; with `command` the folder of the file",
            example: "\"/srv/myapp\"",
        },
        variable: None,
        meaning: "where workers begin",
        set: assign!(
            working_directory = |value, _site| {
                let path = value.quoted_text()?;
                match directory_mistake(&path) {
                    None => Ok(Some(path)),
                    Some(_) => Err(format!("takes an absolute path, not {path:?}")),
                }
            }
        ),
        show: |pool| json!(pool.working_directory),
    },
];
