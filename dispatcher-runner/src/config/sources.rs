//! `[sources.NAME]`: sections that are kept as they are written, for the source to read.
//!
//! What a source's type does not take is told as strictly as any other mistake in the file: every
//! unknown key at once, with its line and what was probably meant.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use dispatcher_core::suggest;
use serde::Deserializer;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table};

use super::error::one_line;
use super::origin::key;
use super::{ConfigError, ConfigProblem};
use crate::pool::PoolConfig;

/// The section of one source.
#[derive(Debug, Clone)]
pub struct SourceSection {
    name: String,
    table: Table,
    line: Option<usize>,
    lines: BTreeMap<String, usize>,
    pool: Option<PoolOf>,
    file: Option<PathBuf>,
    /// `None` when it was made in code.
    written: Option<Written>,
}

/// The pool that a source uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each source, and a box would be in the way of whoever matches"
)]
pub enum PoolOf {
    /// `pool = "php"`: one of `[pools]`, or `default`.
    Named(String),
    /// `[sources.ticker.pool]`: one of its own.
    Inline(PoolConfig),
}

/// The file in which a section stands. It is read again for the places in it: a parsed one
/// borrows its text.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: Arc<str>,
    /// Where each line of the file begins.
    pub(super) starts: Arc<[usize]>,
}

impl SourceSection {
    /// One of code, which has no lines; it names its pool by the key `pool`, or has none.
    pub(super) fn of_code(name: &str, mut table: Table) -> Self {
        let pool = match table.remove("pool") {
            Some(toml::Value::String(pool)) => Some(PoolOf::Named(pool)),
            Some(other) => {
                // Left to the source, which says that it does not take it.
                table.insert("pool".to_owned(), other);
                None
            }
            None => None,
        };
        Self {
            name: name.to_owned(),
            table,
            line: None,
            lines: BTreeMap::new(),
            pool,
            file: None,
            written: None,
        }
    }

    /// One of a file, without the key `pool`.
    pub(super) fn of_file(
        name: &str,
        table: &DeTable<'_>,
        file: PathBuf,
        written: Written,
        pool: Option<PoolOf>,
        line: usize,
    ) -> Self {
        let entries = || table.iter().filter(|(key, _)| key.get_ref() != "pool");
        let line_of_key = |key: &Spanned<_>| line_of(&written.starts, key.span().start);
        let lines = entries().map(|(key, _)| (key.get_ref().to_string(), line_of_key(key)));
        let table = entries()
            .filter_map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)));
        Self {
            name: name.to_owned(),
            lines: lines.collect(),
            table: table.collect(),
            line: Some(line),
            pool,
            file: Some(file),
            written: Some(written),
        }
    }

    /// Everything in it but `pool`.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Line of the section in the file; `None` when it was made in code.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Line of one of its keys.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }

    /// The pool that it names or has.
    #[must_use]
    pub fn pool(&self) -> Option<&PoolOf> {
        self.pool.as_ref()
    }

    /// The section as the type of its source. A key that no field of `T` has is a mistake, whether
    /// `T` denies unknown fields or not.
    ///
    /// # Errors
    /// When keys are unknown, missing, or of another kind: with lines, and what was probably meant.
    ///
    /// ```
    /// use dispatcher_runner::{Config, toml};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Watcher { folder: String }
    ///
    /// let mut table = toml::Table::new();
    /// table.insert("foldr".into(), "/srv".into());
    /// let config = Config::new("app").with_source("watcher", table);
    /// let error = config.source("watcher").unwrap().read::<Watcher>().err().unwrap();
    /// assert!(error.why().contains("did you mean `folder`?"), "{}", error.why());
    /// ```
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let fields = fields_of::<T>();
        let is_unknown = |key: &str| fields.is_some_and(|fields| !fields.contains(&key));
        let mut problems: Vec<_> = self
            .table
            .keys()
            .filter(|key| is_unknown(key))
            .map(|key| self.unknown(key, fields.unwrap_or_default()))
            .collect();
        let read = match &self.written {
            Some(written) => {
                let found = self.find(written);
                let span = found.span();
                let known = found.into_inner().into_iter();
                let known: DeTable<'_> = known
                    .filter(|(key, _)| !is_unknown(key.get_ref()) && key.get_ref() != "pool")
                    .collect();
                T::deserialize(toml::de::Deserializer::from(Spanned::new(span, known)))
            }
            None => {
                let known = self.table.iter().filter(|(key, _)| !is_unknown(key));
                let known = known.map(|(key, value)| (key.clone(), value.clone()));
                known.collect::<Table>().try_into()
            }
        };
        match read {
            Ok(value) if problems.is_empty() => Ok(value),
            Ok(_) => Err(self.error(problems)),
            Err(error) => {
                problems.push(self.told(&error));
                Err(self.error(problems))
            }
        }
    }

    fn error(&self, mut problems: Vec<ConfigProblem>) -> ConfigError {
        problems.sort_by_key(|problem| problem.line);
        let path = self.file.clone();
        ConfigError::Problems { path, problems }
    }

    fn title(&self) -> String {
        format!("[sources.{}]", key(&self.name))
    }

    fn unknown(&self, key: &str, known: &[&str]) -> ConfigProblem {
        let todo = match suggest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "it takes none".to_owned(),
            None => format!("known are {}", known.join(", ")),
        };
        ConfigProblem {
            line: self.line_of(key).or(self.line),
            what: one_line(&format!("unknown key `{key}` in {}", self.title())),
            todo: one_line(&todo),
        }
    }

    /// What the type said, with the line that it said it of.
    fn told(&self, error: &toml::de::Error) -> ConfigProblem {
        let said = error.message().trim_end();
        let place = error.span().and_then(|span| self.place(&span));
        let (key, line) = match place {
            Some((key, line)) => (key, Some(line)),
            None => (None, self.line),
        };
        let title = self.title();
        let what = match key {
            Some(key) => format!("`{key}` of {title}: {said}"),
            None => format!("{title}: {said}"),
        };
        ConfigProblem {
            line,
            what: one_line(&what),
            todo: one_line(&advice(said)),
        }
    }

    /// The key in which a place of the file lies, and its line; none for the section as a whole.
    fn place(&self, span: &Range<usize>) -> Option<(Option<String>, usize)> {
        let written = self.written.as_ref()?;
        let found = self.find(written);
        if *span == found.span() {
            return None;
        }
        let holds = |(key, value): &(&Spanned<_>, &Spanned<DeValue<'_>>)| {
            (key.span().start..value.span().end.max(key.span().end)).contains(&span.start)
        };
        let entry = found.get_ref().iter().find(holds);
        let key = entry.map(|(key, _)| key.get_ref().to_string());
        Some((key, line_of(&written.starts, span.start)))
    }

    /// The section, with the places of everything in it.
    fn find<'w>(&self, written: &'w Written) -> Spanned<DeTable<'w>> {
        let (root, _) = DeTable::parse_recoverable(&written.text);
        let sources = member(root.into_inner(), "sources");
        let section = sources.and_then(|sources| member(table_of(sources)?.1, &self.name));
        let (span, table) = section.and_then(table_of).unwrap_or_default();
        Spanned::new(span, table)
    }
}

/// The number of the line, from 1, in which a byte lies.
pub(super) fn line_of(starts: &[usize], offset: usize) -> usize {
    starts.partition_point(|start| *start <= offset).max(1)
}

/// Where each line of a text begins.
pub(super) fn line_starts(text: &str) -> Arc<[usize]> {
    let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0)
        .chain(after.map(|(at, _)| at + 1))
        .collect()
}

fn member<'w>(table: DeTable<'w>, name: &str) -> Option<Spanned<DeValue<'w>>> {
    let mut entries = table.into_iter();
    entries
        .find(|(key, _)| key.get_ref() == name)
        .map(|(_, value)| value)
}

fn table_of(value: Spanned<DeValue<'_>>) -> Option<(Range<usize>, DeTable<'_>)> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some((span, table)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => None,
    }
}

/// What to do about a message of serde.
fn advice(said: &str) -> String {
    let between = |text: &str| {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let words: Vec<String> = between(said);
    match words.split_first() {
        Some((found, known)) if said.starts_with("unknown ") && !known.is_empty() => {
            match suggest(found, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => String::new(),
            }
        }
        Some((missing, [])) if said.starts_with("missing field ") => format!("add `{missing} = …`"),
        Some(_) | None => String::new(),
    }
}

fn plain_table(table: &DeTable<'_>) -> Table {
    let entries = table.iter();
    entries
        .filter_map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)))
        .collect()
}

/// A value without its place; `None` for a number that no value can hold.
fn plain(value: &DeValue<'_>) -> Option<toml::Value> {
    Some(match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            toml::Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(date) => toml::Value::Datetime(*date),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| plain(item.get_ref()));
            toml::Value::Array(items.collect::<Option<_>>()?)
        }
        DeValue::Table(table) => toml::Value::Table(plain_table(table)),
    })
}

/// The keys that a type takes, if it is a struct that names them.
fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let fields = Cell::new(None);
    // The probe has no value to give; it only hears what is asked for.
    let _ = T::deserialize(Probe(&fields));
    fields.get()
}

/// Hears which fields a type asks for.
struct Probe<'a>(&'a Cell<Option<&'static [&'static str]>>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("a probe has no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(Some(fields));
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
