//! `logs` and `output`: what a job wrote, and the value that it stored.

use std::time::Duration;

use dispatcher_core::{JobId, JobState};
use serde_json::{Value, json};

use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::ids;
use crate::cli::live::Follower;
use crate::cli::session::{OpenStore, Session};
use crate::store::JobRecord;

const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn logs(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let job = ids::resolve(&mut store, session.first_word())?;
    let wanted = session
        .arguments
        .value("attempt")
        .map(attempt)
        .transpose()?;
    let record = record(&mut store, job)?;
    let last = record.summary.counters.attempt;
    if let Some(wanted) = wanted.filter(|wanted| *wanted > last) {
        return Err(CliError::new(
            exit::NEGATIVE,
            format!("job {job} has no attempt {wanted}"),
            match last {
                0 => "it was not started yet".to_owned(),
                1 => "it was started once".to_owned(),
                times => format!("it was started {times} times"),
            },
            format!("`show {job}` lists its attempts"),
        )
        .into());
    }
    if session.json() {
        return logs_json(session, &mut store, job, wanted.unwrap_or(last));
    }
    let first = wanted.unwrap_or(last).max(1);
    let mut follower = Follower::new(session.location.directory(), job, first);
    if !session.arguments.has("follow") {
        return print_once(session, &mut store, job, &mut follower);
    }
    loop {
        follower.pump(session.terminal())?;
        let record = self::record(&mut store, job)?;
        let attempt = follower.attempt;
        let recorded = record.attempts.iter().any(|it| it.attempt == attempt);
        let ended = record.summary.state.is_terminal();
        let newer = record.summary.counters.attempt > attempt;
        if recorded || ended || newer {
            let capture = store.ask(|store| store.capture(job, attempt))?;
            follower.finish(capture.as_ref(), session.terminal())?;
            if newer && wanted.is_none() {
                follower = Follower::new(session.location.directory(), job, attempt + 1);
                continue;
            }
            if ended || wanted.is_some() {
                store.ask(|store| store.sync())?;
                return Ok(0);
            }
        }
        session.with_host(|host, _| host.wait(PAUSE));
    }
}

fn print_once(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
    job: JobId,
    follower: &mut Follower,
) -> Done {
    let capture = store.ask(|store| store.capture(job, follower.attempt))?;
    store.ask(|store| store.sync())?;
    follower.finish(capture.as_ref(), session.terminal())?;
    Ok(0)
}

fn logs_json(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
    job: JobId,
    attempt: u32,
) -> Done {
    let capture = store
        .ask(|store| store.capture(job, attempt))?
        .unwrap_or_default();
    store.ask(|store| store.sync())?;
    let stream = |stream: &crate::store::Stream| {
        json!({
            "head": String::from_utf8_lossy(&stream.head),
            "dropped": stream.dropped,
            "tail": String::from_utf8_lossy(&stream.tail),
        })
    };
    let value = json!({
        "id": job,
        "attempt": attempt,
        "stdout": stream(&capture.stdout),
        "stderr": stream(&capture.stderr),
    });
    session.terminal().json(&value)?;
    Ok(0)
}

pub(super) fn output(session: &mut Session<'_, '_>) -> Done {
    let latest = session.arguments.value("latest").map(str::to_owned);
    let typed = session.arguments.words.first().cloned();
    let mut store = session.open_to_read()?;
    let found = match (typed, latest) {
        (Some(typed), None) => output_of(&mut store, &typed)?,
        (None, Some(name)) => {
            let name = super::control::known_name(session, &mut store, &name)?;
            let found = store.ask(|store| store.latest_output(&name))?;
            found.ok_or_else(|| {
                CliError::new(
                    exit::NEGATIVE,
                    format!("{name} has no output on record"),
                    "no job of it has succeeded with an output yet",
                    format!("`jobs --dispatcher {name}` shows what became of its jobs"),
                )
            })?
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(CliError::usage(
                "output takes an id or --latest, one of them",
                "the usage is: output <id> | --latest <Name>",
                "`output --help`",
            )
            .into());
        }
    };
    store.ask(|store| store.sync())?;
    let (job, text) = found;
    if session.json() {
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        session
            .terminal()
            .json(&json!({ "id": job, "output": value }))?;
    } else {
        session.terminal().line(&text)?;
    }
    Ok(0)
}

fn output_of(store: &mut OpenStore, typed: &str) -> Result<(JobId, String), Stop> {
    let job = ids::resolve(store, typed)?;
    let record = record(store, job)?;
    if let Some(output) = record.output {
        return Ok((job, output));
    }
    let why = match record.summary.state {
        JobState::Succeeded => "it succeeded without storing one",
        JobState::Queued => "it is still queued",
        JobState::Running => "it is still running; an output counts once the job has succeeded",
        JobState::Failed => "it failed; an output counts only if the job succeeds",
        JobState::Cancelled => "it was cancelled; an output counts only if the job succeeds",
    };
    Err(CliError::new(
        exit::NEGATIVE,
        format!("job {job} has no output on record"),
        why,
        format!("`show {job}` tells more"),
    )
    .into())
}

fn record(store: &mut OpenStore, job: JobId) -> Result<JobRecord, Stop> {
    let record = store.ask(|store| store.job(job))?;
    record.ok_or_else(|| {
        CliError::new(
            exit::NEGATIVE,
            format!("job {job} is gone"),
            "it was pruned just now",
            "`jobs` shows what there is",
        )
        .into()
    })
}

fn attempt(text: &str) -> Result<u32, CliError> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            CliError::usage(
                format!("--attempt cannot be `{text}`"),
                "attempts are numbered from 1",
                "leave it out for the last one",
            )
        })
}
