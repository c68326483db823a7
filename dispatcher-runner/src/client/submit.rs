//! From a value, or a name with JSON, to a stored job that somebody runs.

use std::num::NonZero;
use std::sync::OnceLock;

use dispatcher_core::limits::PAYLOAD_BYTES_MAX;
use dispatcher_core::{Definition, Dispatcher, JobId, Options, PayloadError, Registry, identity};

use crate::about::About;
use crate::client::SpawnError;
use crate::config::{Config, StoreLocation, checked};
#[cfg(feature = "service")]
use crate::store::SubmitFuture;
use crate::store::{
    Accepted, Build, DispatcherRow, NewJob, StoreClient, StoreError, Submission, SupervisorRow,
};
use crate::supervisor::launch::{self, Work};
use crate::supervisor::{self, Orders, Staff, Stay};
use crate::{app, ids, requirements, testing};

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

impl From<Accepted> for Sent {
    fn from(job: Accepted) -> Self {
        Self {
            id: job.id,
            duplicate: job.duplicate,
        }
    }
}

impl Request {
    /// From a value.
    pub(crate) fn of<T: Dispatcher>(job: &T) -> Result<Self, SpawnError> {
        let payload =
            serde_json::to_string(job).map_err(|error| T::definition().refusal(&error))?;
        match testing::current() {
            Some(recording) => Self::checked(T::definition(), payload, &recording.config),
            None => Self::checked(T::definition(), payload, app::config()?),
        }
    }

    /// From a payload, options of all layers applied but those of the call.
    pub(crate) fn checked(
        definition: &'static Definition,
        payload: String,
        config: &Config,
    ) -> Result<Self, SpawnError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SpawnError::PayloadTooLarge {
                bytes: payload.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        let mut options = Self::options(definition, config);
        (definition.check)(&payload, &mut options).map_err(|error| PayloadError {
            dispatcher: definition.name,
            ..error
        })?;
        let payload = definition.stored_payload(payload);
        let origin = format!("pid {} ({})", std::process::id(), app::program_name());
        Ok(Self {
            definition,
            payload,
            options,
            retry_of: None,
            origin,
        })
    }

    /// From a payload that does not fit: the job fails in its worker, with the reason.
    #[cfg(feature = "service")]
    pub(crate) fn misfit(
        definition: &'static Definition,
        payload: String,
        config: &Config,
    ) -> Result<Self, SpawnError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SpawnError::PayloadTooLarge {
                bytes: payload.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        Ok(Self {
            definition,
            payload,
            options: Self::options(definition, config),
            retry_of: None,
            origin: String::new(),
        })
    }

    /// Declared and configured options.
    fn options(definition: &Definition, config: &Config) -> Options {
        let mut options = (definition.options)();
        let mut shared = (definition.dispatcher_options)();
        config.apply(definition.name, &mut options, &mut shared);
        options
    }
}

/// Where jobs are sent: a configuration, a state, an open store.
pub(crate) struct Sender<'a> {
    pub(crate) config: &'a Config,
    pub(crate) location: &'a StoreLocation,
    pub(crate) build: &'a Build,
    pub(crate) store: StoreClient,
}

/// Stores all of the requests or none, and makes sure that somebody runs them.
pub(crate) fn submit(requests: Vec<Request>) -> Result<Vec<Sent>, SpawnError> {
    if let Some(recording) = testing::current() {
        return recording.submit(requests);
    }
    Sender::of_this_process()?.submit(requests)
}

/// Stores a job within a transaction of the program's own.
#[cfg(feature = "postgres")]
pub(crate) async fn submit_in(
    transaction: &tokio_postgres::Transaction<'_>,
    request: Request,
) -> Result<Sent, SpawnError> {
    let sender = Sender::of_this_process()?;
    sender.submit_in(transaction, request).await
}

/// Makes sure that somebody runs what is waited for: its supervisor may have been killed, and the
/// next submission may be far away.
pub(crate) fn keep_served(dispatcher: &str, queue: &str) {
    if let Ok(sender) = Sender::of_this_process() {
        sender.keep_served(dispatcher, queue);
    }
}

impl Sender<'static> {
    fn of_this_process() -> Result<Self, SpawnError> {
        Ok(Self {
            build: app::build()?,
            config: app::config()?,
            location: app::location()?,
            store: app::store()?,
        })
    }
}

impl Sender<'_> {
    /// Stores all of the requests or none, and makes sure that somebody runs them.
    pub(crate) fn submit(&self, requests: Vec<Request>) -> Result<Vec<Sent>, SpawnError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let work = self.prepare(&requests)?;
        let (sent, supervisors) = self.write(requests)?;
        self.ensure(&work, &supervisors);
        Ok(sent)
    }

    /// Sees to it that what the requests need is there, and says who must be served.
    pub(super) fn prepare(&self, requests: &[Request]) -> Result<Vec<Work>, SpawnError> {
        for request in requests {
            check_requirements(request)?;
        }
        let file = self.location.file();
        launch::prepare(&self.orders(), self.build)
            .map_err(|source| StoreError::unusable(file, self.location.directory(), source))?;
        let work = requests.iter().map(|request| Work {
            dispatcher: request.definition.name,
            queue: request.options.queue.clone(),
        });
        let mut work: Vec<Work> = work.collect();
        work.dedup();
        Ok(work)
    }

    /// Stores each of the requests that can be stored, in their order and in one commit, and makes
    /// sure that somebody runs them.
    #[cfg(feature = "service")]
    pub(crate) fn submit_each(
        &self,
        requests: Vec<Result<Request, SpawnError>>,
    ) -> Vec<Result<Sent, SpawnError>> {
        let prepared = launch::prepare(&self.orders(), self.build);
        if let Err(source) = prepared {
            let (file, kind) = (self.location.file(), source.kind());
            let unusable = || {
                let source = std::io::Error::new(kind, source.to_string());
                StoreError::unusable(file, self.location.directory(), source)
            };
            return requests.iter().map(|_| Err(unusable().into())).collect();
        }
        let under_way: Vec<_> = requests
            .into_iter()
            .map(|request| self.begin(request?))
            .collect();
        let (mut work, mut supervisors) = (Vec::new(), Vec::new());
        let mut sent = Vec::new();
        for begun in under_way {
            let ended = begun.and_then(|(future, of)| {
                let submitted = future.wait()?;
                work.push(of);
                supervisors = submitted.supervisors;
                let job = submitted.jobs.first();
                let job = job.expect("invariant: one job has one answer");
                Ok(Sent {
                    id: job.id,
                    duplicate: job.duplicate,
                })
            });
            sent.push(ended);
        }
        work.dedup();
        if !work.is_empty() {
            self.ensure(&work, &supervisors);
        }
        sent
    }

    /// Hands a request to the store.
    #[cfg(feature = "service")]
    fn begin(&self, request: Request) -> Result<(SubmitFuture, Work), SpawnError> {
        check_requirements(&request)?;
        let work = Work {
            dispatcher: request.definition.name,
            queue: request.options.queue.clone(),
        };
        let future = self.store.submit_async(self.group(vec![request])?);
        Ok((future, work))
    }

    /// Stores all of the requests or none; answers with the open supervisors too.
    pub(crate) fn write(
        &self,
        requests: Vec<Request>,
    ) -> Result<(Vec<Sent>, Vec<SupervisorRow>), SpawnError> {
        let submitted = self.store.submit(self.group(requests)?)?;
        let sent = submitted.jobs.into_iter().map(Sent::from).collect();
        Ok((sent, submitted.supervisors))
    }

    /// The requests as a group of jobs.
    pub(super) fn group(&self, requests: Vec<Request>) -> Result<Submission, SpawnError> {
        let mut dispatchers: Vec<DispatcherRow> = Vec::new();
        let mut jobs = Vec::with_capacity(requests.len());
        for request in requests {
            if dispatchers
                .iter()
                .all(|row| row.name != request.definition.name)
            {
                dispatchers.push(self.row(request.definition));
            }
            jobs.push(new_job(request, self.build)?);
        }
        for job in &jobs {
            tracing::debug!(job = %job.id, name = job.dispatcher, "job submitted");
        }
        Ok(Submission {
            jobs,
            dispatchers,
            ..Submission::default()
        })
    }

    /// Stores a job within a transaction of the program's own. Nobody is started for it: nobody
    /// knows whether it will be there.
    #[cfg(feature = "postgres")]
    async fn submit_in(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        request: Request,
    ) -> Result<Sent, SpawnError> {
        check_requirements(&request)?;
        let Some(target) = self.location.target() else {
            return Err(SpawnError::from(StoreError::Database {
                path: self.location.place(),
                detail: "jobs are in no PostgreSQL database, so none can be sent within a \
                         transaction of one"
                    .to_owned(),
            }));
        };
        let group = self.group(vec![request])?;
        let sent = crate::store::submit_in(transaction, target, &group).await?;
        let sent = sent.into_iter().next().map(Sent::from);
        Ok(sent.expect("invariant: one request has one answer"))
    }

    /// A job that is stored later, when others have ended, with the row of its dispatcher.
    #[cfg(feature = "http")]
    pub(super) fn follower(&self, request: Request) -> Result<(NewJob, DispatcherRow), SpawnError> {
        check_requirements(&request)?;
        let row = self.row(request.definition);
        Ok((new_job(request, self.build)?, row))
    }

    /// Wakes every open supervisor, and makes sure that there is one for what is unfinished.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn wake_all(&self, registry: &Registry) -> Result<(), SpawnError> {
        let rows = self.store.call(|store| store.supervisors())?;
        for row in rows.iter().filter(|row| row.open) {
            supervisor::wake(&row.directory);
        }
        self.serve_unfinished(registry)
    }

    /// Makes sure that there is a supervisor for what is unfinished of these dispatchers.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn serve_unfinished(&self, registry: &Registry) -> Result<(), SpawnError> {
        let lanes = self.store.call(|store| store.unfinished())?;
        let work = lanes.into_iter().filter_map(|(name, queue)| {
            let definition = registry.iter().find(|it| it.name == name)?;
            Some(Work {
                dispatcher: definition.name,
                queue,
            })
        });
        let work: Vec<_> = work.collect();
        if !work.is_empty() {
            let supervisors = self.store.call(|store| store.supervisors())?;
            self.ensure(&work, &supervisors);
        }
        Ok(())
    }

    /// Makes sure that there is a supervisor of this program for the jobs of a dispatcher with this
    /// label.
    pub(crate) fn keep_served(&self, dispatcher: &str, queue: &str) {
        let Ok(definition) = self.find(dispatcher) else {
            return;
        };
        let work = Work {
            dispatcher: definition.name,
            queue: queue.to_owned(),
        };
        if let Ok(rows) = self.store.call(|store| store.supervisors()) {
            self.ensure(&[work], &rows);
        }
    }

    /// Wakes who serves the work; `false` when some of it is served by nobody. Waits for nothing.
    #[cfg(feature = "http")]
    pub(super) fn wake(&self, work: &[Work], rows: &[SupervisorRow]) -> bool {
        let wanted = launch::Wanted {
            orders: &self.orders(),
            build: self.build,
            work,
            staff: &|| self.staff_on_demand(),
        };
        wanted.wake_open(rows)
    }

    /// The job is stored, whatever happens here; the next submission, timer or service runs it.
    pub(super) fn ensure(&self, work: &[Work], rows: &[SupervisorRow]) {
        let wanted = launch::Wanted {
            orders: &self.orders(),
            build: self.build,
            work,
            staff: &|| self.staff_on_demand(),
        };
        if let Err(error) = launch::ensure(&wanted, rows, &self.store) {
            tracing::error!(%error, "no supervisor could be started; the job waits for the next one");
        }
    }

    /// What a supervisor that this process starts will be told.
    pub(crate) fn orders(&self) -> Orders {
        Orders {
            lease_ms: self.location.target().map(|_| self.config.lease_ms()),
            program: self.config.app().to_owned(),
            state_file: self.location.file().to_owned(),
            target: self.location.target().cloned(),
            slots: self.config.workers().unwrap_or_else(slots_by_default),
            stay: Stay::WhileBusy {
                linger_ms: LINGER_MS,
            },
            // `[service] queues` says what the service claims; of these jobs nobody else would.
            queues: Vec::new(),
            keep_secs: self.config.retention_age().as_secs(),
            keep_count: self.config.retention_count(),
            staff: Staff::default(),
        }
    }

    /// Stores the rows of all dispatchers, so that what belongs to a dispatcher holds before its
    /// first job.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), SpawnError> {
        let rows: Vec<DispatcherRow> = registry.iter().map(|it| self.row(it)).collect();
        Ok(self.store.call(move |store| store.register(&rows))?)
    }

    /// The row of a dispatcher, as this build and this configuration see it.
    pub(super) fn row(&self, definition: &'static Definition) -> DispatcherRow {
        let mut options = (definition.options)();
        let mut shared = (definition.dispatcher_options)();
        self.config
            .apply(definition.name, &mut options, &mut shared);
        DispatcherRow {
            name: definition.name.to_owned(),
            build: self.build.clone(),
            options: shared,
            about: About::of(definition, options, Vec::new()).to_json(),
        }
    }
}

/// Twice the number of processors; asked once, because the answer lies in files of the kernel.
fn slots_by_default() -> u32 {
    static SLOTS: OnceLock<u32> = OnceLock::new();
    *SLOTS.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        u32::try_from(2 * processors).unwrap_or(2)
    })
}

pub(super) fn new_job(request: Request, build: &Build) -> Result<NewJob, SpawnError> {
    let options = checked(request.options).map_err(|misfit| SpawnError::Option {
        dispatcher: request.definition.name.to_owned(),
        option: misfit.option,
        why: misfit.why,
    })?;
    let identity = match &options.unique_key {
        // The store takes the key for it.
        Some(_) => String::new(),
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
        options,
        retry_of: request.retry_of,
        origin: request.origin,
        build: build.clone(),
    })
}

pub(super) fn check_requirements(request: &Request) -> Result<(), SpawnError> {
    let names = requirements::missing_cached(&request.options);
    if names.is_empty() {
        return Ok(());
    }
    Err(SpawnError::MissingRequirement {
        dispatcher: request.definition.name.to_owned(),
        names,
    })
}
