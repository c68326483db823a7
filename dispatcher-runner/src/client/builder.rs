//! A job with options of its own.

use std::time::Duration;

use dispatcher_core::{Backoff, Dispatcher, Options};

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
        self.with(move |options| options.timeout = (!time.is_zero()).then_some(time))
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

    /// Ends the job as expired when it has waited longer.
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

    /// Stores the job and returns at once.
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    pub fn spawn(self) -> Result<JobHandle<T>, SpawnError> {
        let mut request = Request::of(&self.job)?;
        for change in self.changes {
            change(&mut request.options);
        }
        let sent = submit(vec![request])?;
        let sent = sent.first().expect("invariant: one request has one answer");
        Ok(JobHandle::new(*sent))
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
