//! What somebody outside may do with the jobs of one state, once it is known who he is.
//!
//! Every call waits for the store, and none of them asks who calls: that is done before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::{Definition, JobId, JobState, Options, Registry};

use super::handle;
use super::live::LiveLog;
use super::submit::{Request, Sender, Sent};
use super::{SpawnError, StoreFailure};
use crate::app;
use crate::config::{Config, StoreLocation};
use crate::store::{
    Build, Capture, NewBatch, ReceiptError, StoreClient, StoreError, SubmitError, SubmitFuture,
    SupervisorRow,
};
use crate::supervisor::launch::Work;

pub(crate) use crate::store::{
    BatchRecord, CancelReply, DueCallback, JobRecord, NewCallback, NewReceipt, Receipt, Settled,
    Stream,
};

/// The way to the jobs of one state.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    config: Config,
    registry: Registry,
    location: StoreLocation,
    build: Build,
    store: Box<dyn Fn() -> Result<StoreClient, SpawnError> + Send + Sync>,
}

/// A group of jobs that was accepted, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) jobs: Vec<Sent>,
    /// The note of the receipt, if it was accepted before.
    pub(crate) replay_of: Option<String>,
}

/// Jobs that come together, and what belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) requests: Vec<Request>,
    /// Who is told of their ends.
    pub(crate) callbacks: Vec<NewCallback>,
    pub(crate) batch: Option<BatchRequest>,
}

impl Group {
    /// One job alone.
    pub(crate) fn of(request: Request) -> Self {
        Self {
            requests: vec![request],
            ..Self::default()
        }
    }
}

/// Makes a batch of the jobs with which it comes.
#[derive(Debug)]
pub(crate) struct BatchRequest {
    pub(crate) id: String,
    /// Comes when all of them have ended.
    pub(crate) on_finished: Option<Request>,
}

/// Why a group was not accepted. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("another message had the same id")]
    OtherMessage,
    #[error("there is a batch {id} already")]
    BatchExists { id: String },
    #[error("the answers to {count_max} messages are kept, and no more")]
    NoRoom { count_max: u64 },
}

impl From<SubmitError> for Refused {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Receipt(ReceiptError::OtherMessage) => Self::OtherMessage,
            SubmitError::Receipt(ReceiptError::Full { count_max }) => Self::NoRoom { count_max },
            SubmitError::BatchExists { id } => Self::BatchExists { id },
            SubmitError::QueueFull { .. } | SubmitError::Store(_) => Self::Spawn(error.into()),
        }
    }
}

/// A group on its way into the store. Dropping it takes nothing back, but wakes nobody.
#[must_use = "the answer says whether the jobs were accepted"]
pub(crate) struct Accepting {
    gate: Gate,
    work: Vec<Work>,
    submitting: SubmitFuture,
}

/// Jobs that were stored and that nobody serves yet.
pub(crate) struct Unserved {
    gate: Gate,
    work: Vec<Work>,
    supervisors: Vec<SupervisorRow>,
}

impl Accepting {
    /// Ready when the group is durable, and whoever serves it was woken. No thread is held while
    /// it waits: whatever waits at the same time can share a commit.
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    pub(crate) async fn stored(self) -> Result<(Passed, Option<Unserved>), Refused> {
        let Self {
            gate,
            work,
            submitting,
        } = self;
        let submitted = submitting.await?;
        let supervisors = submitted.supervisors;
        let is_new = submitted.replay_of.is_none() && !work.is_empty();
        let is_served = !is_new || gate.sender()?.wake(&work, &supervisors);
        let unserved = (!is_served).then_some(Unserved {
            gate,
            work,
            supervisors,
        });
        let passed = Passed {
            jobs: submitted.jobs.into_iter().map(Sent::from).collect(),
            replay_of: submitted.replay_of,
        };
        Ok((passed, unserved))
    }
}

impl Unserved {
    /// Makes sure that somebody runs them, which may wait for others who do the same.
    pub(crate) fn serve(self) {
        if let Ok(sender) = self.gate.sender() {
            sender.ensure(&self.work, &self.supervisors);
        }
    }
}

impl Gate {
    /// To this state, with this store.
    pub(crate) fn new(sender: &Sender<'_>, registry: Registry) -> Self {
        let store = sender.store.clone();
        Self(Arc::new(Inner {
            config: sender.config.clone(),
            registry,
            location: sender.location.clone(),
            build: sender.build.clone(),
            store: Box::new(move || Ok(store.clone())),
        }))
    }

    /// To the state of this process, which is opened at the first use.
    ///
    /// # Errors
    /// When the program or its configuration is not as it must be.
    pub(crate) fn of_this_process() -> Result<Self, SpawnError> {
        let config = app::config()?;
        let registry = config.resolve(app::registry().clone());
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            registry: registry.map_err(SpawnError::config)?,
            location: app::location()?.clone(),
            build: app::build()?.clone(),
            store: Box::new(app::store),
        })))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// The dispatchers, with configured aliases.
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// How many jobs of a dispatcher may be unfinished; 0 is no limit.
    pub(crate) fn max_queue(&self, definition: &Definition) -> u32 {
        let mut options = (definition.options)();
        let mut shared = (definition.dispatcher_options)();
        self.0
            .config
            .apply(definition.name, &mut options, &mut shared);
        shared.max_queue
    }

    /// Labels that somebody has declared.
    pub(crate) fn known_queues(&self) -> BTreeSet<String> {
        self.0.config.known_queues(&self.0.registry)
    }

    /// A job about to be stored, its payload checked and all layers of options applied.
    ///
    /// # Errors
    /// When the payload does not fit, or an option.
    pub(crate) fn request(
        &self,
        definition: &'static Definition,
        payload: String,
        change: impl FnOnce(&mut Options),
        origin: String,
    ) -> Result<Request, SpawnError> {
        let mut request = Request::checked(definition, payload, &self.0.config)?;
        change(&mut request.options);
        request.origin = origin;
        if !self.known_queues().contains(&request.options.queue) {
            return Err(SpawnError::Option {
                dispatcher: definition.name.to_owned(),
                option: "queue",
                why: format!("nobody has declared the queue `{}`", request.options.queue),
            });
        }
        Ok(request)
    }

    /// The same job once more: its payload and its options as they were frozen.
    ///
    /// # Errors
    /// When its dispatcher is gone, or takes the payload no longer.
    pub(crate) fn again(&self, record: &JobRecord, origin: String) -> Result<Request, SpawnError> {
        let definition = self.0.registry.resolve(&record.summary.dispatcher)?;
        let payload = record.summary.payload.clone();
        let mut request = Request::checked(definition, payload, &self.0.config)?;
        request.options = record.options.clone();
        // The old job has waited once; a retry is asked for now.
        request.options.delay = None;
        request.retry_of = Some(record.summary.id);
        request.origin = origin;
        Ok(request)
    }

    /// Hands all of the jobs with their receipt to the store, which takes all or none of them.
    ///
    /// # Errors
    /// When they were refused; nothing was written then.
    pub(crate) fn accept(&self, group: Group, receipt: NewReceipt) -> Result<Accepting, Refused> {
        let Group {
            requests,
            callbacks,
            batch,
        } = group;
        let sender = self.sender()?;
        let (batch, follower) = match batch {
            Some(BatchRequest { id, on_finished }) => {
                let follower = on_finished.map(|request| sender.follower(request));
                (Some(id), follower.transpose()?)
            }
            None => (None, None),
        };
        let work = match requests.is_empty() {
            true => Vec::new(),
            false => sender.prepare(&requests)?,
        };
        let mut group = sender.group(requests)?;
        group.receipt = Some(receipt);
        group.callbacks = callbacks;
        if let Some(id) = batch {
            let on_finished = follower.map(|(job, row)| {
                group.dispatchers.push(row);
                job
            });
            group.batch = Some(NewBatch { id, on_finished });
        }
        Ok(Accepting {
            submitting: sender.store.submit_async(group),
            gate: self.clone(),
            work,
        })
    }

    /// What is on record about a message.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn receipt(&self, sender: &str, id: &str) -> Result<Option<Receipt>, SpawnError> {
        let (sender, id) = (sender.to_owned(), id.to_owned());
        Ok(self
            .store()?
            .call(move |store| store.receipt(&sender, &id))?)
    }

    /// Whether there is such a job, and whether it has ended. Cheap, and not yet for telling.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn state(&self, job: JobId) -> Result<Option<JobState>, SpawnError> {
        Ok(self.store()?.call(move |store| store.state(job))?)
    }

    /// A job, as it may be told: an end is on disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn job(&self, job: JobId) -> Result<Option<JobRecord>, SpawnError> {
        let read = self.store()?.call(move |store| -> Result<_, StoreError> {
            let record = store.job(job)?;
            let ended = |record: &JobRecord| record.summary.state.is_terminal();
            if record.as_ref().is_some_and(ended) {
                store.sync()?;
            }
            Ok(record)
        });
        Ok(read?)
    }

    /// What an attempt writes, from its beginning.
    pub(crate) fn live_log(&self, job: JobId, attempt: u32) -> LiveLog {
        let folder = self.0.location.directory().join("live");
        LiveLog::new(&folder, job, attempt)
    }

    /// What an attempt wrote; empty before its end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn capture(&self, job: JobId, attempt: u32) -> Result<Capture, SpawnError> {
        let read = self.store()?.call(move |store| -> Result<_, StoreError> {
            let capture = store.capture(job, attempt)?;
            store.sync()?;
            Ok(capture)
        });
        Ok(read?.unwrap_or_default())
    }

    /// Cancels a job durably, and wakes whoever runs it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn cancel(&self, job: JobId, by: String) -> Result<CancelReply, SpawnError> {
        Ok(handle::cancel(&self.store()?, job, by)?)
    }

    /// A batch, as it may be told: its ends are on disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn batch(&self, id: &str) -> Result<Option<BatchRecord>, SpawnError> {
        let id = id.to_owned();
        let read = self.store()?.call(move |store| -> Result<_, StoreError> {
            let batch = store.batch(&id)?;
            store.sync()?;
            Ok(batch)
        });
        Ok(read?)
    }

    /// Cancels jobs in one durable step, and wakes whoever runs them.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn cancel_all(
        &self,
        jobs: Vec<JobId>,
        by: String,
    ) -> Result<Vec<CancelReply>, SpawnError> {
        Ok(handle::cancel_all(&self.store()?, jobs, by)?)
    }

    /// Takes callbacks that are due, for as long as `hold`.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn take_callbacks(
        &self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, SpawnError> {
        let store = self.store()?;
        Ok(store.call(move |store| store.take_callbacks(limit, hold))?)
    }

    /// Forgets a callback, or puts it off.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn settle_callback(&self, key: i64, settled: Settled) -> Result<(), SpawnError> {
        let store = self.store()?;
        Ok(store.call(move |store| store.settle_callback(key, settled))?)
    }

    /// Makes sure that somebody runs the jobs of a dispatcher with this label.
    pub(crate) fn keep_served(&self, dispatcher: &str, queue: &str) {
        if let Ok(sender) = self.sender() {
            sender.keep_served(dispatcher, queue);
        }
    }

    /// Whether the store can be read.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn look(&self) -> Result<(), StoreFailure> {
        let store = self.store().map_err(|error| match error {
            SpawnError::Store(failure) => failure,
            other => StoreFailure::from(StoreError::Database {
                path: self.0.location.file().to_owned(),
                detail: other.to_string(),
            }),
        })?;
        store.call(|store| store.oldest_waiting())?;
        Ok(())
    }

    fn store(&self) -> Result<StoreClient, SpawnError> {
        (self.0.store)()
    }

    fn sender(&self) -> Result<Sender<'_>, SpawnError> {
        Ok(Sender {
            config: &self.0.config,
            location: &self.0.location,
            build: &self.0.build,
            store: self.store()?,
        })
    }
}
