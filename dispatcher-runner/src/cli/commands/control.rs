//! `cancel`, `retry`, `pause`, `resume`, `prune`: what changes jobs and dispatchers.

use dispatcher_core::{JobId, JobState, suggest};
use serde_json::{Value, json};

use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::ids;
use crate::cli::session::{OpenStore, Session};
use crate::cli::{JobOptions, JobRequest, generic};
use crate::store::{CancelReply, Pause, Retention};

/// Finished jobs removed in one step.
const PRUNE_BATCH: usize = 500;

pub(super) fn cancel(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let jobs = resolve_all(session, &mut store)?;
    let by = format!(
        "{} cancel (pid {})",
        session.environment.program,
        std::process::id()
    );
    let replies = store.ask(|store| store.cancel(&jobs, &by))?;
    wake_for(session, &mut store, &replies)?;
    let mut code = 0;
    let mut listed = Vec::new();
    for (job, reply) in jobs.iter().zip(&replies) {
        let (word, text) = match reply {
            CancelReply::Cancelled => ("cancelled", "cancelled".to_owned()),
            CancelReply::Stopping(_) => {
                ("stopping", "being stopped; it will not succeed".to_owned())
            }
            CancelReply::Ended(JobState::Cancelled) => {
                ("cancelled", "was cancelled before".to_owned())
            }
            CancelReply::Ended(state) => {
                code = exit::NEGATIVE;
                ("ended", format!("had ended before: {state}"))
            }
            CancelReply::Unknown => {
                code = exit::NEGATIVE;
                ("unknown", "is gone".to_owned())
            }
        };
        if session.json() {
            listed.push(json!({ "id": job, "result": word }));
        } else {
            session.terminal().line(&format!("{job} {text}"))?;
        }
    }
    if session.json() {
        session.terminal().json(&Value::Array(listed))?;
    }
    Ok(code)
}

pub(super) fn retry(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let jobs = resolve_all(session, &mut store)?;
    let mut requests = Vec::new();
    for job in jobs {
        requests.push(retry_request(session, &mut store, job)?);
    }
    let mut listed = Vec::new();
    let mut refused = None;
    for request in requests {
        let submitted = match session.with_host(|host, state| host.submit(state, &request)) {
            Ok(submitted) => submitted,
            Err(error) => {
                refused = Some(error);
                break;
            }
        };
        super::notify::note_duplicate(session, submitted, request.definition.name);
        let old = request.retry_of;
        if session.json() {
            let duplicate = submitted.duplicate;
            listed.push(json!({ "id": submitted.id, "retry_of": old, "duplicate": duplicate }));
        } else {
            session.terminal().line(submitted.id.as_str())?;
        }
    }
    // What was submitted before a refusal is told all the same.
    if session.json() {
        session.terminal().json(&Value::Array(listed))?;
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Ok(0),
    }
}

fn retry_request(
    session: &Session<'_, '_>,
    store: &mut OpenStore,
    job: JobId,
) -> Result<JobRequest, Stop> {
    store.ask(|store| store.sync())?;
    let record = store.ask(|store| store.job(job))?;
    let Some(record) = record else {
        return Err(CliError::new(
            exit::NEGATIVE,
            format!("job {job} is gone"),
            "it was pruned just now",
            "submit it anew with notifydispatcher",
        )
        .into());
    };
    if !record.summary.state.is_terminal() {
        return Err(CliError::new(
            exit::NEGATIVE,
            format!("job {job} cannot be retried"),
            format!("it is still {}", record.summary.state),
            format!("wait for its end, or cancel it first: `cancel {job}`"),
        )
        .into());
    }
    let definition = session.definition(&record.summary.dispatcher)?;
    let mut options = record.options;
    // The old job has waited once; a retry is asked for now.
    options.delay = None;
    Ok(JobRequest {
        definition,
        payload: record.summary.payload,
        options: JobOptions::Frozen(Box::new(options)),
        retry_of: Some(job),
    })
}

pub(super) fn pause(session: &mut Session<'_, '_>) -> Done {
    set_paused(session, Pause::Paused)
}

pub(super) fn resume(session: &mut Session<'_, '_>) -> Done {
    let code = set_paused(session, Pause::Running)?;
    session.with_host(|host, state| host.wake_all(state));
    Ok(code)
}

fn set_paused(session: &mut Session<'_, '_>, pause: Pause) -> Done {
    let typed = session.first_word().to_owned();
    let mut store = session.open_store()?;
    let name = known_name(session, &mut store, &typed)?;
    let found = store.ask(|store| store.set_paused(&name, pause))?;
    if !found {
        // Known to the program, but nothing was submitted yet.
        let row = session.dispatcher_row(&name);
        let rows = row.as_slice();
        store.ask(|store| store.register(rows))?;
        store.ask(|store| store.set_paused(&name, pause))?;
    }
    let word = match pause {
        Pause::Paused => "paused",
        Pause::Running => "resumed",
    };
    if session.json() {
        let paused = pause == Pause::Paused;
        let value = json!({ "dispatcher": name, "paused": paused });
        session.terminal().json(&value)?;
    } else {
        session.terminal().line(&format!("{name} is {word}"))?;
    }
    Ok(0)
}

/// The exact name of a dispatcher of the program or of the store.
pub(super) fn known_name(
    session: &Session<'_, '_>,
    store: &mut OpenStore,
    typed: &str,
) -> Result<String, Stop> {
    if let Ok(definition) = session.registry.resolve(typed) {
        return Ok(definition.name.to_owned());
    }
    let rows = store.ask(|store| store.dispatchers())?;
    let mut names = rows.iter().map(|status| status.row.name.as_str());
    if names.clone().any(|name| name == typed) {
        return Ok(typed.to_owned());
    }
    if !session.registry.is_empty() {
        return session
            .definition(typed)
            .map(|it| it.name.to_owned())
            .map_err(Stop::from);
    }
    match suggest(typed, names.by_ref()) {
        Some(meant) => Err(CliError::usage(
            format!("no dispatcher is called `{typed}`"),
            format!("the state is {}", session.location),
            format!("did you mean `{meant}`?"),
        )
        .into()),
        None => Err(generic::needs_app(&session.environment.program, typed).into()),
    }
}

pub(super) fn prune(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let retention = Retention {
        age: session.config.retention_age(),
        count_per_dispatcher: session.config.retention_count(),
    };
    let mut removed = 0;
    loop {
        let batch = store.ask(|store| store.prune(&retention, PRUNE_BATCH))?;
        removed += batch;
        if batch == 0 {
            break;
        }
    }
    if session.json() {
        session.terminal().json(&json!({ "removed": removed }))?;
    } else {
        session.terminal().line(&match removed {
            1 => "1 finished job removed".to_owned(),
            many => format!("{many} finished jobs removed"),
        })?;
    }
    Ok(0)
}

/// Wakes the supervisors that must stop something, and whoever may start what was held by it.
pub(super) fn wake_for(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
    replies: &[CancelReply],
) -> Result<(), Stop> {
    let stopping = super::notify::stopping(replies);
    if !stopping.is_empty() {
        for supervisor in store.ask(|store| store.supervisors())? {
            if stopping.contains(&supervisor.id) {
                session.with_host(|host, _| host.wake(&supervisor));
            }
        }
    }
    if replies.contains(&CancelReply::Cancelled) {
        session.with_host(|host, state| host.wake_all(state));
    }
    Ok(())
}

/// The jobs that the arguments name, each once.
fn resolve_all(session: &Session<'_, '_>, store: &mut OpenStore) -> Result<Vec<JobId>, Stop> {
    let mut jobs = Vec::new();
    for typed in &session.arguments.words {
        let job = ids::resolve(store, typed)?;
        if !jobs.contains(&job) {
            jobs.push(job);
        }
    }
    Ok(jobs)
}
