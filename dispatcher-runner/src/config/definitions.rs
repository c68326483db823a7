//! Dispatchers of the configuration as definitions, beside those that were compiled in.
//!
//! A registry holds definitions for the life of the process, so each different one is made once and
//! kept for good: as many as a configuration has sections, however often it is resolved.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dispatcher_core::{
    Context, Definition, DispatcherOptions, Failure, Options, PayloadError, PayloadKind, Place,
};
use serde::de::IgnoredAny;

/// What makes one definition differ from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) documentation: String,
    /// The file of its section, or a word for code.
    pub(super) file: String,
    pub(super) line: u32,
}

static MADE: Mutex<BTreeMap<Made, &'static Definition>> = Mutex::new(BTreeMap::new());

/// The definition of a section.
pub(super) fn definition(made: Made) -> &'static Definition {
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(made).or_insert_with_key(|made| {
        let kept = |text: &str| -> &'static str { text.to_owned().leak() };
        Box::leak(Box::new(Definition {
            name: kept(&made.name),
            aliases: &[],
            documentation: kept(&made.documentation),
            payload: PayloadKind::Any,
            fields: &[],
            place: Place {
                package: "configuration",
                module: "dispatchers",
                file: kept(&made.file),
                line: made.line,
            },
            options: Options::default,
            dispatcher_options: DispatcherOptions::default,
            default_payload: Some(empty_payload),
            schema: None,
            check: is_json,
            run: refused,
        }))
    })
}

fn empty_payload() -> Result<String, PayloadError> {
    Ok("{}".to_owned())
}

fn is_json(payload: &str, _: &mut Options) -> Result<(), PayloadError> {
    match serde_json::from_str::<IgnoredAny>(payload) {
        Ok(_) => Ok(()),
        Err(error) => Err(PayloadError {
            // Whoever asks knows the name; a function without a value cannot.
            dispatcher: "",
            reason: error.to_string(),
        }),
    }
}

fn refused(_: &str, _: &mut Context) -> Result<Result<(), Failure>, PayloadError> {
    let why = "this dispatcher is of the configuration: a command or a pool does its work, and no \
               process of the program";
    Ok(Err(Failure::discard(why)))
}
