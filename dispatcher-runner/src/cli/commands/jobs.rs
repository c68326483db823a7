//! `jobs`: what there is, newest first; and jobs as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::{JobState, suggest};
use serde_json::{Value, json};

use crate::about::{About, masked};
use crate::cli::error::{CliError, Done, Stop};
use crate::cli::format::{age, ago, colour_of, run_time, sentence, utc};
use crate::cli::grammar::STATES;
use crate::cli::layout::{Cell, ColumnKind, Table};
use crate::cli::session::{OpenStore, Session};
use crate::store::{JobFilter, JobRecord, JobSummary, UnixMs, payload_matches};

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 100_000;

pub(super) fn jobs(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let filter = filter(session)?;
    let filter = match &filter.dispatcher {
        Some(typed) => JobFilter {
            dispatcher: Some(super::control::known_name(session, &mut store, typed)?),
            ..filter
        },
        None => filter,
    };
    let found = find(session, &mut store, &filter)?;
    if session.arguments.has("ids") {
        for job in &found {
            session.terminal().line(job.id.as_str())?;
        }
        return Ok(0);
    }
    let rows = store.ask(|store| store.dispatchers())?;
    let about = session.all_about(&rows);
    if session.json() {
        let listed = found
            .iter()
            .map(|job| summary_json(job, about.get(&job.dispatcher)));
        let listed = Value::Array(listed.collect());
        session.terminal().json(&listed)?;
        return Ok(0);
    }
    if found.is_empty() {
        let text = match session.has_state() {
            true => format!("there are {} in {}", none_such(&filter), session.location),
            false => format!("no jobs yet: the first one makes {}", session.location),
        };
        session.terminal().note(&text);
        return Ok(0);
    }
    let table = table(&found, &about, session.now());
    let terminal = session.terminal();
    let text = table.render(terminal.width(), terminal.colours());
    terminal.print(&text)?;
    if found.len() == filter.limit && session.arguments.value("limit").is_none() {
        session
            .terminal()
            .note(&format!("the newest {LIMIT}; --limit shows more"));
    }
    Ok(0)
}

/// A search finds what a listing shows: a secret can be guessed in neither.
fn find(
    session: &Session<'_, '_>,
    store: &mut OpenStore,
    filter: &JobFilter,
) -> Result<Vec<JobSummary>, Stop> {
    let Some((path, wanted)) = &filter.search else {
        let found = store.ask(|store| store.jobs(filter))?;
        store.ask(|store| store.sync())?;
        return Ok(found);
    };
    let wide = JobFilter {
        limit: LIMIT_MAX,
        ..filter.clone()
    };
    let mut found = store.ask(|store| store.jobs(&wide))?;
    store.ask(|store| store.sync())?;
    let rows = store.ask(|store| store.dispatchers())?;
    let about = session.all_about(&rows);
    found.retain(|job| {
        let shown = masked(about.get(&job.dispatcher), &job.payload);
        payload_matches(&shown.to_string(), path, wanted)
    });
    found.truncate(filter.limit);
    Ok(found)
}

fn none_such(filter: &JobFilter) -> &'static str {
    match filter {
        JobFilter {
            state: None,
            dispatcher: None,
            queue: None,
            search: None,
            limit: _,
        } => "no jobs",
        JobFilter { .. } => "no such jobs",
    }
}

fn table(found: &[JobSummary], about: &BTreeMap<String, About>, now: UnixMs) -> Table {
    let mut table = Table::new(&[
        ("ID", ColumnKind::Fixed),
        ("DISPATCHER", ColumnKind::Elastic),
        ("STATE", ColumnKind::Fixed),
        ("ATTEMPTS", ColumnKind::Number),
        ("AGE", ColumnKind::Number),
        ("TOOK", ColumnKind::Number),
        ("ABOUT", ColumnKind::Elastic),
        ("PAYLOAD", ColumnKind::Spare),
    ]);
    for job in found {
        let payload = masked(about.get(&job.dispatcher), &job.payload);
        table.row(vec![
            job.id.as_str().into(),
            job.dispatcher.as_str().into(),
            Cell::coloured(colour_of(job.state), job.state.as_str()),
            job.counters.attempt.to_string().into(),
            age(job.submitted_at, now).into(),
            took(job, now).into(),
            about_job(job, now).into(),
            payload.to_string().into(),
        ]);
    }
    table
}

fn filter(session: &Session<'_, '_>) -> Result<JobFilter, Stop> {
    let arguments = &session.arguments;
    Ok(JobFilter {
        state: arguments.value("state").map(state).transpose()?,
        dispatcher: arguments.value("dispatcher").map(str::to_owned),
        queue: arguments.value("queue").map(str::to_owned),
        search: arguments.value("search").map(search).transpose()?,
        limit: arguments.value("limit").map_or(Ok(LIMIT), limit)?,
    })
}

fn state(text: &str) -> Result<JobState, CliError> {
    text.parse().map_err(|()| {
        let why = match suggest(text, STATES.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there are {}", STATES.join(", ")),
        };
        CliError::usage(
            format!("no state is called `{text}`"),
            why,
            "name one of the states",
        )
    })
}

fn search(text: &str) -> Result<(String, String), CliError> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => Ok((path.to_owned(), value.to_owned())),
        Some(_) | None => Err(CliError::usage(
            format!("--search cannot be `{text}`"),
            "it takes a path into the payload, `=`, and a value",
            "write it as in --search user.id=7",
        )),
    }
}

fn limit(text: &str) -> Result<usize, CliError> {
    match text.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Ok(_) | Err(_) => Err(CliError::usage(
            format!("--limit cannot be `{text}`"),
            format!("it takes a whole number from 1 to {LIMIT_MAX}"),
            "leave it out for the newest 50",
        )),
    }
}

fn took(job: &JobSummary, now: UnixMs) -> String {
    let Some(started) = job.started_at else {
        return String::new();
    };
    let until = match (job.state, job.ended_at) {
        (JobState::Running, _) => now,
        (_, Some(ended)) => ended,
        (_, None) => return String::new(),
    };
    let ms = u64::try_from(until - started).unwrap_or(0);
    run_time(Duration::from_millis(ms))
}

fn about_job(job: &JobSummary, now: UnixMs) -> String {
    match job.state {
        JobState::Running => match &job.progress {
            Some((fraction, text)) => format!("{:.0} % {text}", fraction * 100.0),
            None => String::new(),
        },
        JobState::Queued => match job.run_at {
            Some(run_at) if run_at > now => format!("to start {}", ago(run_at, now)),
            Some(_) => String::new(),
            None => "held until a job like it ends".to_owned(),
        },
        JobState::Succeeded => String::new(),
        JobState::Failed | JobState::Cancelled => match &job.outcome {
            // The state has said it already.
            Some(outcome) if outcome.cause.name() == job.state.as_str() => String::new(),
            Some(outcome) => outcome.cause.name().to_owned(),
            None => String::new(),
        },
    }
}

/// A job in a listing.
pub(super) fn summary_json(job: &JobSummary, about: Option<&About>) -> Value {
    let progress = job.progress.as_ref();
    json!({
        "id": job.id,
        "dispatcher": job.dispatcher,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state,
        "attempt": job.counters.attempt,
        "failures": job.counters.failures,
        "payload": masked(about, &job.payload),
        "submitted_at": utc(job.submitted_at),
        "run_at": job.run_at.map(utc),
        "started_at": job.started_at.map(utc),
        "ended_at": job.ended_at.map(utc),
        "outcome": job.outcome,
        "progress": progress.map(|(fraction, text)| json!({ "fraction": fraction, "text": text })),
    })
}

/// A job with everything on record.
pub(super) fn record_json(record: &JobRecord, about: Option<&About>) -> Value {
    let mut value = summary_json(&record.summary, about);
    let attempts = record.attempts.iter().map(|attempt| {
        json!({
            "attempt": attempt.attempt,
            "started_at": attempt.started_at.map(utc),
            "ended_at": utc(attempt.ended_at),
            "run_time_ms": u64::try_from(attempt.run_time.as_millis()).unwrap_or(u64::MAX),
            "pid": attempt.pid,
            "build": attempt.build,
            "outcome": attempt.outcome,
            "sentence": sentence(&attempt.outcome, &record.options),
            "stderr_end": String::from_utf8_lossy(&attempt.stderr_end),
        })
    });
    let output = record.output.as_deref();
    let output: Option<Value> = output.and_then(|text| serde_json::from_str(text).ok());
    let outcome = record.summary.outcome.as_ref();
    let more = json!({
        "options": record.options,
        "identity": identity(record, about),
        "origin": record.summary.origin,
        "build": record.build.id,
        "retry_of": record.retry_of,
        "batch": record.batch,
        "snoozes": record.snoozes,
        "lost": record.lost,
        "cancel_requested_by": record.cancel_requested_by,
        "supervisor": record.supervisor.map(|(supervisor, _)| supervisor),
        "slot": record.supervisor.map(|(_, slot)| slot),
        "sentence": outcome.map(|outcome| sentence(outcome, &record.options)),
        "output": output,
        "attempts": attempts.collect::<Vec<_>>(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// The identity, unless it could tell a secret: a hash of a guessable payload can be tried out.
fn identity(record: &JobRecord, about: Option<&About>) -> Value {
    let secret = about.is_none_or(|about| about.fields.iter().any(|field| field.secret));
    if secret && record.options.unique_key.is_none() {
        Value::from(crate::about::MASK)
    } else {
        Value::from(record.identity.as_str())
    }
}
