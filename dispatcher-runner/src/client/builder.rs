//! A job with options of its own.

use std::time::Duration;

use dispatcher_core::{Backoff, Dispatcher, EnvPolicy, Isolation, Leftovers, OnLost, Options};

use super::{Ended, JobHandle, Request, SpawnError, submit};

/// A job about to be sent, with every per-job option. Made by [`Dispatch::dispatch`](super::Dispatch::dispatch).
#[must_use = "nothing is sent before `spawn`, `run` or `start`"]
pub struct JobBuilder<T> {
    job: T,
    changes: Vec<Change>,
}

type Change = Box<dyn FnOnce(&mut Options)>;

/// How a job is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Return at once.
    Background,
    /// Wait for the end.
    Wait,
}

/// What [`JobBuilder::start`] answers.
#[derive(Debug)]
pub enum Started<T> {
    /// It is on its way.
    Background(JobHandle<T>),
    /// It has ended.
    Ended(Ended),
}

impl<T: Dispatcher> JobBuilder<T> {
    pub(super) fn new(job: T) -> Self {
        Self {
            job,
            changes: Vec::new(),
        }
    }

    /// Changes any option of this job.
    pub fn with(mut self, change: impl FnOnce(&mut Options) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Run time of one attempt; zero is no limit.
    pub fn timeout(self, time: Duration) -> Self {
        self.with(move |options| options.timeout = Some(time))
    }

    /// Time between TERM and KILL.
    pub fn grace(self, time: Duration) -> Self {
        self.with(move |options| options.grace = time)
    }

    /// Label that a supervisor may be told to serve.
    pub fn queue(self, label: impl Into<String>) -> Self {
        let label = label.into();
        self.with(move |options| options.queue = label)
    }

    /// Ends the job as expired when it has waited longer; zero is no limit.
    pub fn expires(self, time: Duration) -> Self {
        self.with(move |options| options.expires = Some(time))
    }

    /// Replaces the payload as the job's identity among duplicates.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(move |options| options.unique_key = Some(key))
    }

    /// Further attempts after a failure.
    pub fn retries(self, count: u32) -> Self {
        self.with(move |options| options.retries = count)
    }

    /// Waiting time before each further attempt.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(move |options| options.backoff = backoff)
    }

    /// Higher first.
    pub fn priority(self, priority: i32) -> Self {
        self.with(move |options| options.priority = priority)
    }

    /// Waiting time before the job may start.
    pub fn delay(self, time: Duration) -> Self {
        self.with(move |options| options.delay = Some(time))
    }

    /// What happens when the supervisor is lost while the job runs.
    pub fn on_lost(self, what: OnLost) -> Self {
        self.with(move |options| options.on_lost = what)
    }

    /// Operating-system packages that must be installed.
    pub fn required_packages<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names = texts(names);
        self.with(move |options| options.required_packages = names)
    }

    /// Programs that must be on `PATH`.
    pub fn required_commands<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names = texts(names);
        self.with(move |options| options.required_commands = names)
    }

    /// Shared libraries loaded before the job begins.
    pub fn package_includes<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names = texts(names);
        self.with(move |options| options.package_includes = names)
    }

    /// How the job's process comes to be.
    pub fn isolation(self, isolation: Isolation) -> Self {
        self.with(move |options| options.isolation = isolation)
    }

    /// Resident memory of the whole process tree, in bytes.
    pub fn memory_limit(self, bytes: u64) -> Self {
        self.with(move |options| options.memory_limit = Some(bytes))
    }

    /// CPU time of each of its processes; zero is no limit.
    pub fn cpu_limit(self, time: Duration) -> Self {
        self.with(move |options| options.cpu_limit = Some(time))
    }

    /// Open descriptors of each of its processes.
    pub fn open_files(self, count: u64) -> Self {
        self.with(move |options| options.open_files = Some(count))
    }

    /// Niceness, -20 to 19.
    pub fn nice(self, nice: i32) -> Self {
        self.with(move |options| options.nice = Some(nice))
    }

    /// Variables of the supervisor's start environment that the job sees, and no others.
    pub fn env<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names = texts(names);
        self.with(move |options| options.env = EnvPolicy::Only(names))
    }

    /// Where the job starts; an absolute path.
    pub fn working_directory(self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.with(move |options| options.working_directory = Some(path))
    }

    /// What happens to processes that the job leaves behind when it succeeds.
    pub fn leftovers(self, what: Leftovers) -> Self {
        self.with(move |options| options.leftovers = what)
    }

    /// Stores the job and returns at once.
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    pub fn spawn(self) -> Result<JobHandle<T>, SpawnError> {
        let sent = submit(vec![self.request()?])?;
        let sent = sent.first().expect("invariant: one request has one answer");
        Ok(JobHandle::new(*sent))
    }

    /// Stores the job within a transaction of the program's own, in the database of the store: it
    /// exists when that commits, and never existed when it rolls back. A refusal leaves the
    /// transaction as it was.
    ///
    /// Nobody is woken, since nobody knows whether there will be a job: a service comes for it
    /// within a second or so. The transaction must be at READ COMMITTED where the queue of the
    /// dispatcher has a limit or looks for duplicates, and should be short: until it ends, everybody
    /// else who sends to that dispatcher waits.
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    #[cfg(feature = "postgres")]
    pub async fn spawn_in(
        self,
        transaction: &tokio_postgres::Transaction<'_>,
    ) -> Result<JobHandle<T>, SpawnError> {
        let request = self.request()?;
        let sent = submit::submit_in(transaction, request).await?;
        Ok(JobHandle::new(sent))
    }

    fn request(self) -> Result<Request, SpawnError> {
        let mut request = Request::of(&self.job)?;
        for change in self.changes {
            change(&mut request.options);
        }
        Ok(request)
    }

    /// Stores the job and waits for its end.
    ///
    /// # Errors
    /// When it was refused, or its end could not be read.
    pub fn run(self) -> Result<Ended, SpawnError> {
        self.spawn()?.wait().map_err(SpawnError::Store)
    }

    /// [`spawn`](Self::spawn) or [`run`](Self::run).
    ///
    /// # Errors
    /// As those.
    pub fn start(self, mode: Mode) -> Result<Started<T>, SpawnError> {
        match mode {
            Mode::Background => self.spawn().map(Started::Background),
            Mode::Wait => self.run().map(Started::Ended),
        }
    }
}

fn texts<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}
