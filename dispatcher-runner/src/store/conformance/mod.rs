//! What every store must do, as tests that run on each of them.
//!
//! A topic is a file of functions over a [`Fixture`]; `on_every_store!` makes tests of them. Time
//! is the fixture's own, so that nothing here waits.

/// Makes one test per store of each function.
macro_rules! on_every_store {
    ($($test:ident,)+) => {
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&crate::store::conformance::Fixture::memory());
            })+
        }
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(&crate::store::conformance::Fixture::sqlite());
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test]
            fn $test() {
                super::$test(&crate::store::conformance::Fixture::postgres());
            })+
        }
    };
}

mod batches;
mod callbacks;
mod cancel;
mod claim;
mod concurrency;
mod duplicates;
mod expiry;
mod interleavings;
mod leases;
mod listing;
mod message_races;
mod order;
mod prune;
mod races;
mod random;
mod receipts;
mod record;
mod register;
mod rescue;
mod room;
mod submit;
mod supervisors;
mod ticks;
mod twins;
mod waiting;

pub(super) use self::random::Numbers;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dispatcher_core::{Cause, DispatcherOptions, JobId, JobState, Options, Outcome};

use super::clock::Clock;
use super::memory::MemoryStore;
use super::sqlite::SqliteStore;
use super::*;

/// Where the tests' time begins.
pub(super) const START: UnixMs = 1_700_000_000_000;

/// One empty store, and the time it sees.
pub(super) struct Fixture {
    place: Place,
    now: Arc<AtomicI64>,
}

enum Place {
    Memory(MemoryStore),
    File(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Schema(postgres::Schema),
}

impl Fixture {
    pub(super) fn memory() -> Self {
        let now = Arc::new(AtomicI64::new(START));
        Self {
            place: Place::Memory(MemoryStore::with_clock(Arc::clone(&now))),
            now,
        }
    }

    pub(super) fn sqlite() -> Self {
        Self {
            place: Place::File(tempfile::tempdir().unwrap()),
            now: Arc::new(AtomicI64::new(START)),
        }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn postgres() -> Self {
        Self {
            place: Place::Schema(postgres::Schema::empty()),
            now: Arc::new(AtomicI64::new(START)),
        }
    }

    /// Another value that works on the same jobs, as another process would have.
    pub(super) fn store(&self) -> Box<dyn Store> {
        match &self.place {
            Place::Memory(store) => Box::new(store.clone()),
            Place::File(directory) => {
                let clock = Clock::Given(Arc::clone(&self.now));
                let path = directory.path().join("state.db");
                Box::new(SqliteStore::open_with_clock(&path, clock).unwrap())
            }
            #[cfg(feature = "postgres")]
            Place::Schema(schema) => {
                let clock = Clock::Given(Arc::clone(&self.now));
                Box::new(schema.store("here", clock))
            }
        }
    }

    pub(super) fn advance(&self, time: Duration) {
        self.now
            .fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }

    /// Somebody set the clock back.
    pub(super) fn rewind(&self, time: Duration) {
        self.now
            .fetch_sub(time.as_millis() as i64, Ordering::Relaxed);
    }

    pub(super) fn set(&self, now: UnixMs) {
        self.now.store(now, Ordering::Relaxed);
    }
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An id that no other test of this process uses.
pub(super) fn new_id() -> JobId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 10];
    // Spread over the whole space, as random ids are.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    JobId::from_bytes(bytes)
}

pub(super) fn build(modified_ns: i64) -> Build {
    Build {
        modified_ns,
        id: format!("build-{modified_ns}"),
    }
}

/// A job like no other.
pub(super) fn job(dispatcher: &str) -> NewJob {
    let id = new_id();
    NewJob {
        id,
        dispatcher: dispatcher.to_owned(),
        payload: format!("{{\"id\":\"{id}\"}}"),
        identity: id.to_string(),
        options: Options::default(),
        retry_of: None,
        origin: "test".to_owned(),
        build: build(1),
    }
}

pub(super) fn job_with(dispatcher: &str, change: impl FnOnce(&mut NewJob)) -> NewJob {
    let mut job = job(dispatcher);
    change(&mut job);
    job
}

/// A dispatcher without a limit of its queue, running as many as there are slots.
pub(super) fn row(name: &str, change: impl FnOnce(&mut DispatcherOptions)) -> DispatcherRow {
    let mut options = DispatcherOptions {
        max_queue: 0,
        concurrency: 0,
        ..DispatcherOptions::default()
    };
    change(&mut options);
    DispatcherRow {
        name: name.to_owned(),
        build: build(1),
        options,
        about: "{}".to_owned(),
    }
}

pub(super) fn register(store: &mut dyn Store, name: &str) {
    store.register(&[row(name, |_| {})]).unwrap();
}

pub(super) fn group(jobs: Vec<NewJob>) -> Submission {
    Submission {
        jobs,
        ..Submission::default()
    }
}

/// Submits one job as its own group.
pub(super) fn submit(store: &mut dyn Store, job: NewJob) -> Result<Accepted, SubmitError> {
    let answer = store.submit(&[group(vec![job])]).remove(0);
    answer.map(|submitted| submitted.jobs[0])
}

/// Submits a plain job that must be accepted.
pub(super) fn accept(store: &mut dyn Store, job: NewJob) -> JobId {
    let id = job.id;
    let accepted = submit(store, job).unwrap();
    assert_eq!(
        accepted,
        Accepted {
            id,
            duplicate: false
        }
    );
    id
}

pub(super) fn new_supervisor(program: &str) -> NewSupervisor {
    NewSupervisor {
        program: program.to_owned(),
        build: build(1),
        pid: 42,
        slots: 8,
        directory: "/run/test".into(),
        serves: vec!["A".to_owned()],
        queues: Vec::new(),
        lease: None,
    }
}

pub(super) fn open(store: &mut dyn Store) -> SupervisorId {
    store.open_supervisor(&new_supervisor("test")).unwrap()
}

pub(super) fn serves(names: &[&str]) -> Serves {
    Serves {
        dispatchers: names.iter().map(|name| (*name).to_owned()).collect(),
        queues: Vec::new(),
    }
}

pub(super) fn request(supervisor: SupervisorId, names: &[&str], slots: u32) -> ClaimRequest {
    ClaimRequest {
        supervisor,
        serves: serves(names),
        slots: (0..slots).collect(),
        worker_slots: 8,
    }
}

pub(super) fn claim(
    store: &mut dyn Store,
    supervisor: SupervisorId,
    names: &[&str],
    slots: u32,
) -> Vec<Claimed> {
    let claim = store.claim(&request(supervisor, names, slots)).unwrap();
    claim.jobs
}

/// The ids of claimed jobs, in their order.
pub(super) fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|one| one.job).collect()
}

pub(super) fn outcome(cause: Cause) -> Outcome {
    rules::outcome(cause)
}

/// A plain end of a claimed job.
pub(super) fn ending(claimed: &Claimed, next: Next) -> Record {
    let cause = match next {
        Next::Succeed => Cause::Succeeded,
        Next::Fail | Next::Retry { .. } => Cause::TimedOut,
        Next::Cancel => Cause::Cancelled {
            by: "engine".to_owned(),
        },
        Next::Snooze { .. } => Cause::Snoozed,
        Next::Release => Cause::Shutdown,
        Next::Lost { .. } => Cause::WorkerLost,
    };
    Record {
        job: claimed.job,
        token: claimed.counters.token,
        attempt: claimed.counters.attempt,
        started_at: Some(START),
        ended_at: START + 5,
        run_time: Duration::from_millis(5),
        pid: Some(4242),
        build: "build-1".to_owned(),
        outcome: outcome(cause),
        output: None,
        capture: Capture::default(),
        next,
    }
}

pub(super) fn end(store: &mut dyn Store, claimed: &Claimed, next: Next) -> Recorded {
    store.record(&[ending(claimed, next)]).unwrap()[0]
}

pub(super) fn state(store: &mut dyn Store, job: JobId) -> JobState {
    store.state(job).unwrap().unwrap()
}

pub(super) fn show(store: &mut dyn Store, job: JobId) -> JobRecord {
    store.job(job).unwrap().unwrap()
}

/// Everything there is.
pub(super) fn all() -> JobFilter {
    JobFilter {
        limit: usize::MAX,
        ..JobFilter::default()
    }
}

/// The counters of every dispatcher equal a recount of its jobs.
pub(super) fn check_counters(store: &mut dyn Store) {
    let jobs = store.jobs(&all()).unwrap();
    for dispatcher in store.dispatchers().unwrap() {
        let name = &dispatcher.row.name;
        let count = |state| {
            let same = jobs.iter().filter(|job| job.dispatcher == *name);
            same.filter(|job| job.state == state).count() as u32
        };
        assert_eq!(dispatcher.waiting, count(JobState::Queued), "{name} waits");
        assert_eq!(dispatcher.running, count(JobState::Running), "{name} runs");
    }
}
