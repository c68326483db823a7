//! The log of a supervisor or a service, and how chains of errors are printed.
//!
//! A line is one write, and no byte of a value can end it or harm a terminal: control characters
//! are escaped.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Variable that names the least severe level that is written: `error`, `warn`, `info` or `debug`.
const LEVEL_VARIABLE: &str = "DISPATCHER_LOG";

/// How events are written: as warnings of a command, or as a log whose least severe level is the
/// one at this place of [`LEVELS`], counted from 1, with [`JSON`] added for that format.
static FORM: AtomicU8 = AtomicU8::new(WARNINGS);
const WARNINGS: u8 = 0;
const LEVELS: [Level; 4] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
const JSON: u8 = 0x80;

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The least severe level that is written.
    pub(crate) level: Level,
    pub(crate) format: Format,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Time, level, message, then fields as `name=value`.
    Text,
    /// An object with `time`, `level`, `message` and the fields.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::INFO,
            format: Format::Text,
        }
    }
}

impl Settings {
    /// Those of a level that is named as in a configuration, and of a format.
    pub(crate) fn named(level: &str, format: Format) -> Self {
        let level = level.parse().unwrap_or(Level::INFO);
        Self { level, format }
    }
}

/// Writes events to standard error, one line each, unless the program has a subscriber of its own.
/// The variable's level goes before that of the settings. What happens with every job is DEBUG
/// where it is on record in the store only, and INFO in a service.
pub(crate) fn to_stderr(settings: Settings) {
    let named = std::env::var_os(LEVEL_VARIABLE).filter(|level| !level.is_empty());
    let least = named
        .as_ref()
        .map(|level| level.to_str().and_then(|level| level.parse().ok()));
    let level = least.flatten().unwrap_or(settings.level);
    write_as(form(level, settings.format));
    if least == Some(None) {
        tracing::warn!(
            level = ?named.unwrap_or_default(),
            "DISPATCHER_LOG is none of error, warn, info, debug; {} it is",
            settings.level.as_str().to_ascii_lowercase()
        );
    }
}

/// Writes errors to standard error as warnings of a command, each once, unless the program has a
/// subscriber of its own.
pub(crate) fn warnings_to_stderr() {
    write_as(WARNINGS);
}

/// The least severe level that is written; `None` while events are the business of the program.
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub(crate) fn level() -> Option<Level> {
    settings(FORM.load(Ordering::Relaxed)).map(|settings| settings.level)
}

/// Changes the least severe level that is written, if this program's log is written here.
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub(crate) fn set_level(level: Level) {
    if let Some(settings) = settings(FORM.load(Ordering::Relaxed)) {
        FORM.store(form(level, settings.format), Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

fn write_as(form: u8) {
    FORM.store(form, Ordering::Relaxed);
    let _ = tracing::subscriber::set_global_default(Stderr::default());
    // A command that becomes a service has a subscriber already.
    tracing::callsite::rebuild_interest_cache();
}

fn form(level: Level, format: Format) -> u8 {
    let place = LEVELS.iter().position(|it| *it == level);
    let place = place.map_or(LEVELS.len(), |place| place + 1);
    let place = u8::try_from(place).unwrap_or(u8::MAX) & !JSON;
    match format {
        Format::Text => place,
        Format::Json => place | JSON,
    }
}

/// What a form stands for; `None` while events are warnings.
fn settings(form: u8) -> Option<Settings> {
    let place = usize::from(form & !JSON).checked_sub(1)?;
    Some(Settings {
        level: LEVELS.get(place).copied().unwrap_or(Level::DEBUG),
        format: match form & JSON {
            0 => Format::Text,
            _ => Format::Json,
        },
    })
}

/// An error with all of its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[derive(Default)]
struct Stderr {
    warned: Mutex<BTreeSet<String>>,
}

impl Stderr {
    /// On a full disk a line is lost; whoever wanted to write it goes on.
    fn warn(&self, event: &Event<'_>) {
        let mut line = Line("warning:".to_owned());
        event.record(&mut line);
        line.0.push('\n');
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(line.0.clone()) {
            let _ = std::io::stderr().write_all(line.0.as_bytes());
        }
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let settings = settings(FORM.load(Ordering::Relaxed));
        let least = settings.map_or(Level::ERROR, |settings| settings.level);
        *metadata.level() <= least && metadata.target().starts_with("dispatcher")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(settings) = settings(FORM.load(Ordering::Relaxed)) else {
            return self.warn(event);
        };
        let level = *event.metadata().level();
        let mut line = match settings.format {
            Format::Text => {
                let mut line = Line(format!("{} {level:5}", jiff::Timestamp::now()));
                event.record(&mut line);
                line.0
            }
            Format::Json => {
                let mut object = Object::new(&jiff::Timestamp::now().to_string(), level);
                event.record(&mut object);
                object.into_line()
            }
        };
        line.push('\n');
        // One write: lines of other threads and processes do not come in between.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line of text under construction.
struct Line(String);

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        self.0.push(' ');
        if field.name() != MESSAGE {
            self.0.push_str(field.name());
            self.0.push('=');
        }
        for char in value.chars() {
            if char.is_control() {
                self.0.extend(char.escape_default());
            } else {
                self.0.push(char);
            }
        }
    }
}

/// Name of the field that is the message.
const MESSAGE: &str = "message";

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

/// A line of JSON under construction.
struct Object(Map<String, Value>);

impl Object {
    fn new(time: &str, level: Level) -> Self {
        let mut members = Map::new();
        members.insert("time".to_owned(), time.into());
        let level = level.as_str().to_ascii_lowercase();
        members.insert("level".to_owned(), level.into());
        Self(members)
    }

    /// A field never replaces what every line has.
    fn add(&mut self, field: &Field, value: Value) {
        let mut name = field.name().to_owned();
        while self.0.contains_key(&name) {
            name.insert_str(0, "field_");
        }
        self.0.insert(name, value);
    }

    fn into_line(self) -> String {
        Value::Object(self.0).to_string()
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back() {
        for level in LEVELS {
            for format in [Format::Text, Format::Json] {
                let written = Settings { level, format };
                assert_eq!(settings(form(level, format)), Some(written));
            }
        }
        assert_eq!(settings(WARNINGS), None);
        let trace = settings(form(Level::TRACE, Format::Json));
        assert_eq!(trace.map(|it| it.level), Some(Level::DEBUG));
    }

    /// A subscriber that keeps the lines that it would write.
    #[derive(Default)]
    struct Kept(Mutex<Vec<(String, String)>>);

    impl Subscriber for &'static Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            let mut object = Object::new("now", *event.metadata().level());
            event.record(&mut object);
            self.0.lock().unwrap().push((line.0, object.into_line()));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_value_can_neither_end_a_line_nor_replace_what_every_line_has() {
        let kept: &'static Kept = Box::leak(Box::default());
        tracing::subscriber::with_default(kept, || {
            let odd = "a\nb\u{1b}[2J\u{85}";
            tracing::info!(job = %odd, name = odd, attempt = 7_u32, late = true, "it {odd}");
            tracing::warn!(level = "loud", time = 1.5, "fields");
        });
        let lines = kept.0.lock().unwrap();
        let (text, json) = &lines[0];
        let odd = r"a\nb\u{1b}[2J\u{85}";
        assert_eq!(
            *text,
            format!(" it {odd} job={odd} name={odd} attempt=7 late=true")
        );
        assert!(!json.contains('\n') && !json.contains('\u{1b}'), "{json}");
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["message"], "it a\nb\u{1b}[2J\u{85}");
        assert_eq!(value["job"], "a\nb\u{1b}[2J\u{85}");
        assert_eq!(
            (&value["attempt"], &value["late"]),
            (&7.into(), &true.into())
        );
        let value: Value = serde_json::from_str(&lines[1].1).unwrap();
        assert_eq!(
            (&value["level"], &value["time"]),
            (&"warn".into(), &"now".into())
        );
        assert_eq!(value["field_level"], "loud");
        assert_eq!(value["field_time"], 1.5);
    }
}
