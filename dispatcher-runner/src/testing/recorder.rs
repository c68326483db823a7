//! Stands in for store and supervisor on one thread, so that jobs run when a test says so.
//!
//! Behind it is the store in memory with its real rules: limits, duplicates, order, retries. Its
//! clock is the recorder's own and jumps to whatever is due next, so that delays take no time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::limits::SNOOZES_MAX;
use dispatcher_core::{
    Cause, Definition, Dispatcher, Failure, FailureKind, JobId, JobState, Options, Outcome, Usage,
    backoff_delay,
};

use super::{Surroundings, TestRun, perform};
use crate::about::About;
use crate::client::{Request, Sender, Sent, SpawnError};
use crate::config::{Config, Origin, StoreLocation};
use crate::store::{
    Build, Capture, ClaimRequest, Claimed, JobFilter, JobSummary, MemoryStore, NewSupervisor, Next,
    Record, Serves, StoreClient, StoreThread, SupervisorId,
};

/// More attempts in one draining are taken for a loop of jobs that submit each other.
const ATTEMPTS_MAX: usize = 3_000;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Recording>>> = const { RefCell::new(None) };
}

/// The recorder of this thread.
pub(crate) fn current() -> Option<Rc<Recording>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Records the jobs that this thread sends from here on, until the recorder is dropped.
///
/// They are not run in earnest: [`Recorder::drain`] runs them in this process. So does waiting for
/// one ([`run_process`](crate::Dispatch::run_process), [`JobHandle::wait`](crate::JobHandle::wait)),
/// which runs what comes before it and the job itself, and no more.
/// Queue limits, duplicates, order, retries and delays are as in earnest, but no time passes.
/// What a dispatcher needs on its machine is not looked for, and no configuration is read:
/// declared options count.
///
/// Other threads are not recorded, so that tests may run side by side.
///
/// # Panics
/// When this thread has a recorder already.
#[must_use = "jobs are recorded while it lives"]
#[track_caller]
pub fn record() -> Recorder {
    assert!(current().is_none(), "this thread has a recorder already");
    let recording = Rc::new(Recording::new());
    CURRENT.set(Some(Rc::clone(&recording)));
    Recorder { recording }
}

/// What was sent while it lives. Made by [`record`].
pub struct Recorder {
    recording: Rc<Recording>,
}

/// One attempt of [`Recorder::drain`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Drained {
    /// The job.
    pub id: JobId,
    /// Name of its dispatcher.
    pub dispatcher: String,
    /// Which try, from 1.
    pub attempt: u32,
    /// What it did.
    pub run: TestRun,
}

impl Recorder {
    /// The accepted jobs of `T`, run or not, in the order in which they were sent.
    ///
    /// # Panics
    /// When a stored payload does not fit `T` any more, which is a bug of its serde.
    #[must_use]
    #[track_caller]
    pub fn enqueued<T: Dispatcher>(&self) -> Vec<T> {
        let jobs = self.sent(Some(T::NAME));
        jobs.iter().map(|job| job_of(&job.payload)).collect()
    }

    /// As [`enqueued`](Self::enqueued), each with the options that were frozen in its row: those
    /// of the attribute, changed by [`Process::options`](dispatcher_core::Process::options) and by
    /// the [builder](crate::JobBuilder).
    ///
    /// # Panics
    /// When a stored payload does not fit `T` any more, which is a bug of its serde.
    #[must_use]
    #[track_caller]
    pub fn enqueued_with_options<T: Dispatcher>(&self) -> Vec<(T, Options)> {
        let mut jobs = Vec::new();
        for job in self.sent(Some(T::NAME)) {
            let record = self.recording.store.call(move |store| store.job(job.id));
            let record = record.ok().flatten();
            let options = record
                .expect("invariant: a job that is listed is there")
                .options;
            jobs.push((job_of(&job.payload), options));
        }
        jobs
    }

    /// Asserts that a job of `T` was accepted for which `is_meant` holds.
    ///
    /// # Panics
    /// When there is none; the message shows what there is.
    #[track_caller]
    pub fn assert_enqueued<T: Dispatcher>(&self, is_meant: impl Fn(&T) -> bool) {
        assert!(
            self.enqueued::<T>().iter().any(is_meant),
            "no such job of {} was enqueued; there are {:?}",
            T::NAME,
            self.payloads(&self.sent(Some(T::NAME)))
        );
    }

    /// Asserts that no job of `T` was accepted.
    ///
    /// # Panics
    /// When there is one; the message shows it.
    #[track_caller]
    pub fn assert_not_enqueued<T: Dispatcher>(&self) {
        let jobs = self.sent(Some(T::NAME));
        assert!(
            jobs.is_empty(),
            "jobs of {} were enqueued: {:?}",
            T::NAME,
            self.payloads(&jobs)
        );
    }

    /// Asserts that no job at all was accepted.
    ///
    /// # Panics
    /// When there is one; the message shows it.
    #[track_caller]
    pub fn assert_nothing_enqueued(&self) {
        let jobs = self.sent(None);
        let payloads = self.payloads(&jobs).into_iter();
        let shown = jobs.iter().zip(payloads);
        let shown: Vec<_> = shown
            .map(|(job, payload)| format!("{} {payload}", job.dispatcher))
            .collect();
        assert!(shown.is_empty(), "jobs were enqueued: {shown:?}");
    }

    /// Runs what waits, and what that sends, until nothing is left; retries and delayed jobs too.
    /// A panic of a job is the test's.
    ///
    /// # Panics
    /// When jobs go on sending each other for ever.
    #[track_caller]
    pub fn drain(&self) -> Vec<Drained> {
        self.recording.drain(Until::NothingWaits)
    }

    /// Payloads as they may be shown: a test's output is a log, too.
    fn payloads(&self, jobs: &[JobSummary]) -> Vec<String> {
        let known = self.recording.known.borrow();
        let shown = |job: &JobSummary| match known.get(job.dispatcher.as_str()) {
            Some(definition) if definition.fields.iter().any(|field| field.secret) => {
                let about = About::of(definition, Options::default(), Vec::new());
                about.masked(&job.payload).to_string()
            }
            Some(_) | None => job.payload.clone(),
        };
        jobs.iter().map(shown).collect()
    }

    /// The jobs on record, oldest first.
    fn sent(&self, dispatcher: Option<&str>) -> Vec<JobSummary> {
        let filter = JobFilter {
            dispatcher: dispatcher.map(str::to_owned),
            limit: usize::MAX,
            ..JobFilter::default()
        };
        let jobs = self.recording.store.call(move |store| store.jobs(&filter));
        let mut jobs = jobs.expect("invariant: the store in memory does not fail");
        jobs.reverse();
        jobs
    }
}

#[track_caller]
fn job_of<T: Dispatcher>(payload: &str) -> T {
    dispatcher_core::__private::decode(payload).unwrap_or_else(|error| panic!("{error}"))
}

impl Drop for Recorder {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// How long [`Recording::drain`] goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Nothing waits that could be run.
    NothingWaits,
    /// This job has ended, or nothing waits that could be run.
    EndOf(JobId),
}

/// What the client sees of a recorder.
pub(crate) struct Recording {
    pub(crate) store: StoreClient,
    pub(crate) config: Config,
    location: StoreLocation,
    build: Build,
    supervisor: SupervisorId,
    clock: Arc<AtomicI64>,
    /// Attempts so far; each has a slot of its own.
    started: Cell<u32>,
    /// The dispatchers of the jobs that were sent.
    known: RefCell<BTreeMap<&'static str, &'static Definition>>,
}

impl Recording {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let clock = Arc::new(AtomicI64::new(millis(now.unwrap_or_default())));
        let store = MemoryStore::with_clock(Arc::clone(&clock));
        let store = StoreThread::spawn(Box::new(store))
            .unwrap_or_else(|error| panic!("no thread for the recorder: {error}"));
        let build = Build {
            modified_ns: 0,
            id: "test".to_owned(),
        };
        let row = NewSupervisor {
            program: "test".to_owned(),
            build: build.clone(),
            pid: std::process::id(),
            slots: 1,
            directory: PathBuf::new(),
            serves: Vec::new(),
            queues: Vec::new(),
            lease: None,
        };
        let supervisor = store.call(move |store| store.open_supervisor(&row));
        Self {
            store,
            config: Config::new("test"),
            location: StoreLocation::new(PathBuf::from("/test/state.db"), Origin::Code),
            build,
            supervisor: supervisor.expect("invariant: the store in memory does not fail"),
            clock,
            started: Cell::new(0),
            known: RefCell::default(),
        }
    }

    /// Stores all of the requests, or none.
    pub(crate) fn submit(&self, requests: Vec<Request>) -> Result<Vec<Sent>, SpawnError> {
        let mut known = self.known.borrow_mut();
        known.extend(
            requests
                .iter()
                .map(|request| (request.definition.name, request.definition)),
        );
        let sender = Sender {
            config: &self.config,
            location: &self.location,
            build: &self.build,
            store: self.store.clone(),
        };
        Ok(sender.write(requests)?.0)
    }

    /// Runs what waits. Nothing is borrowed while a job runs: it may send jobs and wait for them.
    #[track_caller]
    pub(crate) fn drain(&self, until: Until) -> Vec<Drained> {
        let mut drained = Vec::new();
        loop {
            if self.is_reached(until) {
                return drained;
            }
            let request = self.claim_request();
            let claim = self.store.call(move |store| store.claim(&request));
            let mut claim = claim.expect("invariant: the store in memory does not fail");
            match (claim.jobs.pop(), claim.next_due) {
                (Some(job), _) => drained.push(self.perform(job)),
                (None, Some(after)) => {
                    let now = self.clock.load(Ordering::Relaxed);
                    let due = now.saturating_add(millis(after).max(1));
                    self.clock.store(due, Ordering::Relaxed);
                }
                (None, None) => return drained,
            }
            assert!(
                drained.len() < ATTEMPTS_MAX,
                "{ATTEMPTS_MAX} attempts and still jobs left"
            );
        }
    }

    fn is_reached(&self, until: Until) -> bool {
        match until {
            Until::NothingWaits => false,
            Until::EndOf(job) => {
                let state = self.store.call(move |store| store.state(job));
                let state = state.expect("invariant: the store in memory does not fail");
                state.is_none_or(JobState::is_terminal)
            }
        }
    }

    fn claim_request(&self) -> ClaimRequest {
        let names = self.known.borrow();
        ClaimRequest {
            supervisor: self.supervisor,
            serves: Serves {
                dispatchers: names.keys().map(|name| (*name).to_owned()).collect(),
                queues: Vec::new(),
            },
            slots: vec![self.started.get()],
            worker_slots: 1,
        }
    }

    #[track_caller]
    fn perform(&self, job: Claimed) -> Drained {
        self.started.set(self.started.get() + 1);
        let definition = *self
            .known
            .borrow()
            .get(job.dispatcher.as_str())
            .expect("invariant: only dispatchers that are known are served");
        let attempt = job.counters.attempt;
        let run = perform(
            definition,
            &job.payload,
            &Surroundings {
                job: job.job,
                attempt,
                deadline: None,
                cancelled_after: None,
            },
        );
        let record = self.end_of(&job, &run);
        let recorded = self.store.call(move |store| store.record(&[record]));
        recorded.expect("invariant: the store in memory does not fail");
        Drained {
            id: job.job,
            dispatcher: job.dispatcher,
            attempt,
            run,
        }
    }

    fn end_of(&self, job: &Claimed, run: &TestRun) -> Record {
        let now = self.clock.load(Ordering::Relaxed);
        let (cause, next) = match &run.result {
            Ok(()) => (Cause::Succeeded, Next::Succeed),
            Err(failure) => after(job, failure),
        };
        Record {
            job: job.job,
            token: job.counters.token,
            attempt: job.counters.attempt,
            started_at: Some(now),
            ended_at: now,
            run_time: Duration::ZERO,
            pid: None,
            build: self.build.id.clone(),
            outcome: Outcome {
                cause,
                exit_status: None,
                unclean_exit: false,
                leaked_output: false,
                left_processes: 0,
                usage: Usage::default(),
            },
            output: run.outputs.last().map(ToString::to_string),
            capture: Capture::default(),
            next,
        }
    }
}

/// What follows a failure, as the engine decides in earnest.
fn after(job: &Claimed, failure: &Failure) -> (Cause, Next) {
    let message = failure.message().to_owned();
    let failures = job.counters.failures.saturating_add(1);
    let retry = |after| match failures > job.options.retries {
        true => Next::Fail,
        false => Next::Retry { after },
    };
    let failed = || Cause::Failed {
        message: message.clone(),
        causes: failure.causes().to_vec(),
    };
    match failure.kind() {
        FailureKind::Failed => {
            let wait = backoff_delay(&job.options.backoff, failures, 0);
            (failed(), retry(wait))
        }
        FailureKind::RetryAfter(wait) => (failed(), retry(wait)),
        FailureKind::Discard => (Cause::Discarded { message }, Next::Fail),
        FailureKind::Snooze(_) if job.snoozes >= SNOOZES_MAX => (Cause::Snoozed, Next::Fail),
        FailureKind::Snooze(after) => (Cause::Snoozed, Next::Snooze { after }),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
