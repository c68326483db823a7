//! `schedule install` and `schedule remove`: the host's own timer.
//!
//! The entry carries what this process needed to find its configuration and its state, since a
//! timer starts programs with hardly any environment.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::session::Session;
use crate::config::{CONFIG_VARIABLE, Origin, STORE_VARIABLE};
use crate::timer::{self, Change, Entry, Host, Timer, TimerError};

pub(super) fn install(session: &mut Session<'_, '_>) -> Done {
    super::schedule::check(session)?;
    let host = host(session);
    let timer = chosen(session, &host)?;
    let entry = entry(session)?;
    if session.arguments.has("print") {
        let text = timer.preview(&entry).map_err(failed)?;
        session.terminal().print(&text)?;
        return Ok(0);
    }
    let change = timer.install(&entry).map_err(failed)?;
    for other in others(&host, &timer) {
        // One entry only; two would do no harm but to those who read them.
        if let Ok(Change::Made) = other.remove(&entry.app) {
            let note = format!("the entry in {} was taken out", other.name());
            session.terminal().note(&note);
        }
    }
    let name = timer.name();
    let text = match change {
        Change::Made => format!(
            "{name} calls `{} schedule tick` every minute",
            entry.program
        ),
        Change::None => format!("{name} has this entry already"),
    };
    tell(session, change, &name, &text)?;
    if let Timer::Systemd(systemd) = &timer
        && systemd.ends_with_session()
    {
        let note = "it runs while you are logged in; `loginctl enable-linger` lets it run always";
        session.terminal().note(note);
    }
    Ok(0)
}

pub(super) fn remove(session: &mut Session<'_, '_>) -> Done {
    let host = host(session);
    let app = session.config.app().to_owned();
    let all = [
        host.systemd().map(Timer::Systemd),
        host.crontab().map(Timer::Crontab),
    ];
    let (removed, failures) = timer::remove_from_all(all.into_iter().flatten(), &app);
    let name = removed.join(" and ");
    let text = match removed.is_empty() {
        true => format!("there is no entry of {app}"),
        false => format!("the entry in {name} was taken out"),
    };
    if !failures.is_empty() {
        if !removed.is_empty() {
            session.terminal().note(&text);
        }
        return Err(not_removed(&failures).into());
    }
    let change = match removed.is_empty() {
        true => Change::None,
        false => Change::Made,
    };
    tell(session, change, &name, &text)?;
    Ok(0)
}

fn tell(
    session: &mut Session<'_, '_>,
    change: Change,
    timer: &str,
    text: &str,
) -> Result<(), Stop> {
    if session.json() {
        let changed = change == Change::Made;
        let timer = (!timer.is_empty()).then_some(timer);
        return session
            .terminal()
            .json(&json!({ "timer": timer, "changed": changed }));
    }
    session.terminal().line(text)
}

fn host(session: &Session<'_, '_>) -> Host {
    let surroundings = &session.environment.surroundings;
    let runtime = surroundings.variable("XDG_RUNTIME_DIR");
    Host::of_process(surroundings.config_home(), runtime)
}

/// The timer that was asked for, or the usual one.
fn chosen(session: &Session<'_, '_>, host: &Host) -> Result<Timer, CliError> {
    let (systemd, crontab) = (
        session.arguments.has("systemd"),
        session.arguments.has("crontab"),
    );
    let found = match (systemd, crontab) {
        (true, true) => {
            return Err(CliError::usage(
                "--systemd and --crontab exclude each other",
                "an application has one entry",
                "name one of them, or none",
            ));
        }
        (true, false) => host.systemd().map(Timer::Systemd),
        (false, true) => host.crontab().map(Timer::Crontab),
        (false, false) => host.usual(),
    };
    found.ok_or_else(|| {
        let why = match (systemd, crontab) {
            (true, _) => "there is no systemctl on PATH",
            (false, true) => "there is no crontab on PATH",
            (false, false) => "neither systemd is in charge here, nor is there a crontab on PATH",
        };
        CliError::new(
            exit::CONFIGURATION,
            "no timer of this host can be used",
            why,
            "install cron, or call `schedule tick` every minute by other means",
        )
    })
}

fn others(host: &Host, timer: &Timer) -> Vec<Timer> {
    let all = [
        host.systemd().map(Timer::Systemd),
        host.crontab().map(Timer::Crontab),
    ];
    let others = all.into_iter().flatten();
    others.filter(|other| other != timer).collect()
}

/// What the timer is to call, from what this process was called with.
fn entry(session: &Session<'_, '_>) -> Result<Entry, CliError> {
    let surroundings = &session.environment.surroundings;
    let mut arguments = vec!["schedule".to_owned(), "tick".to_owned()];
    let explicit = session.arguments.path("config").is_some();
    let named = explicit || surroundings.variable(CONFIG_VARIABLE).is_some();
    if let (true, Some(file)) = (named, session.config.file()) {
        arguments.extend(["--config".to_owned(), text(file.to_owned())?]);
    }
    if let Some(file) = session.config.env_file() {
        arguments.extend(["--env-file".to_owned(), text(file.to_owned())?]);
    }
    let mut variables = Vec::new();
    if matches!(session.location.origin(), Origin::Variable(_)) {
        let url = session.location.url();
        let url = url.ok_or_else(|| not_text(session.location.file().to_owned()))?;
        variables.push((STORE_VARIABLE, url));
    }
    for (name, path) in surroundings.places() {
        variables.push((name, text(path)?));
    }
    if let Some(path) = surroundings.variable("PATH").and_then(|path| path.to_str()) {
        variables.push(("PATH", path.to_owned()));
    }
    Ok(Entry {
        app: session.config.app().to_owned(),
        program: text(session.environment.image.clone())?,
        arguments,
        variables,
    })
}

fn text(path: PathBuf) -> Result<String, CliError> {
    path.into_os_string()
        .into_string()
        .map_err(|path| not_text(path.into()))
}

fn not_text(path: PathBuf) -> CliError {
    CliError::new(
        exit::CONFIGURATION,
        format!("{} cannot stand in an entry", path.display()),
        "it is not Unicode",
        "give it another name, or a link that has one",
    )
}

fn failed(error: TimerError) -> CliError {
    let why = match std::error::Error::source(&error) {
        Some(source) => source.to_string(),
        None => "nothing was changed".to_owned(),
    };
    CliError::new(
        exit::NEGATIVE,
        error.to_string(),
        why,
        "`schedule install --print` shows the entry, to be written by hand",
    )
}

fn not_removed(failures: &[TimerError]) -> CliError {
    let texts = failures.iter().map(|error| {
        let source = std::error::Error::source(error).map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    });
    CliError::new(
        exit::NEGATIVE,
        texts.collect::<Vec<_>>().join("; "),
        "an entry may still be there",
        "once that works, call `schedule remove` again",
    )
}
