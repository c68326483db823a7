//! Configurations that nobody would write: read whole, or refused line by line.
//!
//! What was read is written again by the few lines here and must read the same; what an option
//! takes must survive being stored with a job.

use std::fmt::Write as _;

use dispatcher_core::canonical;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::fuzzing::{Seen, fuzz};

const PATH: &str = "/etc/app/dispatcher.toml";
/// Longest sentence about a line of any length.
const WHAT_MAX: usize = 9_000;

#[test]
fn configurations() {
    fuzz("configurations", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        match read(text) {
            Ok(config) => {
                let written = write(&config);
                let again = read(&written).unwrap_or_else(|error| {
                    panic!("{written}\n{}", error.why());
                });
                assert_eq!(facts(&again), facts(&config), "{written}");
                config.overrides.values().for_each(is_applied);
                Seen::of(facts(&config).len() / 8)
            }
            Err(error) => refused(text, &error),
        }
    });
}

/// Every problem has its line, and is told on one.
fn refused(text: &str, error: &ConfigError) -> Seen {
    let ConfigError::Problems { problems, path } = error else {
        panic!("{error}");
    };
    assert_eq!(path.as_deref(), Some(Path::new(PATH)));
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let mut last = 1;
    let mut said = String::new();
    assert!(!problems.is_empty());
    for problem in problems {
        let line = problem.line.expect("a file has lines");
        assert!((last..=lines).contains(&line), "{problem} of {lines}");
        last = line;
        assert!((1..WHAT_MAX).contains(&problem.what.len()), "{problem}");
        let is_one_line = !problem.to_string().contains(char::is_control);
        assert!(is_one_line, "{problem:?}");
        said.push_str(&problem.what);
    }
    Seen::message(&said)
}

/// Everything that was read, but for the lines on which it stands.
fn facts(config: &Config) -> String {
    let overrides = config.overrides.iter();
    let overrides = overrides.map(|(name, given)| (name, given.given().collect::<Vec<_>>()));
    let configured = config.configured.iter();
    let configured = configured.map(|(name, it)| (name, &it.documentation, &it.work));
    let sources = config.sources.iter();
    let sources = sources.map(|(name, section)| (name, section.table(), section.pool()));
    format!(
        "{:?}",
        (
            (
                &config.app,
                &config.program,
                config.store.as_ref().map(StoreLocation::file)
            ),
            (
                config.retention_age,
                config.retention_count,
                config.workers,
                &config.queues,
                config.admin,
                (config.drain_timeout, config.log_level, config.log_format),
            ),
            (&config.aliases, overrides.collect::<Vec<_>>()),
            (&config.pools, configured.collect::<Vec<_>>()),
            sources.collect::<Vec<_>>(),
        )
    )
}

/// A file that says the same.
fn write(config: &Config) -> String {
    let mut text = "version = 1\n".to_owned();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("[app]\nname = {}", quoted(&config.app)));
    if let Some(program) = &config.program {
        line(format!("program = {}", quoted(program.to_str().unwrap())));
    }
    if let Some(store) = &config.store {
        let file = store.file().to_str().unwrap();
        let file = file.replace('%', "%25").replace('?', "%3f");
        let url = store.url().unwrap_or_else(|| format!("sqlite://{file}"));
        line(format!("[store]\nurl = {}", quoted(&url)));
    }
    let drain = config.drain_timeout.as_millis();
    let age = config.retention_age.as_millis();
    let count = config.retention_count;
    line(format!(
        "[store.retention]\nage = \"{age}ms\"\ncount = {count}\n[service]"
    ));
    if let Some(workers) = config.workers {
        line(format!("workers = {workers}"));
    }
    line(format!("drain_timeout = \"{drain}ms\""));
    if let Some(admin) = config.admin {
        line(format!("admin = \"{admin}\""));
    }
    line(format!("queues = {}", list(&config.queues)));
    line("[aliases]".to_owned());
    for (alias, to) in &config.aliases {
        line(format!("{} = {}", quoted(alias), quoted(to)));
    }
    line(format!(
        "[log]\nlevel = \"{}\"\nformat = \"{}\"",
        config.log_level.as_str(),
        config.log_format.as_str()
    ));
    for (name, pool) in &config.pools {
        line(format!("[pools.{}]", quoted(name)));
        pool_lines(pool).into_iter().for_each(&mut line);
    }
    for (name, overrides) in &config.overrides {
        line(format!("[dispatchers.{}]", quoted(name)));
        for (option, value) in overrides.given() {
            line(format!("{option} = {}", written(value)));
        }
        if let Some(configured) = config.configured.get(name) {
            work_lines(configured).into_iter().for_each(&mut line);
        }
    }
    for (name, section) in &config.sources {
        line(format!("[sources.{}]", quoted(name)));
        for (key, value) in section.table() {
            line(format!("{} = {}", quoted(key), shown(value)));
        }
        match section.pool() {
            Some(PoolOf::Named(pool)) => line(format!("pool = {}", quoted(pool))),
            Some(PoolOf::Inline(pool)) => {
                line(format!("[sources.{}.pool]", quoted(name)));
                pool_lines(pool).into_iter().for_each(&mut line);
            }
            None => {}
        }
    }
    text
}

fn pool_lines(pool: &PoolConfig) -> Vec<String> {
    let mut lines = Vec::new();
    for key in crate::config::pools::POOL
        .iter()
        .filter(|key| key.name != "workers")
    {
        let value = (key.show)(pool);
        let is_empty = value.as_array().is_some_and(Vec::is_empty) || value == "";
        if value.is_null() && key.name == "exec_timeout" {
            lines.push("exec_timeout = 0".to_owned());
        } else if !value.is_null() && !is_empty {
            lines.push(format!("{} = {}", key.name, of_json(&value)));
        }
    }
    lines
}

fn work_lines(configured: &Configured) -> Vec<String> {
    let mut lines = Vec::new();
    for key in crate::config::work::WORK {
        let value = (key.show)(configured);
        let is_said = match key.name {
            "payload" => value == "stdin" || value == "environment",
            "env" => value.as_object().is_some_and(|table| !table.is_empty()),
            _ => !value.is_null() && value != "",
        };
        if is_said {
            lines.push(format!("{} = {}", key.name, of_json(&value)));
        }
    }
    lines
}

fn of_json(value: &serde_json::Value) -> String {
    shown(&serde_json::from_value(value.clone()).unwrap())
}

/// A value on one line.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => quoted(text),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => match number.to_string() {
            whole if whole.chars().all(|it| it.is_ascii_digit() || it == '-') => whole + ".0",
            text if text == "NaN" => "nan".to_owned(),
            text => text,
        },
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(date) => date.to_string(),
        toml::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        toml::Value::Table(table) => {
            let entries = table.iter();
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{} = {}", quoted(key), shown(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn written(value: &OptionValue) -> String {
    match value {
        OptionValue::Text(text) => quoted(text),
        OptionValue::Integer(number) => number.to_string(),
        OptionValue::Boolean(value) => value.to_string(),
        OptionValue::List(items) => list(items),
        OptionValue::Table(_) => unreachable!("no option is a table"),
    }
}

fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(quoted, "\\U{:08x}", u32::from(letter)).unwrap();
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// What an option takes is the same when it comes back from a row.
fn is_applied(overrides: &Overrides) {
    let mut job = Options::default();
    let mut dispatcher = DispatcherOptions {
        schedule: Some(ScheduleOptions::default()),
        ..DispatcherOptions::default()
    };
    overrides.apply(&mut job, &mut dispatcher);
    assert_eq!(stored(&job), job);
    assert_eq!(stored(&dispatcher), dispatcher);
}

fn stored<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn one_line(text: &str) -> &str {
    text.split(char::is_control).next().unwrap_or_default()
}

/// A line of a corpus is an option, an equals sign, and what is typed for it.
#[test]
fn typed_options() {
    let names: Vec<_> = options::names();
    fuzz("typed_options", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        let mut said = String::new();
        // What one takes another may take, too, in a way of its own.
        let other = names[bytes.len() % names.len()];
        for name in [name, other] {
            let mut overrides = Overrides::default();
            match overrides.set(name, OptionValue::typed(value)) {
                Ok(()) => {
                    is_applied(&overrides);
                    said.push_str(name);
                }
                Err(why) => {
                    assert!(
                        why.contains(&format!("`{}", one_line(name))),
                        "{name}: {why}"
                    );
                    assert!(!why.contains(char::is_control), "{why:?}");
                    said.extend(why.chars().take(20));
                }
            }
        }
        Seen::of((said.len(), canonical(value).is_ok()))
    });
}

/// What was read is written again in single quotes, or in double ones, and must read the same.
#[test]
fn env_files() {
    fuzz("env_files", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match env_file::EnvFile::parse(&text, Path::new(PATH)) {
            Ok(file) => {
                let lines = file.entries.iter();
                let lines: Vec<_> = lines
                    .map(|entry| assignment(&entry.name, &entry.value))
                    .collect();
                let written = lines.concat();
                let again = env_file::EnvFile::parse(&written, Path::new(PATH));
                let again = again.unwrap_or_else(|error| panic!("{written}\n{}", error.why()));
                let values = |file: &env_file::EnvFile| -> Vec<_> {
                    let entries = file.entries.iter();
                    entries
                        .map(|it| (it.name.clone(), it.value.clone()))
                        .collect()
                };
                assert_eq!(values(&again), values(&file), "{written}");
                Seen::of((lines.len(), written.len() / 16))
            }
            Err(error) => refused(&text, &error),
        }
    });
}

fn assignment(name: &str, value: &str) -> String {
    if !value.contains(['\'', '\n']) {
        return format!("{name}='{value}'\n");
    }
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"\n")
}

/// A section is read as a type that takes a little of everything, or refused line by line.
#[test]
fn source_sections() {
    fuzz("configurations", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let Ok(config) = read(text) else {
            return Seen::of("no configuration");
        };
        let mut read = 0;
        for (_, section) in config.sources() {
            match section.read::<Anything>() {
                Ok(anything) => read += anything.deep.len() + anything.interval.len() + 1,
                Err(error) => drop(refused(text, &error)),
            }
        }
        Seen::of(read)
    });
}

#[derive(serde::Deserialize)]
struct Anything {
    #[serde(default)]
    interval: String,
    #[serde(default)]
    deep: toml::Table,
}
