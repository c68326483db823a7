//! What the derive records about a dispatcher, as data that a `static` can hold.

use crate::{Context, DispatcherOptions, Failure, Options, PayloadError};

/// Everything known about a dispatcher at compile time.
#[derive(Debug)]
pub struct Definition {
    /// The name stored in rows and typed on the command line.
    pub name: &'static str,
    /// Further exact names.
    pub aliases: &'static [&'static str],
    /// Documentation comment, lines joined by newlines; empty if there is none.
    pub documentation: &'static str,
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
