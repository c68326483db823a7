//! Reads a configuration file, strictly: every unknown key and every wrong value is a problem
//! with its line, and all of them are reported at once.

use std::ops::Range;
use std::path::{Path, PathBuf};

use dispatcher_core::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::one_line;
use super::location::{self, StoreLocation, StoreOrigin};
use super::options::labels;
use super::{Alias, Config, ConfigError, ConfigProblem, OptionValue, Section};

/// The version of the format that this program reads.
const VERSION: i64 = 1;
/// A configuration larger than this is a mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const ROOT: &[&str] = &[
    "version",
    "app",
    "store",
    "aliases",
    "service",
    "dispatchers",
];

impl Config {
    /// Reads a file into this configuration; relative paths begin at the file's folder.
    pub(super) fn read_file(&mut self, path: &Path, directory: &Path) -> Result<(), ConfigError> {
        let path = directory.join(path);
        let text = read(&path).map_err(|source| ConfigError::Unreadable {
            path: path.clone(),
            source,
        })?;
        self.read_text(&text, &path)
    }

    pub(super) fn read_text(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader {
            text,
            path,
            problems: Vec::new(),
        };
        for error in errors {
            reader.syntax(&error);
        }
        // A line that could not be parsed may have been recovered as something odd: only its
        // syntax is reported.
        let broken: Vec<_> = reader.problems.iter().map(|it| it.line).collect();
        let mut read = self.clone();
        reader.root(table.get_ref(), &mut read);
        let mut seen = 0;
        reader.problems.retain(|problem| {
            seen += 1;
            seen <= broken.len() || !broken.contains(&problem.line)
        });
        if reader.problems.is_empty() {
            read.file = Some(path.to_owned());
            *self = read;
            return Ok(());
        }
        reader.problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Problems {
            path: Some(path.to_owned()),
            problems: reader.problems,
        })
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        let text = format!("it has {size} bytes, more than {FILE_BYTES_MAX}");
        return Err(std::io::Error::other(text));
    }
    std::fs::read_to_string(path)
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    problems: Vec<ConfigProblem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn root(&mut self, table: &DeTable<'_>, config: &mut Config) {
        let mut version = None;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "version" => version = Some(value),
                "app" => self.app(value, config),
                "store" => self.store(value, config),
                "aliases" => self.aliases(value, config),
                "service" => self.service(value, config),
                "dispatchers" => self.dispatchers(value, config),
                other => self.unknown(key.span(), other, "", ROOT),
            }
        }
        match version {
            None => self.problem(
                0..0,
                "`version` is missing".to_owned(),
                format!("write `version = {VERSION}` as the first line"),
            ),
            Some(value) if integer(value) == Some(VERSION) => {}
            Some(value) => self.problem(
                value.span(),
                format!("`version` is not {VERSION}, the only one that this program reads"),
                format!("write `version = {VERSION}`, or run a newer program"),
            ),
        }
    }

    fn app(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, key, value) in self.table(value, "[app]") {
            match key {
                "name" => {
                    let Some(name) = self.string(value, "name") else {
                        continue;
                    };
                    match location::check_app(&name) {
                        Ok(()) => config.app = name,
                        Err(error) => {
                            self.problem(value.span(), error.to_string(), error.advice());
                        }
                    }
                }
                "program" => {
                    if let Some(program) = self.string(value, "program") {
                        config.program = Some(self.program(&program));
                    }
                }
                other => self.unknown(span, other, "[app]", &["name", "program"]),
            }
        }
    }

    /// A word is looked for on PATH; anything with a slash begins at the file's folder.
    fn program(&self, program: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) if program.contains('/') => folder.join(program),
            Some(_) | None => PathBuf::from(program),
        }
    }

    fn store(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, key, value) in self.table(value, "[store]") {
            match key {
                "url" => self.url(value, config),
                "retention" => self.retention(value, config),
                other => self.unknown(span, other, "[store]", &["url", "retention"]),
            }
        }
    }

    fn url(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(url) = self.string(value, "url") else {
            return;
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match location::parse_url(&url, folder) {
            Ok(file) => {
                let path = self.path.to_owned();
                let line = self.line(value.span().start);
                let origin = StoreOrigin::File { path, line };
                config.store = Some(StoreLocation::new(file, origin));
            }
            Err(problem) => self.problem(value.span(), problem.what, problem.todo),
        }
    }

    fn retention(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, key, value) in self.table(value, "[store.retention]") {
            match key {
                "age" => {
                    if let Some(age) = self.option(value, "age", OptionValue::duration) {
                        config.retention_age = age;
                    }
                }
                "count" => {
                    let count = |it: &OptionValue| it.integer("a whole number from 0 on");
                    if let Some(count) = self.option(value, "count", count) {
                        config.retention_count = count;
                    }
                }
                other => self.unknown(span, other, "[store.retention]", &["age", "count"]),
            }
        }
    }

    fn aliases(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, alias, value) in self.table(value, "[aliases]") {
            if alias.is_empty() {
                let todo = "write `\"other-name\" = \"Name\"`".to_owned();
                self.problem(span, "an alias is empty".to_owned(), todo);
                continue;
            }
            if let Some(target) = self.string(value, alias) {
                let line = Some(self.line(span.start));
                config
                    .aliases
                    .insert(alias.to_owned(), Alias { target, line });
            }
        }
    }

    fn service(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, key, value) in self.table(value, "[service]") {
            match key {
                "workers" => {
                    let workers = |it: &OptionValue| match it.integer(WORKERS)? {
                        0 => Err(format!("takes {WORKERS}, not 0")),
                        workers => Ok(workers),
                    };
                    if let Some(workers) = self.option(value, "workers", workers) {
                        config.workers = Some(workers);
                    }
                }
                "queues" => {
                    if let Some(queues) = self.option(value, "queues", labels) {
                        config.queues = queues;
                    }
                }
                "drain_timeout" => {
                    if let Some(time) = self.option(value, "drain_timeout", OptionValue::duration) {
                        config.drain_timeout = time;
                    }
                }
                other => {
                    let known = &["workers", "queues", "drain_timeout"];
                    self.unknown(span, other, "[service]", known);
                }
            }
        }
    }

    fn dispatchers(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, name, value) in self.table(value, "[dispatchers]") {
            let mut section = Section {
                line: Some(self.line(span.start)),
                ..Section::default()
            };
            let title = format!("[dispatchers.{name}]");
            for (span, option, value) in self.table(value, &title) {
                let Some(value) = self.option_value(value, option) else {
                    continue;
                };
                if let Err(what) = section.overrides.set(option, value) {
                    // The advice, where there is some, stands behind the semicolon.
                    let (what, todo) = match what.split_once("; ") {
                        Some((what, todo)) => (what.to_owned(), todo.to_owned()),
                        None => (what, String::new()),
                    };
                    self.problem(span, what, todo);
                }
            }
            config.overrides.insert(name.to_owned(), section);
        }
    }

    /// The entries of a table, in the order of the file.
    fn table<'v, 'i>(
        &mut self,
        value: &'v Value<'i>,
        title: &str,
    ) -> Vec<(Range<usize>, &'v str, &'v Value<'i>)> {
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("`{}` is {}", title.trim_matches(['[', ']']), kind(value));
            let todo = format!("write it as a section: {title}");
            self.problem(value.span(), what, todo);
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| (key.span(), key.get_ref().as_ref(), value))
            .collect();
        entries.sort_by_key(|(span, ..)| span.start);
        entries
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.clone().into_owned()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                let what = format!("`{key}` takes a text, not {}", kind(value));
                self.problem(value.span(), what, "put it in quotes".to_owned());
                None
            }
        }
    }

    fn option<T>(
        &mut self,
        value: &Value<'_>,
        key: &str,
        parse: impl FnOnce(&OptionValue) -> Result<T, String>,
    ) -> Option<T> {
        let written = self.option_value(value, key)?;
        match parse(&written) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.problem(value.span(), format!("`{key}` {why}"), String::new());
                None
            }
        }
    }

    fn option_value(&mut self, value: &Value<'_>, key: &str) -> Option<OptionValue> {
        let converted = match value.get_ref() {
            DeValue::String(text) => Some(OptionValue::Text(text.clone().into_owned())),
            DeValue::Integer(_) => integer(value).map(OptionValue::Integer),
            DeValue::Boolean(value) => Some(OptionValue::Boolean(*value)),
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map(OptionValue::List),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
        };
        if converted.is_none() {
            let what = format!("`{key}` cannot be {}", kind(value));
            let todo = "write a text, a whole number, true, false or a list of texts".to_owned();
            self.problem(value.span(), what, todo);
        }
        converted
    }

    fn unknown(&mut self, span: Range<usize>, key: &str, title: &str, known: &[&str]) {
        let place = if title.is_empty() {
            "at the top".to_owned()
        } else {
            format!("in {title}")
        };
        let todo = match suggest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.problem(span, format!("unknown key `{key}` {place}"), todo);
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        let todo = "correct the TOML".to_owned();
        self.problem(error.span().unwrap_or(0..0), what, todo);
    }

    fn problem(&mut self, span: Range<usize>, what: String, todo: String) {
        let line = Some(self.line(span.start));
        let (what, todo) = (one_line(&what), one_line(&todo));
        self.problems.push(ConfigProblem { line, what, todo });
    }

    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

const WORKERS: &str = "a whole number from 1 on";

fn integer(value: &Value<'_>) -> Option<i64> {
    let number = value.get_ref().as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn kind(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(text) if text.is_empty() => "an empty text",
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
