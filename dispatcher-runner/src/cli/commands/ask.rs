//! `control`: commands of dispatcherd, over the socket or the channel of a source.
//!
//! Ours (`status`, `workers`, `reset`, `stop`) ask a service of this state over its own socket;
//! these ask whoever listens, and need no state.

use std::time::Duration;

use dispatcher_core::duration::parse_duration;
use dispatcher_core::suggest;
use serde_json::Value;

use crate::cli::error::{CliError, Done, exit};
use crate::cli::grammar::CONTROL_SOURCES;
use crate::cli::session::Session;
use crate::log;
use crate::publish::{Control, PublishError};

/// Time that the original gives a service.
const WITHIN: Duration = Duration::from_secs(1);

pub(super) fn control(session: &mut Session<'_, '_>) -> Done {
    let command = session.first_word().to_owned();
    let data = data(session)?;
    let source = source(session)?;
    let expected = match session.arguments.value("expected-replies") {
        None => 1,
        Some(text) => text.parse().map_err(|_| {
            CliError::usage(
                format!("--expected-replies {text} is no number"),
                "it says how many services shall answer",
                "leave it out for one",
            )
        })?,
    };
    let within = match session.arguments.value("within") {
        None => WITHIN,
        Some(text) => parse_duration(text).map_err(|error| {
            CliError::usage(
                format!("--within {text} is no time"),
                error.to_string(),
                "write 5s, say",
            )
        })?,
    };
    let control = Control::from_config(&session.config, source).map_err(|it| unable(&it))?;
    if expected == 0 {
        control.send(&command, &data).map_err(|it| unable(&it))?;
        return Ok(0);
    }
    let replies = control.request(&command, &data, expected, within);
    let replies = replies.map_err(|it| unable(&it))?;
    let came = replies.len();
    session.terminal().json(&Value::Array(replies))?;
    if came < expected {
        return Err(CliError::new(
            exit::NEGATIVE,
            format!("{came} of {expected} replies came within {within:?}"),
            "nobody else listens there, or it is busy",
            "`status` shows the services of this state; --within waits longer",
        )
        .into());
    }
    Ok(0)
}

/// The data of the command; `null` is none.
fn data(session: &Session<'_, '_>) -> Result<Value, CliError> {
    let Some(word) = session.arguments.words.get(1) else {
        return Ok(Value::Null);
    };
    serde_json::from_str(word).map_err(|error| {
        CliError::usage(
            "the command's data is no JSON",
            error.to_string(),
            "quote it for the shell, as in '{\"task\": \"app.send\"}'",
        )
    })
}

fn source<'a>(session: &'a Session<'_, '_>) -> Result<Option<&'a str>, CliError> {
    let Some(name) = session.arguments.value("source") else {
        return Ok(None);
    };
    if CONTROL_SOURCES.contains(&name) {
        return Ok(Some(name));
    }
    let meant = suggest(name, CONTROL_SOURCES.iter().copied());
    Err(CliError::usage(
        format!("--source {name} takes no control commands"),
        "`socket` and `pg_notify` do",
        match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "leave it out".to_owned(),
        },
    ))
}

fn unable(error: &PublishError) -> CliError {
    let what = "the command cannot be sent";
    match error {
        PublishError::NoSection | PublishError::Section(_) | PublishError::NoChannel => {
            CliError::new(
                exit::CONFIGURATION,
                what,
                error.to_string(),
                "`status`, `workers`, `reset` and `stop` ask services of this state without it",
            )
        }
        PublishError::UnknownChannel { .. }
        | PublishError::Arguments(_)
        | PublishError::Socket { .. }
        | PublishError::Postgres(_) => CliError::new(
            exit::NEGATIVE,
            what,
            log::chain(error),
            "start the service, or mend the section of its source",
        ),
    }
}
