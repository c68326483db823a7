//! What the derive records about a dispatcher, as data that a `static` can hold.

use serde_json::error::Category;

use crate::{Context, DispatcherOptions, Failure, Options, PayloadError, canonical};

/// Payloads of a struct without fields; the first is the one that is stored.
pub(crate) const EMPTY_PAYLOADS: [&str; 3] = ["{}", "null", "[]"];

/// Everything known about a dispatcher at compile time.
#[derive(Debug)]
pub struct Definition {
    /// The name stored in rows and typed on the command line.
    pub name: &'static str,
    /// Further exact names.
    pub aliases: &'static [&'static str],
    /// Documentation comment, lines joined by newlines; empty if there is none.
    pub documentation: &'static str,
    /// What its payloads are.
    pub payload: PayloadKind,
    /// Fields in the order of the source.
    pub fields: &'static [Field],
    /// Where it stands in the source.
    pub place: Place,
    /// Declared options of a job.
    pub options: fn() -> Options,
    /// Declared options of the dispatcher.
    pub dispatcher_options: fn() -> DispatcherOptions,
    /// Payload of a scheduled job; `None` for a dispatcher that is not [`Default`].
    pub default_payload: Option<fn() -> Result<String, PayloadError>>,
    /// JSON Schema of the payload; `None` without the `schema` option.
    pub schema: Option<fn() -> serde_json::Value>,
    /// Checks that a payload fits, and lets the value adjust the options of its job.
    pub check: fn(payload: &str, options: &mut Options) -> Result<(), PayloadError>,
    /// Runs one job in this very process.
    pub run: Run,
}

impl Definition {
    /// The payload as it is stored, so that one job has one identity: a struct without fields is
    /// always `{}`, whether a value, a person or nobody wrote `null`, `[]` or `{ }`.
    ///
    /// ```
    /// use dispatcher_core::{Context, Dispatcher, Failure, Process};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Dispatcher, Serialize, Deserialize)]
    /// struct Reload;
    ///
    /// impl Process for Reload {
    ///     fn process(&mut self, _: &mut Context) -> Result<(), Failure> { Ok(()) }
    /// }
    ///
    /// assert_eq!(Reload::definition().stored_payload("null".into()), "{}");
    /// ```
    #[must_use]
    pub fn stored_payload(&self, payload: String) -> String {
        if self.is_empty_payload(&payload) {
            EMPTY_PAYLOADS[0].to_owned()
        } else {
            payload
        }
    }

    /// What is wrong with a payload, as it may be told to anybody.
    ///
    /// The reader's words quote the value that does not fit. Of a dispatcher with secret fields
    /// they are told without it, since nobody knows here which field it stood in.
    #[must_use]
    pub fn refusal(&self, error: &serde_json::Error) -> PayloadError {
        let reason = if self.fields.iter().any(|field| field.secret) {
            without_values(error)
        } else {
            error.to_string()
        };
        PayloadError {
            dispatcher: self.name,
            reason,
        }
    }

    /// Whether a payload says no more than that the struct has no fields.
    pub(crate) fn is_empty_payload(&self, payload: &str) -> bool {
        let empty = |text: String| EMPTY_PAYLOADS.contains(&text.as_str());
        let is_struct = self.payload == PayloadKind::Fields;
        is_struct && self.fields.is_empty() && canonical(payload).is_ok_and(empty)
    }
}

/// Says what a reader said, with `***` for every value.
fn without_values(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match error.classify() {
        // The grammar's words name no values.
        Category::Io | Category::Syntax | Category::Eof => return told,
        Category::Data => {}
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let (words, place) = match told.strip_suffix(&place) {
        Some(words) => (words, place.as_str()),
        None => (told.as_str(), ""),
    };
    // These name a field of the type and nothing else.
    let of_fields = ["missing field `", "duplicate field `"];
    let named = of_fields.iter().find_map(|start| words.strip_prefix(start));
    if named.is_some_and(|rest| rest.find('`') == rest.len().checked_sub(1)) {
        return told;
    }
    let kinds = [
        "invalid type",
        "invalid value",
        "invalid length",
        "unknown variant",
        "unknown field",
    ];
    let kind = kinds.into_iter().find(|kind| words.starts_with(kind));
    // What was expected is the type's word; the last one, for the value may hold such a text too.
    let expected = words
        .rsplit_once(", expected ")
        .map(|(_, expected)| expected);
    match (kind, expected) {
        (Some(kind), Some(expected)) => format!("{kind}: ***, expected {expected}{place}"),
        (Some(_) | None, _) => format!("a value is refused by its type: ***{place}"),
    }
}

/// What the payloads of a dispatcher are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// The fields of a struct.
    Fields,
    /// Any JSON, which stays as it was sent: the dispatcher is no type of the program.
    Any,
}

/// Runs one job; the outer error says that the payload does not fit.
pub type Run = fn(payload: &str, cx: &mut Context) -> Result<Result<(), Failure>, PayloadError>;

/// One field of a dispatcher's struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name in the payload: serde's rename is honoured.
    pub name: &'static str,
    /// Type as written.
    pub type_name: &'static str,
    /// Documentation comment.
    pub documentation: &'static str,
    /// Shown as `***` everywhere.
    pub secret: bool,
}

/// Where something stands in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Crate that declared it.
    pub package: &'static str,
    /// Path of the module.
    pub module: &'static str,
    /// Source file as the compiler names it.
    pub file: &'static str,
    /// Line in that file.
    pub line: u32,
}
