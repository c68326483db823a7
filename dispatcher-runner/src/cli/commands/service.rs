//! `workers`, `reset`, `stop`: what is asked of a running service.
//!
//! Each reports what happened, not what was asked for: a reset is waited for, and so is the end.

use std::time::Duration;

use dispatcher_core::duration::format_bytes;
use dispatcher_core::suggest;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::format::rough;
use crate::cli::layout::{Cell, ColumnKind, Table, harmless};
use crate::cli::services;
use crate::cli::session::Session;
use crate::cli::terminal::Colour;
use crate::control::{ControlError, PoolSeen, Request, Seen, WorkerSeen};
use crate::store::SupervisorRow;

/// Time between two looks at a service that ends.
const STOP_LOOK: Duration = Duration::from_millis(100);
/// Looks at whether it is gone for each question what it still runs.
const LOOKS_PER_QUESTION: u32 = 5;

pub(super) fn workers(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let rows = services::chosen(session, &mut store)?;
    let mut all = Vec::new();
    for row in &rows {
        let seen = services::seen(session, row);
        all.push(seen.map_err(|error| silent(row, &error))?);
    }
    if session.json() {
        session.terminal().json(&json!({ "services": all }))?;
        return Ok(0);
    }
    for (at, seen) in all.iter().enumerate() {
        print(session, seen, at > 0)?;
    }
    Ok(0)
}

fn silent(row: &SupervisorRow, error: &ControlError) -> CliError {
    services::unable(
        format!("the service with pid {} does not answer", row.pid),
        error,
        "see its log; `status` shows what the state file knows",
    )
}

fn print(session: &mut Session<'_, '_>, seen: &Seen, follows: bool) -> Result<(), Stop> {
    let terminal = session.terminal();
    let (width, colours) = (terminal.width(), terminal.colours());
    let lead = if follows { "\n" } else { "" };
    let does = match seen.serving {
        true => "serves",
        false => "ends: nothing new is started",
    };
    let busy = seen.workers.iter().filter(|it| it.job.is_some()).count();
    terminal.line(&format!(
        "{lead}service {} (pid {}) {does}, {busy} of {} slots busy",
        harmless(&seen.program),
        seen.pid,
        seen.slots
    ))?;
    if !seen.pools.is_empty() {
        let text = pools(&seen.pools).render(width, colours);
        terminal.print(&format!("\n{text}"))?;
    }
    if !seen.workers.is_empty() {
        let text = table(&seen.workers).render(width, colours);
        terminal.print(&format!("\n{text}"))?;
    }
    Ok(())
}

/// Pools as a table, for `status` too.
pub(super) fn pools(pools: &[PoolSeen]) -> Table {
    let mut table = Table::new(&[
        ("POOL", ColumnKind::Fixed),
        ("WAITING", ColumnKind::Number),
        ("RUNNING", ColumnKind::Number),
        ("REPLACED", ColumnKind::Elastic),
        ("STATE", ColumnKind::Wrapped),
    ]);
    for pool in pools {
        let replaced = pool.restarts.iter().filter(|(_, count)| **count > 0);
        let replaced: Vec<_> = replaced
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        let state = match &pool.degraded {
            Some(why) => Cell::coloured(Colour::Bad, format!("degraded: {why}")),
            None => Cell::coloured(Colour::Good, "works"),
        };
        table.row(vec![
            pool.name.as_str().into(),
            pool.waiting.to_string().into(),
            pool.running.to_string().into(),
            replaced.join(", ").into(),
            state,
        ]);
    }
    table
}

fn table(workers: &[WorkerSeen]) -> Table {
    let mut table = Table::new(&[
        ("PID", ColumnKind::Number),
        ("POOL", ColumnKind::Fixed),
        ("STATE", ColumnKind::Fixed),
        ("SERVED", ColumnKind::Number),
        ("AGE", ColumnKind::Number),
        ("IDLE", ColumnKind::Number),
        ("RSS", ColumnKind::Number),
        ("CPU", ColumnKind::Number),
        ("JOB", ColumnKind::Fixed),
        ("DISPATCHER", ColumnKind::Elastic),
    ]);
    let time = |ms: Option<u64>| ms.map_or_else(String::new, |it| rough(Duration::from_millis(it)));
    for it in workers {
        let colour = match it.state.as_str() {
            "working" => Colour::Busy,
            "ready" => Colour::Good,
            _ => Colour::Odd,
        };
        let job = it.job.as_ref();
        table.row(vec![
            it.pid
                .map_or_else(String::new, |pid| pid.to_string())
                .into(),
            it.pool.as_deref().unwrap_or("-").into(),
            Cell::coloured(colour, it.state.as_str()),
            it.served.to_string().into(),
            time(Some(it.age_ms)).into(),
            time(it.idle_ms).into(),
            it.rss_bytes.map_or_else(String::new, format_bytes).into(),
            time(it.cpu_ms).into(),
            job.map_or("", |job| job.id.as_str()).into(),
            job.map_or("", |job| job.dispatcher.as_str()).into(),
        ]);
    }
    table
}

pub(super) fn reset(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let rows = services::chosen(session, &mut store)?;
    let pool = session.arguments.words.first().cloned();
    let rows = match &pool {
        Some(pool) => with_pool(session, rows, pool)?,
        None => rows,
    };
    let which = match &pool {
        Some(pool) => format!("pool {pool}"),
        None => "every pool".to_owned(),
    };
    let (mut listed, mut failed) = (Vec::new(), None);
    for row in &rows {
        let pid = row.pid;
        let text = format!("{which} of service {pid}: waiting for new workers");
        session.terminal().draw_progress(&text);
        let request = Request::Reset { pool: pool.clone() };
        let answer = session.with_host(|host, _| host.control(row, request));
        session.terminal().clear_progress();
        let why = answer.as_ref().err().map(|it| crate::log::chain(it));
        listed.push(json!({ "pid": pid, "pool": pool, "reset": why.is_none(), "why": why }));
        match answer {
            Ok(_) if session.json() => {}
            Ok(_) => session
                .terminal()
                .line(&format!("{which} of service {pid} has new workers"))?,
            Err(error) => {
                let error = services::unable(
                    format!("{which} of service {pid} was not reset"),
                    &error,
                    "the old workers go on; mend what new ones need, and reset again",
                );
                session.terminal().error(&error);
                failed = Some(error.exit);
            }
        }
    }
    if session.json() {
        session.terminal().json(&Value::Array(listed))?;
    }
    Ok(failed.unwrap_or(0))
}

/// The services that have this pool; there is at least one.
fn with_pool(
    session: &mut Session<'_, '_>,
    rows: Vec<SupervisorRow>,
    pool: &str,
) -> Result<Vec<SupervisorRow>, Stop> {
    let (mut having, mut names) = (Vec::new(), Vec::new());
    for row in rows {
        let seen = services::seen(session, &row).map_err(|error| silent(&row, &error))?;
        if seen.pools.iter().any(|it| it.name == pool) {
            having.push(row);
        }
        names.extend(seen.pools.into_iter().map(|it| it.name));
    }
    if !having.is_empty() {
        return Ok(having);
    }
    names.sort();
    names.dedup();
    let why = match names.is_empty() {
        true => "no service here has a pool".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    let todo = match suggest(pool, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`workers` shows pools; [pools.NAME] makes one".to_owned(),
    };
    Err(CliError::usage(format!("there is no pool `{pool}`"), why, todo).into())
}

pub(super) fn stop(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let rows = services::chosen(session, &mut store)?;
    let now = session.arguments.has("now");
    // From here on an interruption must be told: the services end all the same.
    session.environment.interrupts.watch();
    for row in &rows {
        match session.with_host(|host, _| host.control(row, Request::Stop { now })) {
            // It may have ended by itself meanwhile, which is looked at next.
            Ok(_) | Err(ControlError::Nobody) => {}
            Err(error) => {
                return Err(services::unable(
                    format!("the service with pid {} was not told to end", row.pid),
                    &error,
                    "send it SIGTERM",
                )
                .into());
            }
        }
    }
    let mut listed = Vec::new();
    for row in &rows {
        if let Some(code) = wait_for_end(session, row)? {
            return Ok(code);
        }
        listed.push(json!({ "pid": row.pid, "ended": true }));
        if !session.json() {
            let text = format!("the service with pid {} has ended", row.pid);
            session.terminal().line(&text)?;
        }
    }
    if session.json() {
        session.terminal().json(&Value::Array(listed))?;
    }
    Ok(0)
}

/// Waits until a service is gone; an exit code if that is not waited for.
fn wait_for_end(session: &mut Session<'_, '_>, row: &SupervisorRow) -> Result<Option<u8>, Stop> {
    let pid = row.pid;
    for look in 0_u32.. {
        if !session.with_host(|host, _| host.is_alive(row)) {
            break;
        }
        if session.environment.interrupts.pending() > 0 {
            let text = format!("not waited for: the service with pid {pid} goes on ending");
            session.terminal().note(&text);
            return Ok(Some(exit::INTERRUPTED));
        }
        if look.is_multiple_of(LOOKS_PER_QUESTION) {
            let text = match services::seen(session, row) {
                Ok(seen) => {
                    let busy = seen.workers.iter().filter(|it| it.job.is_some()).count();
                    format!("service {pid} ends; {busy} running")
                }
                // It has let go of its socket.
                Err(_) => format!("service {pid} ends"),
            };
            session.terminal().draw_progress(&text);
        }
        session.environment.host.wait(STOP_LOOK);
    }
    session.terminal().clear_progress();
    Ok(None)
}
