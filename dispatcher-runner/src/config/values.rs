//! Values of options as people write them: durations, sizes, back-offs, words, lists.
//!
//! The spellings are those of `#[dispatcher(...)]`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use dispatcher_core::duration::{parse_bytes, parse_duration};
use dispatcher_core::{Backoff, suggest};

/// The value of an option in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// `"5m"`, `"serial"`.
    Text(String),
    /// `300`.
    Integer(i64),
    /// `true`.
    Boolean(bool),
    /// `["curl", "jq"]`.
    List(Vec<String>),
    /// `{ LANG = "C" }`.
    Table(BTreeMap<String, String>),
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for OptionValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<Vec<String>> for OptionValue {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

impl OptionValue {
    /// A value typed on the command line, where a number has no quotes to tell it from a text.
    pub(crate) fn typed(text: &str) -> Self {
        match text.parse() {
            Ok(number) => Self::Integer(number),
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::List(items) => format!("{items:?}"),
            // Values of variables may be secrets, and stand in messages that are logged.
            Self::Table(_) => "a table".to_owned(),
        }
    }

    fn refused<T>(&self, takes: &str) -> Result<T, String> {
        Err(self.misfit(takes))
    }

    /// That it is not what is taken.
    pub(super) fn misfit(&self, takes: &str) -> String {
        format!("takes {takes}, not {}", self.shown())
    }

    /// A duration; whole seconds or a text with units.
    pub(crate) fn duration(&self) -> Result<Duration, String> {
        let parsed = match self {
            Self::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Self::Text(text) => parse_duration(text).ok(),
            Self::Boolean(_) | Self::List(_) | Self::Table(_) => None,
        };
        match parsed.filter(|duration| *duration <= DURATION_MAX) {
            Some(duration) => Ok(duration),
            None => self.refused("whole seconds or a duration such as \"5m\" (w, d, h, m, s, ms)"),
        }
    }

    /// A duration of which 0 means none.
    pub(crate) fn duration_or_none(&self) -> Result<Option<Duration>, String> {
        Ok(Some(self.duration()?).filter(|duration| !duration.is_zero()))
    }

    /// A whole number in a range.
    pub(crate) fn integer<T: TryFrom<i64>>(&self, takes: &str) -> Result<T, String> {
        let Self::Integer(number) = self else {
            return self.refused(takes);
        };
        T::try_from(*number).or_else(|_| self.refused(takes))
    }

    /// Bytes; a number or a text with a unit.
    pub(crate) fn bytes(&self) -> Result<u64, String> {
        let parsed = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => parse_bytes(text).ok(),
            Self::Boolean(_) | Self::List(_) | Self::Table(_) => None,
        };
        match parsed.filter(|bytes| *bytes > 0) {
            Some(bytes) => Ok(bytes),
            None => self.refused("bytes such as \"512MiB\" (KiB, MiB, GiB)"),
        }
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, takes: &str) -> Result<String, String> {
        match self {
            Self::Text(text) if !text.is_empty() => Ok(text.clone()),
            Self::Integer(number) => Ok(number.to_string()),
            Self::Text(_) | Self::Boolean(_) | Self::List(_) | Self::Table(_) => {
                self.refused(takes)
            }
        }
    }

    /// A text in quotes that is not empty.
    pub(super) fn quoted_text(&self) -> Result<String, String> {
        let kind = match self {
            Self::Text(text) if text.contains('\0') => "one with a zero byte",
            Self::Text(text) if !text.is_empty() => return Ok(text.clone()),
            Self::Text(_) => "an empty text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        };
        Err(format!("takes a text, not {kind}; put it in quotes"))
    }

    /// One text or a list of them.
    pub(crate) fn texts(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Text(text) if !text.is_empty() => Ok(vec![text.clone()]),
            Self::List(items) if items.iter().all(|item| !item.is_empty()) => Ok(items.clone()),
            Self::Text(_)
            | Self::Integer(_)
            | Self::Boolean(_)
            | Self::List(_)
            | Self::Table(_) => self.refused("a text or a list of texts"),
        }
    }

    /// One of the words of an enum.
    pub(crate) fn word<T: FromStr>(&self, words: &[&str]) -> Result<T, String> {
        if let Self::Text(text) = self
            && let Ok(value) = text.parse()
        {
            return Ok(value);
        }
        Err(self.no_word(words))
    }

    /// That it is none of these words.
    pub(super) fn no_word(&self, words: &[&str]) -> String {
        let list: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let mut message = format!("takes {}, not {}", list.join(", "), self.shown());
        if let Self::Text(text) = self
            && let Some(meant) = suggest(text, words.iter().copied())
        {
            message.push_str(&format!("; did you mean \"{meant}\"?"));
        }
        message
    }

    /// A back-off.
    pub(crate) fn backoff(&self) -> Result<Backoff, String> {
        let parsed = match self {
            Self::Text(text) => parse_backoff(text),
            Self::Integer(_) | Self::Boolean(_) | Self::List(_) | Self::Table(_) => None,
        };
        parsed.map_or_else(
            || {
                self.refused(
                    "\"constant(5s)\", \"linear(5s, 10m)\" or \"exponential(1s, 1h)\", the longest \
                     delay last",
                )
            },
            Ok,
        )
    }
}

/// Longest duration that an option may have, as in an attribute: a century.
const DURATION_MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);

fn parse_backoff(text: &str) -> Option<Backoff> {
    let (kind, rest) = text.trim().split_once('(')?;
    let arguments: Option<Vec<_>> = rest
        .trim_end()
        .strip_suffix(')')?
        .split(',')
        .map(|text| parse_duration(text.trim()).ok())
        .collect();
    match (kind.trim(), arguments?[..].as_ref()) {
        ("constant", &[delay]) => Some(Backoff::Constant { delay }),
        ("linear", &[step, max]) if step <= max => Some(Backoff::Linear { step, max }),
        ("exponential", &[base, max]) if base <= max => Some(Backoff::Exponential { base, max }),
        _ => None,
    }
}
