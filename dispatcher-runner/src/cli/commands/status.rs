//! `status`: where the state lies, who runs jobs, what waits, and what went wrong last.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use dispatcher_core::duration::format_bytes;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Done, Stop};
use crate::cli::format::{ago, local, utc};
use crate::cli::layout::{Cell, ColumnKind, Table, harmless};
use crate::cli::services;
use crate::cli::session::{OpenStore, Session};
use crate::cli::terminal::{Colour, Terminal};
use crate::control::{Answer, ControlError, Request, Seen, SourceSeen};
use crate::process::KillingUnit;
use crate::store::{DispatcherStatus, SupervisorRow, UnixMs};

/// Where supervisors write what happens to them.
const LOG_NAME: &str = "supervisor.log";
/// The end of the log that is searched for an error.
const LOG_BYTES: u64 = 64 * 1024;

struct Status {
    supervisors: Vec<(SupervisorRow, Life)>,
    /// What living services say of themselves, by process id.
    services: Vec<(u32, Result<Box<Seen>, ControlError>)>,
    /// Services whose control group takes a supervisor or its jobs with it.
    units: Vec<KillingUnit>,
    dispatchers: Vec<DispatcherStatus>,
    oldest: Option<UnixMs>,
    /// Of a state file.
    bytes: Option<u64>,
    last_error: Option<String>,
}

/// What became of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// It left its row open when it died; the next supervisor takes over what it ran.
    Lost,
    /// It closed its row, but jobs are still bound to it.
    Closed,
}

impl Life {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }
}

pub(super) fn status(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    if session.arguments.has("metrics") {
        return metrics(session, &mut store);
    }
    let dispatchers = store.ask(|store| store.dispatchers())?;
    let supervisors = supervisors_alive(session, &mut store)?;
    let living = services::living(session, &mut store)?;
    let living = services::only_named(session, living)?;
    let asked = living
        .iter()
        .map(|row| (row.pid, services::seen(session, row)));
    let services = asked.collect();
    let status = Status {
        services,
        units: killing_units(session, &supervisors),
        supervisors,
        oldest: store.ask(|store| store.oldest_waiting())?,
        dispatchers,
        bytes: match session.location.target() {
            None => Some(state_bytes(session.location.file())),
            Some(_) => None,
        },
        last_error: last_error(&session.location.directory().join(LOG_NAME)),
    };
    if session.json() {
        let value = to_json(session, &status);
        session.terminal().json(&value)?;
        return Ok(0);
    }
    print(session, &status)?;
    Ok(0)
}

/// What one service counts.
fn metrics(session: &mut Session<'_, '_>, store: &mut OpenStore) -> Done {
    let rows = services::chosen(session, store)?;
    let [row] = &rows[..] else {
        let pids: Vec<_> = rows.iter().map(|row| row.pid.to_string()).collect();
        return Err(CliError::usage(
            "the metrics of several services cannot stand in one page",
            format!("there are services with pid {}", pids.join(", ")),
            "choose one with --service",
        )
        .into());
    };
    let what = || format!("the service with pid {} tells nothing", row.pid);
    match session.with_host(|host, _| host.control(row, Request::Metrics)) {
        Ok(Answer::Metrics { text }) => session.terminal().print(&text)?,
        Ok(Answer::Seen(_) | Answer::Done | Answer::Refused { .. }) => {
            let odd = ControlError::Refused("it answered something else".to_owned());
            return Err(services::unable(what(), &odd, "see its log").into());
        }
        Err(error) => return Err(services::unable(what(), &error, "see its log").into()),
    }
    Ok(0)
}

fn supervisors_alive(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
) -> Result<Vec<(SupervisorRow, Life)>, Stop> {
    let rows = store.ask(|store| store.supervisors())?;
    let judged = rows.into_iter().map(|row| {
        let life = match (row.open, session.with_host(|host, _| host.is_alive(&row))) {
            (true, true) => Life::Open,
            (true, false) => Life::Lost,
            (false, _) => Life::Closed,
        };
        (row, life)
    });
    Ok(judged.collect())
}

fn killing_units(
    session: &mut Session<'_, '_>,
    rows: &[(SupervisorRow, Life)],
) -> Vec<KillingUnit> {
    let open = rows.iter().filter(|(_, life)| *life == Life::Open);
    let mut units: Vec<_> = open
        .filter_map(|(row, _)| session.with_host(|host, _| host.killing_unit(row)))
        .collect();
    units.sort();
    units.dedup();
    units
}

fn warning(unit: &KillingUnit) -> String {
    match unit {
        KillingUnit::OfEmbedded(name) => format!(
            "warning: a supervisor is in the control group of {name} and is killed with it; \
             its jobs are then run again. Set KillMode=process in that unit to let it finish"
        ),
        KillingUnit::OfService(name) => format!(
            "warning: when {name} is stopped, systemd stops its jobs together with it; they are \
             then run again. Set KillMode=mixed in that unit to let them finish"
        ),
    }
}

/// Bytes of the state file and of what SQLite keeps beside it.
fn state_bytes(file: &Path) -> u64 {
    let beside = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let files = [file.to_owned(), beside("-wal"), beside("-shm")];
    let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// The last line of a log that tells an error.
fn last_error(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let is_error = |line: &&str| line.to_ascii_lowercase().contains("error");
    text.lines()
        .rfind(is_error)
        .map(|line| harmless(line.trim()))
}

fn print(session: &mut Session<'_, '_>, status: &Status) -> Result<(), Stop> {
    let now = session.now();
    let size = match status.bytes {
        Some(bytes) if session.has_state() => format!(", {}", format_bytes(bytes)),
        Some(_) => ", not there yet: the first job makes it".to_owned(),
        None => String::new(),
    };
    let state = format!("state      {}{size}", session.location);
    let waiting: u64 = status
        .dispatchers
        .iter()
        .map(|it| u64::from(it.waiting))
        .sum();
    let running: u64 = status
        .dispatchers
        .iter()
        .map(|it| u64::from(it.running))
        .sum();
    let oldest = status.oldest.map_or_else(String::new, |time| {
        format!(", the oldest submitted {}", ago(time, now))
    });
    let orphans = orphans(session, status);
    let terminal = session.terminal();
    terminal.line(&state)?;
    terminal.line(&format!(
        "jobs       {waiting} waiting, {running} running{oldest}"
    ))?;
    let open = status
        .supervisors
        .iter()
        .filter(|(_, life)| *life == Life::Open)
        .count();
    terminal.line(&format!("supervisor {}", supervised(open, waiting)))?;
    if !status.supervisors.is_empty() {
        let text =
            supervisors(&status.supervisors, now).render(terminal.width(), terminal.colours());
        terminal.print(&format!("\n{text}"))?;
    }
    for (pid, service) in &status.services {
        print_service(terminal, *pid, service)?;
    }
    if !status.dispatchers.is_empty() {
        let text = dispatchers(&status.dispatchers).render(terminal.width(), terminal.colours());
        terminal.print(&format!("\n{text}"))?;
    }
    for it in status.dispatchers.iter().filter(|it| it.paused) {
        let name = &it.row.name;
        let text = format!("\nwarning: {name} is paused; `resume {name}` starts its jobs again");
        terminal.line(&terminal.colours().paint(Colour::Odd, &text))?;
    }
    for text in &orphans {
        let text = terminal.colours().paint(Colour::Odd, text);
        terminal.line(&format!("\n{text}"))?;
    }
    for unit in &status.units {
        let text = format!("\n{}", warning(unit));
        terminal.line(&terminal.colours().paint(Colour::Odd, &text))?;
    }
    if let Some(error) = &status.last_error {
        terminal.line(&format!("\nlast error in {LOG_NAME}:\n  {error}"))?;
    }
    Ok(())
}

/// What a service says of itself.
fn print_service(
    terminal: &mut Terminal,
    pid: u32,
    service: &Result<Box<Seen>, ControlError>,
) -> Result<(), Stop> {
    let (width, colours) = (terminal.width(), terminal.colours());
    let seen = match service {
        Ok(seen) => seen,
        Err(error) => {
            let error = harmless(&crate::log::chain(error));
            let text = format!("\nwarning: the service with pid {pid} tells nothing: {error}");
            return terminal.line(&colours.paint(Colour::Odd, &text));
        }
    };
    if !seen.serving {
        let text = format!("\nservice {pid} ends: nothing new is started");
        terminal.line(&colours.paint(Colour::Odd, &text))?;
    }
    if !seen.pools.is_empty() {
        let text = super::service::pools(&seen.pools).render(width, colours);
        terminal.print(&format!("\n{text}"))?;
    }
    if !seen.sources.is_empty() {
        let text = sources(&seen.sources).render(width, colours);
        terminal.print(&format!("\n{text}"))?;
    }
    Ok(())
}

fn sources(rows: &[SourceSeen]) -> Table {
    let mut table = Table::new(&[
        ("SOURCE", ColumnKind::Fixed),
        ("COUNTED", ColumnKind::Elastic),
        ("STATE", ColumnKind::Wrapped),
    ]);
    for source in rows {
        let counted = source.counters.iter();
        let counted: Vec<_> = counted.map(|(what, n)| format!("{n} {what}")).collect();
        let state = match &source.unhealthy {
            Some(why) => Cell::coloured(Colour::Bad, format!("unhealthy: {why}")),
            None => Cell::coloured(Colour::Good, "works"),
        };
        table.row(vec![
            source.name.as_str().into(),
            counted.join(", ").into(),
            state,
        ]);
    }
    table
}

/// What to say of jobs that wait for a program that is not here: the name was renamed or removed,
/// or another program shares the state.
fn orphans(session: &Session<'_, '_>, status: &Status) -> Vec<String> {
    let program = &session.environment.program;
    let is_known = |name: &str| {
        let serves = |(row, life): &(SupervisorRow, Life)| {
            *life == Life::Open && row.serves.iter().any(|served| served == name)
        };
        session.registry.resolve(name).is_ok() || status.supervisors.iter().any(serves)
    };
    let waiting = status.dispatchers.iter().filter(|it| it.waiting > 0);
    let orphans = waiting.filter(|it| !is_known(&it.row.name)).map(|it| {
        let (count, name) = (it.waiting, &it.row.name);
        format!(
            "warning: {count} of {name} wait for a program that has such a dispatcher; {program} \
             has none, and no supervisor serves it\n  run that program, or `cancel` them"
        )
    });
    orphans.collect()
}

fn supervised(open: usize, waiting: u64) -> String {
    match (open, waiting) {
        (0, 0) => "none; the next job starts one".to_owned(),
        (0, _) => "none; the next submission or `resume` starts one".to_owned(),
        (1, _) => "1 open".to_owned(),
        (many, _) => format!("{many} open"),
    }
}

fn supervisors(rows: &[(SupervisorRow, Life)], now: UnixMs) -> Table {
    let mut table = Table::new(&[
        ("SUPERVISOR", ColumnKind::Number),
        ("PROGRAM", ColumnKind::Elastic),
        ("PID", ColumnKind::Number),
        ("SLOTS", ColumnKind::Number),
        ("STARTED", ColumnKind::Fixed),
        ("STATE", ColumnKind::Fixed),
        ("BUILD", ColumnKind::Elastic),
    ]);
    for (row, life) in rows {
        table.row(vec![
            row.id.0.to_string().into(),
            row.program.as_str().into(),
            row.pid.to_string().into(),
            row.slots.to_string().into(),
            format!("{} ({})", local(row.started_at), ago(row.started_at, now)).into(),
            state_of(*life),
            row.build.id.as_str().into(),
        ]);
    }
    table
}

fn state_of(life: Life) -> Cell {
    let colour = match life {
        Life::Open => Colour::Good,
        Life::Lost | Life::Closed => Colour::Odd,
    };
    Cell::coloured(colour, life.word())
}

fn dispatchers(rows: &[DispatcherStatus]) -> Table {
    let mut table = Table::new(&[
        ("DISPATCHER", ColumnKind::Elastic),
        ("WAITING", ColumnKind::Number),
        ("RUNNING", ColumnKind::Number),
        ("MEAN RUN", ColumnKind::Number),
        ("", ColumnKind::Fixed),
    ]);
    for status in rows {
        let mean = status
            .mean_run
            .map_or_else(String::new, crate::cli::format::rough);
        let note = if status.paused {
            Cell::coloured(Colour::Odd, "paused")
        } else {
            Cell::from("")
        };
        table.row(vec![
            status.row.name.as_str().into(),
            status.waiting.to_string().into(),
            status.running.to_string().into(),
            mean.into(),
            note,
        ]);
    }
    table
}

fn to_json(session: &Session<'_, '_>, status: &Status) -> Value {
    let supervisors = status.supervisors.iter().map(|(row, life)| {
        json!({
            "id": row.id,
            "program": row.program,
            "pid": row.pid,
            "slots": row.slots,
            "build": row.build.id,
            "directory": row.directory,
            "serves": row.serves,
            "started_at": utc(row.started_at),
            "state": life.word(),
        })
    });
    let dispatchers = status.dispatchers.iter().map(|it| {
        json!({
            "name": it.row.name,
            "waiting": it.waiting,
            "running": it.running,
            "paused": it.paused,
            "mean_run_ms": it.mean_run.map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX)),
        })
    });
    let services = status.services.iter().map(|(pid, service)| match service {
        Ok(seen) => json!(seen),
        Err(error) => json!({ "pid": pid, "error": crate::log::chain(error) }),
    });
    let oldest = status.oldest.map(utc);
    let units = status.units.iter().map(|unit| match unit {
        KillingUnit::OfEmbedded(name) | KillingUnit::OfService(name) => name,
    });
    json!({
        "app": session.config.app(),
        "state_file": session.location.place(),
        "state_origin": session.location.origin().to_string(),
        "state_bytes": status.bytes,
        "oldest_waiting_since": oldest,
        "supervisors": supervisors.collect::<Vec<_>>(),
        "services": services.collect::<Vec<_>>(),
        "killed_with_services": units.collect::<Vec<_>>(),
        "dispatchers": dispatchers.collect::<Vec<_>>(),
        "last_error": status.last_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG_NAME);
        assert_eq!(last_error(&log), None);
        std::fs::write(
            &log,
            "1 INFO started\n2 ERROR one\n3 ERROR two\x1b[2J\n4 INFO gone\n",
        )
        .unwrap();
        assert_eq!(last_error(&log).as_deref(), Some("3 ERROR two\u{fffd}[2J"));
        std::fs::write(&log, "1 INFO fine\n").unwrap();
        assert_eq!(last_error(&log), None);
    }
}
