//! Reads a configuration file, strictly: every unknown key and every wrong value is a problem
//! with its line, and all of them are reported at once.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dispatcher_core::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::one_line;
use super::keys::{APP, Key, LOG, Mistake, RETENTION, SERVICE, STORE, Site};
use super::origin::{Origin, Origins, key_path};
use super::pools::{POOL, PoolDraft, pool_name_mistake};
use super::remote::REMOTE;
use super::sources::{SourceSection, Written, line_of, line_starts};
use super::work::{WORK, WorkDraft};
use super::{
    Config, ConfigError, ConfigProblem, OptionValue, Overrides, PoolOf, WorkOf, reference,
};
use crate::pool::PoolConfig;

/// The version of the format that this program reads.
const VERSION: i64 = 1;
/// A configuration larger than this is a mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

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
            starts: line_starts(text),
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

/// A text that is a file, and not a large one.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut text = String::new();
    if size <= FILE_BYTES_MAX {
        // Also what has no size of its own, such as a pipe, has an end here.
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    }
    let size = size.max(text.len() as u64);
    if size > FILE_BYTES_MAX {
        let text = format!("it has {size} bytes, more than {FILE_BYTES_MAX}");
        return Err(std::io::Error::other(text));
    }
    Ok(text)
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    starts: Arc<[usize]>,
    problems: Vec<ConfigProblem>,
}

type Value<'i> = Spanned<DeValue<'i>>;
/// A key with its place, and its value.
type Entry<'v, 'i> = (Range<usize>, &'v str, &'v Value<'i>);

impl Reader<'_> {
    fn root(&mut self, table: &DeTable<'_>, config: &mut Config) {
        let mut version = None;
        let mut entries: Vec<_> = table.iter().collect();
        // Pools come before whoever names them.
        entries.sort_by_key(|(key, _)| key.get_ref() != "pools");
        for (key, value) in entries {
            match key.get_ref().as_ref() {
                "version" => version = Some(value),
                "app" => self.plain(value, &["app"], APP, &[], config),
                "store" => self.store(value, config),
                "aliases" => self.aliases(value, config),
                "service" => self.plain(value, &["service"], SERVICE, &[], config),
                "log" => self.plain(value, &["log"], LOG, &[], config),
                "remote" => self.plain(value, &["remote"], REMOTE, &[], config),
                "pools" => self.pools(value, config),
                "dispatchers" => self.dispatchers(value, config),
                "sources" => self.sources(value, config),
                other => self.unknown(key.span(), other, "", reference::ROOT),
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

    fn store(&mut self, value: &Value<'_>, config: &mut Config) {
        self.plain(value, &["store"], STORE, &["retention"], config);
        let retention = value
            .get_ref()
            .as_table()
            .and_then(|table| table.get("retention"));
        if let Some(value) = retention {
            self.plain(value, &["store", "retention"], RETENTION, &[], config);
        }
    }

    /// A section whose keys are set on the configuration; what is `nested` is read elsewhere.
    fn plain(
        &mut self,
        value: &Value<'_>,
        section: &[&str],
        keys: &'static [Key<Config>],
        nested: &[&str],
        config: &mut Config,
    ) {
        let title = format!("[{}]", section.join("."));
        let mut origins = std::mem::take(&mut config.origins);
        for entry in self.table(value, &title) {
            if !nested.contains(&entry.1) {
                self.key(&entry, keys, nested, section, config, &mut origins);
            }
        }
        config.origins = origins;
    }

    /// Sets one key of a table of keys.
    fn key<T, S>(
        &mut self,
        (span, name, value): &Entry<'_, '_>,
        keys: &'static [Key<T, S>],
        nested: &[&str],
        section: &[&str],
        target: &mut T,
        origins: &mut Origins,
    ) {
        let Some(key) = keys.iter().find(|key| key.name == *name) else {
            let known: Vec<_> = keys
                .iter()
                .map(|key| key.name)
                .chain(nested.iter().copied())
                .collect();
            self.unknown(span.clone(), name, &title_of(section), &known);
            return;
        };
        let Some(written) = self.option_value(value, name) else {
            return;
        };
        let site = self.site(value.span());
        match (key.set)(target, &written, &site) {
            Ok(()) => origins.set(
                &[section, &[*name]].concat(),
                self.site(span.clone()).origin,
            ),
            Err(mistake) => self.mistake(value.span(), name, mistake),
        }
    }

    fn site(&self, span: Range<usize>) -> Site<'_> {
        Site {
            folder: self.folder(),
            origin: Origin::File {
                path: self.path.to_owned(),
                line: self.line(span.start),
            },
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn aliases(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, alias, value) in self.table(value, "[aliases]") {
            if alias.is_empty() {
                let todo = "write `\"other-name\" = \"Name\"`".to_owned();
                self.problem(span, "an alias is empty".to_owned(), todo);
                continue;
            }
            if let Some(target) = self.string(value, alias) {
                let origin = self.site(span).origin;
                config.origins.set(&["aliases", alias], origin);
                config.aliases.insert(alias.to_owned(), target);
            }
        }
    }

    fn pools(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, name, value) in self.table(value, "[pools]") {
            if let Some(mistake) = pool_name_mistake(name) {
                let what = format!("a pool cannot be called {name:?}");
                self.problem(span, what, mistake);
                continue;
            }
            let section = ["pools", name];
            let draft = PoolDraft::default();
            // A pool with mistakes is there all the same, for whoever names it.
            let pool = self.pool(&span, value, &section, draft, &mut config.origins);
            let pool = pool.unwrap_or_default();
            config.pools.insert(name.to_owned(), pool);
        }
    }

    fn pool(
        &mut self,
        span: &Range<usize>,
        value: &Value<'_>,
        section: &[&str],
        mut draft: PoolDraft,
        origins: &mut Origins,
    ) -> Option<PoolConfig> {
        origins.set(section, self.site(span.clone()).origin);
        let before = self.problems.len();
        for entry in self.table(value, &title_of(section)) {
            self.key(&entry, POOL, &[], section, &mut draft, origins);
        }
        if self.problems.len() > before {
            return None;
        }
        match draft.settle(self.folder()) {
            Ok(pool) => Some(pool),
            Err(mistake) => {
                self.mistake(span.clone(), "", mistake);
                None
            }
        }
    }

    fn dispatchers(&mut self, value: &Value<'_>, config: &mut Config) {
        for (span, name, value) in self.table(value, "[dispatchers]") {
            let section = ["dispatchers", name];
            config.origins.set(&section, self.site(span.clone()).origin);
            let mut overrides = Overrides::default();
            let mut draft = WorkDraft::default();
            for entry in self.table(value, &title_of(&section)) {
                let is_table = entry.2.get_ref().is_table();
                let is_work = match entry.1 {
                    "env" => is_table,
                    other => WORK.iter().any(|key| key.name == other),
                };
                if is_work {
                    self.key(&entry, WORK, &[], &section, &mut draft, &mut config.origins);
                } else {
                    self.an_option(&entry, &section, &mut overrides, &mut config.origins);
                }
            }
            match draft.settle(Some(self.line(span.start))) {
                Ok(Some(configured)) => {
                    if let WorkOf::Pool(pool) = &configured.work {
                        self.pool_name(value, pool, config);
                    }
                    config.configured.insert(name.to_owned(), configured);
                }
                Ok(None) => {}
                Err(mistake) => self.mistake(span, "", mistake),
            }
            config.overrides.insert(name.to_owned(), overrides);
        }
    }

    fn an_option(
        &mut self,
        (span, option, value): &Entry<'_, '_>,
        section: &[&str],
        overrides: &mut Overrides,
        origins: &mut Origins,
    ) {
        let Some(value) = self.option_value(value, option) else {
            return;
        };
        if let Err(what) = overrides.set(option, value) {
            // The advice, where there is some, stands behind the semicolon.
            let (what, todo) = match what.split_once("; ") {
                Some((what, todo)) => (what.to_owned(), todo.to_owned()),
                None => (what, String::new()),
            };
            self.problem(span.clone(), what, todo);
            return;
        }
        origins.set(
            &[section, &[*option]].concat(),
            self.site(span.clone()).origin,
        );
    }

    fn sources(&mut self, value: &Value<'_>, config: &mut Config) {
        let text: Arc<str> = self.text.into();
        for (span, name, value) in self.table(value, "[sources]") {
            let section = ["sources", name];
            let entries = self.table(value, &title_of(&section));
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            config.origins.set(&section, self.site(span.clone()).origin);
            for (span, key, _) in &entries {
                let origin = self.site(span.clone()).origin;
                config.origins.set(&["sources", name, key], origin);
            }
            let pool = entries.iter().find(|(_, key, _)| *key == "pool");
            let pool = pool.and_then(|(span, _, pool)| {
                if pool.get_ref().is_table() {
                    let section = ["sources", name, "pool"];
                    let draft = PoolDraft::with_mode(name);
                    self.pool(span, pool, &section, draft, &mut config.origins)
                        .map(PoolOf::Inline)
                } else {
                    let named = self.string(pool, "pool")?;
                    self.pool_name(value, &named, config);
                    Some(PoolOf::Named(named))
                }
            });
            let written = Written {
                text: text.clone(),
                starts: self.starts.clone(),
            };
            let line = self.line(span.start);
            let path = self.path.to_owned();
            let section = SourceSection::of_file(name, table, path, written, pool, line);
            config.sources.insert(name.to_owned(), section);
        }
    }

    /// Whoever names a pool names one that is there.
    fn pool_name(&mut self, section: &Value<'_>, pool: &str, config: &Config) {
        let Some((what, todo)) = config.pool_problem(pool) else {
            return;
        };
        let span = section
            .get_ref()
            .as_table()
            .and_then(|table| table.get("pool"));
        let span = span.map_or(section.span(), Spanned::span);
        self.problem(span, what, todo);
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
            DeValue::Table(table) => table
                .iter()
                .map(|(name, value)| {
                    let value = value.get_ref().as_str()?.to_owned();
                    Some((name.get_ref().to_string(), value))
                })
                .collect::<Option<_>>()
                .map(OptionValue::Table),
            DeValue::Float(_) | DeValue::Datetime(_) => None,
        };
        if converted.is_none() {
            let (what, todo) = match value.get_ref() {
                DeValue::Table(_) => (
                    "a table with anything but texts in it",
                    "put each value in quotes",
                ),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => (
                    kind(value),
                    "write a text, a whole number, true, false or a list of texts",
                ),
            };
            let (what, todo) = (format!("`{key}` cannot be {what}"), todo.to_owned());
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

    fn mistake(&mut self, span: Range<usize>, key: &str, mistake: Mistake) {
        match mistake {
            Mistake::Value(why) => self.problem(span, format!("`{key}` {why}"), String::new()),
            Mistake::Whole { what, todo } => self.problem(span, what, todo),
        }
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
        line_of(&self.starts, offset.min(self.text.len()))
    }
}

/// The heading of a section.
fn title_of(section: &[&str]) -> String {
    format!("[{}]", key_path(section))
}

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
