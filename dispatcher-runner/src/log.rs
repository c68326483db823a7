//! The supervisor's own log, and how chains of errors are printed.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Variable that names the least severe level that is written: `error`, `warn`, `info` or `debug`.
const LEVEL_VARIABLE: &str = "DISPATCHER_LOG";

/// Writes events of level INFO and above, or as the variable says, to standard error, one line
/// each, unless the program has a subscriber of its own. What happens with every job is DEBUG: it
/// is on record in the store, and would fill a disk here.
pub(crate) fn to_stderr() {
    let named = std::env::var_os(LEVEL_VARIABLE).filter(|level| !level.is_empty());
    let least = named
        .as_ref()
        .map(|level| level.to_str().and_then(|level| level.parse().ok()));
    let _ = tracing::subscriber::set_global_default(Stderr {
        least: least.flatten().unwrap_or(Level::INFO),
    });
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
    let _ = tracing::subscriber::set_global_default(Warnings::default());
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

struct Stderr {
    least: Level,
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.least && metadata.target().starts_with("dispatcher")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!(
            "{} {:5}",
            jiff::Timestamp::now(),
            event.metadata().level()
        ));
        event.record(&mut line);
        line.0.push('\n');
        // On a full disk the line is lost; whoever wanted to write it goes on.
        let _ = std::io::stderr().write_all(line.0.as_bytes());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Warnings {
    said: Mutex<BTreeSet<String>>,
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::ERROR && metadata.target().starts_with("dispatcher")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line("warning:".to_owned());
        event.record(&mut line);
        line.0.push('\n');
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(line.0.clone()) {
            let _ = std::io::stderr().write_all(line.0.as_bytes());
        }
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
