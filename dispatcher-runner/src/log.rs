//! The supervisor's own log, and how chains of errors are printed.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Variable that names the least severe level that is written: `error`, `warn`, `info` or `debug`.
const LEVEL_VARIABLE: &str = "DISPATCHER_LOG";

/// How events are written: as warnings of a command, or as a log whose least severe level is the
/// one at this place of [`LEVELS`], counted from 1.
static FORM: AtomicU8 = AtomicU8::new(WARNINGS);
const WARNINGS: u8 = 0;
const LEVELS: [Level; 4] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];

/// Writes events of level INFO and above, or as the variable says, to standard error, one line
/// each, unless the program has a subscriber of its own. What happens with every job is DEBUG where
/// it is on record in the store only, and INFO in a service.
pub(crate) fn to_stderr() {
    let named = std::env::var_os(LEVEL_VARIABLE).filter(|level| !level.is_empty());
    let least = named
        .as_ref()
        .map(|level| level.to_str().and_then(|level| level.parse().ok()));
    let level = least.flatten().unwrap_or(Level::INFO);
    let place = LEVELS.iter().position(|it| *it == level);
    let place = place.map_or(LEVELS.len(), |place| place + 1);
    write_as(u8::try_from(place).unwrap_or(u8::MAX));
    if least == Some(None) {
        tracing::warn!(
            level = ?named.unwrap_or_default(),
            "DISPATCHER_LOG is none of error, warn, info, debug; info it is"
        );
    }
}

/// Writes errors to standard error as warnings of a command, each once, unless the program has a
/// subscriber of its own.
pub(crate) fn warnings_to_stderr() {
    write_as(WARNINGS);
}

fn write_as(form: u8) {
    FORM.store(form, Ordering::Relaxed);
    let _ = tracing::subscriber::set_global_default(Stderr::default());
    // A command that becomes a service has a subscriber already.
    tracing::callsite::rebuild_interest_cache();
}

/// The least severe level of a log; `None` while events are warnings.
fn least() -> Option<Level> {
    let place = usize::from(FORM.load(Ordering::Relaxed)).checked_sub(1)?;
    Some(LEVELS.get(place).copied().unwrap_or(Level::DEBUG))
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
        let least = least().unwrap_or(Level::ERROR);
        *metadata.level() <= least && metadata.target().starts_with("dispatcher")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if least().is_none() {
            return self.warn(event);
        }
        let mut line = Line(format!(
            "{} {:5}",
            jiff::Timestamp::now(),
            event.metadata().level()
        ));
        event.record(&mut line);
        line.0.push('\n');
        let _ = std::io::stderr().write_all(line.0.as_bytes());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.0, " {value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }
}
