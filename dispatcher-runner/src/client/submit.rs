//! From a value, or a name with JSON, to a stored job that somebody runs.

use std::num::NonZero;

use dispatcher_core::limits::PAYLOAD_BYTES_MAX;
use dispatcher_core::{Definition, Dispatcher, JobId, Options, PayloadError, identity};

use crate::client::SpawnError;
use crate::config::Config;
use crate::store::{Build, DispatcherRow, NewJob, Submission};
use crate::supervisor::{Orders, launch};
use crate::{about, app, ids, requirements};

/// Idle time after which a supervisor without a service leaves.
const LINGER_MS: u64 = 5_000;

/// A job about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) definition: &'static Definition,
    pub(crate) payload: String,
    /// All layers applied: attribute, configuration, value, call.
    pub(crate) options: Options,
    pub(crate) retry_of: Option<JobId>,
    pub(crate) origin: String,
}

/// A job that was stored, or dropped for a surviving duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: JobId,
    pub(crate) duplicate: bool,
}

impl Request {
    /// From a value.
    pub(crate) fn of<T: Dispatcher>(job: &T) -> Result<Self, SpawnError> {
        let payload = serde_json::to_string(job).map_err(|error| PayloadError {
            dispatcher: T::NAME,
            reason: error.to_string(),
        })?;
        Self::checked(T::definition(), payload)
    }

    /// From a name or alias, and JSON.
    pub(crate) fn named(name: &str, payload: String) -> Result<Self, SpawnError> {
        Self::checked(app::resolve(name)?, payload)
    }

    fn checked(definition: &'static Definition, payload: String) -> Result<Self, SpawnError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SpawnError::PayloadTooLarge {
                bytes: payload.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        let mut options = (definition.options)();
        let mut shared = (definition.dispatcher_options)();
        app::config()?.apply(definition.name, &mut options, &mut shared);
        (definition.check)(&payload, &mut options)?;
        let origin = format!("pid {} ({})", std::process::id(), app::program_name());
        Ok(Self {
            definition,
            payload,
            options,
            retry_of: None,
            origin,
        })
    }
}

/// Stores all of the requests or none, and makes sure that somebody runs them.
pub(crate) fn submit(requests: Vec<Request>) -> Result<Vec<Sent>, SpawnError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let (build, config, store) = (app::build()?, app::config()?, app::store()?);
    let mut dispatchers: Vec<DispatcherRow> = Vec::new();
    let mut jobs = Vec::with_capacity(requests.len());
    for request in requests {
        check_requirements(&request)?;
        if dispatchers
            .iter()
            .all(|row| row.name != request.definition.name)
        {
            dispatchers.push(row(request.definition, config, build));
        }
        jobs.push(new_job(request, build)?);
    }
    for job in &jobs {
        tracing::debug!(job = %job.id, name = job.dispatcher, "job submitted");
    }
    let submitted = store.submit(Submission { jobs, dispatchers })?;
    if let Err(error) = launch::ensure(&orders()?, build, &submitted.supervisors, store) {
        // The job is stored; the next submission, timer or service runs it.
        tracing::error!(%error, "no supervisor could be started; the job waits for the next one");
    }
    Ok(submitted
        .jobs
        .iter()
        .map(|job| Sent {
            id: job.id,
            duplicate: job.duplicate,
        })
        .collect())
}

/// What a supervisor that this process starts will be told.
pub(crate) fn orders() -> Result<Orders, SpawnError> {
    let (config, location) = (app::config()?, app::location()?);
    let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
    let slots = config
        .workers()
        .unwrap_or_else(|| u32::try_from(2 * processors).unwrap_or(2));
    Ok(Orders {
        program: config.app().to_owned(),
        state_file: location.file().to_owned(),
        slots,
        linger_ms: LINGER_MS,
        queues: config.queues().to_vec(),
        keep_secs: config.retention_age().as_secs(),
        keep_count: config.retention_count(),
    })
}

/// The row of a dispatcher, as this build and this configuration see it.
pub(crate) fn row(
    definition: &'static Definition,
    config: &Config,
    build: &Build,
) -> DispatcherRow {
    let mut options = (definition.options)();
    let mut shared = (definition.dispatcher_options)();
    config.apply(definition.name, &mut options, &mut shared);
    DispatcherRow {
        name: definition.name.to_owned(),
        build: build.clone(),
        options: shared,
        about: about::about(definition, &options),
    }
}

fn new_job(request: Request, build: &Build) -> Result<NewJob, SpawnError> {
    let identity = match &request.options.unique_key {
        Some(key) => format!("key:{key}"),
        None => identity(&request.payload).map_err(|error| PayloadError {
            dispatcher: request.definition.name,
            reason: error.to_string(),
        })?,
    };
    Ok(NewJob {
        id: ids::new_job_id(),
        dispatcher: request.definition.name.to_owned(),
        payload: request.payload,
        identity,
        options: request.options,
        retry_of: request.retry_of,
        origin: request.origin,
        build: build.clone(),
    })
}

fn check_requirements(request: &Request) -> Result<(), SpawnError> {
    let names = requirements::missing_cached(&request.options);
    if names.is_empty() {
        return Ok(());
    }
    Err(SpawnError::MissingRequirement {
        dispatcher: request.definition.name.to_owned(),
        names,
    })
}
