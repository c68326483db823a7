//! `config`: checks the configuration, shows where each value came from, writes one of defaults.
//!
//! The file of defaults needs no configuration, so that it can be had where there is none, or only
//! one with mistakes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::cli::Environment;
use crate::cli::arguments::Arguments;
use crate::cli::error::{CliError, Done, exit};
use crate::cli::grammar::CONFIG_WORDS;
use crate::cli::layout::{ColumnKind, Table};
use crate::cli::session::Session;
use crate::config::{Shown, default_file, page};

/// Anybody may read it: it has no secrets until somebody writes them.
const MODE: u32 = 0o644;

pub(super) fn config(session: &mut Session<'_, '_>) -> Done {
    let asked = |flag| session.arguments.has(flag) || session.arguments.path(flag).is_some();
    for flag in ["write", "markdown"] {
        if asked(flag) {
            return Err(CliError::usage(
                format!("--{flag} is for `config default`"),
                "nothing else writes a file",
                "`config --help`",
            )
            .into());
        }
    }
    match session.first_word() {
        "check" => check(session),
        "show" => show(session),
        other => Err(unknown(other).into()),
    }
}

/// Whether the arguments ask for the file of defaults.
pub(crate) fn asks_for_defaults(arguments: &Arguments) -> bool {
    arguments
        .words
        .first()
        .is_some_and(|word| word == "default")
}

/// `config default`.
pub(crate) fn config_default(environment: &mut Environment<'_>, arguments: &Arguments) -> Done {
    let text = match arguments.has("markdown") {
        true => page(),
        false => default_file(),
    };
    let Some(path) = arguments.path("write") else {
        environment.terminal.print(&text)?;
        return Ok(0);
    };
    let path = environment.surroundings.directory.join(path);
    write_new(&path, &text)?;
    if arguments.has("json") {
        environment.terminal.json(&json!({ "written": path }))?;
    } else {
        let line = format!("written: {}", path.display());
        environment.terminal.line(&line)?;
    }
    Ok(0)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE);
    let written = options.open(path).and_then(|mut file| {
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file would be in the way of the next try.
            let _ = std::fs::remove_file(path);
        }
        written
    });
    written.map_err(|error| {
        let (why, todo) = match error.kind() {
            ErrorKind::AlreadyExists => (
                "it exists, and is left as it is".to_owned(),
                "name another file, or move this one away",
            ),
            ErrorKind::NotFound => (error.to_string(), "make its folder first"),
            _ => (error.to_string(), "name a file that this user may write"),
        };
        let what = format!("cannot write {}", path.display());
        CliError::new(exit::CONFIGURATION, what, why, todo)
    })
}

/// Whoever comes here has a configuration without mistakes: all of them were told before.
fn check(session: &mut Session<'_, '_>) -> Done {
    let sources = session.environment.sources.iter().map(|(name, _)| *name);
    let sources: Vec<&str> = sources.collect();
    session.config.check_sources(&sources)?;
    let file = session.config.file().map(Path::to_owned);
    let env_file = session.config.env_file().map(Path::to_owned);
    let is_checked = !session.registry.is_empty() || !session.config.names_dispatchers();
    if session.json() {
        let value = json!({
            "ok": true,
            "file": file,
            "env_file": env_file,
            "dispatchers_checked": is_checked,
        });
        session.terminal().json(&value)?;
        return Ok(0);
    }
    let read: Vec<_> = [file, env_file]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    let line = match &read[..] {
        [] if session.environment.config.is_some() => "ok: made by the program".to_owned(),
        [] => "ok: no file; every value is its default or of the environment".to_owned(),
        read => format!("ok: {}", read.join(", ")),
    };
    session.terminal().line(&line)?;
    if !is_checked {
        session.terminal().note(
            "note: this program has no dispatchers; whether [aliases] and [dispatchers] name any is \
             for the application to say (--app)",
        );
    }
    Ok(0)
}

fn show(session: &mut Session<'_, '_>) -> Done {
    let shown = session.config.shown(&session.location);
    if session.json() {
        let values: Vec<_> = shown.iter().map(in_json).collect();
        let value = json!({
            "app": session.config.app(),
            "file": session.config.file(),
            "env_file": session.config.env_file(),
            "values": values,
        });
        session.terminal().json(&value)?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        ("KEY", ColumnKind::Fixed),
        ("VALUE", ColumnKind::Elastic),
        ("FROM", ColumnKind::Elastic),
    ]);
    for value in &shown {
        table.row(vec![
            value.key.as_str().into(),
            value.text().into(),
            value.origin.to_string().into(),
        ]);
    }
    let (width, colours) = (session.terminal().width(), session.terminal().colours());
    session.terminal().print(&table.render(width, colours))?;
    Ok(0)
}

fn in_json(shown: &Shown) -> serde_json::Value {
    let origin = &shown.origin;
    let mut value = json!({
        "key": shown.key,
        "value": shown.value,
        "origin": origin.kind(),
    });
    if let (Some(path), Some(line)) = (origin.path(), origin.line()) {
        value["file"] = json!(path);
        value["line"] = json!(line);
    }
    if let Some(name) = origin.name() {
        value["name"] = json!(name);
    }
    value
}

fn unknown(word: &str) -> CliError {
    let todo = match dispatcher_core::suggest(word, CONFIG_WORDS.iter().copied()) {
        Some(meant) => format!("did you mean `config {meant}`?"),
        None => "`config --help`".to_owned(),
    };
    CliError::usage(
        format!("config cannot `{word}`"),
        format!("it can {}", CONFIG_WORDS.join(", ")),
        todo,
    )
}
