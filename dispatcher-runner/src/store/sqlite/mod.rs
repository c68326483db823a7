//! The embedded store: one SQLite file that any number of processes share.
//!
//! Every write is one `BEGIN IMMEDIATE` transaction, so that nothing read in it can change before
//! it commits; every wait for a lock is bounded. A commit is synced where a caller is told
//! something ([`Durability::Synced`]); all others become durable with the next such commit, or
//! with [`Store::sync`].

/// One statement of `sql/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/store/sqlite/sql/",
            $name,
            ".sql"
        ))
    };
}

mod batches;
mod busy;
mod callbacks;
mod cancel;
mod claim;
mod errors;
mod ledger;
mod open;
mod prune;
mod read;
mod receipts;
mod record;
mod rows;
mod schedule;
mod submit;
mod supervise;
mod sync;
pub(super) use open::schema;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::in_memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_core::{JobId, JobState};
use rusqlite::Connection;

use self::busy::Courtesy;
use self::ledger::Ledger;
use self::rows::OptionTexts;
use super::clock::Clock;
use super::{
    BatchRecord, CancelReply, Cancellation, Capture, Claim, ClaimRequest, Claimed, DispatcherRow,
    DispatcherStatus, DueCallback, HandOver, JobFilter, JobRecord, JobSummary, KnownSchedules,
    NewSupervisor, Pause, ProgressNote, Receipt, Record, Recorded, Rescued, Retention, Serves,
    Settled, Store, StoreError, Submission, SubmitError, Submitted, SupervisorId, SupervisorRow,
    TickRequest, Ticked, UnixMs,
};
use crate::pinned::Pinned;

/// A connection to a state file.
pub(crate) struct SqliteStore {
    connection: Connection,
    courtesy: Courtesy,
    path: PathBuf,
    /// The file that was opened; SQLite would go on with it though nobody can find it any more.
    place: Pinned,
    /// How long a lock is waited for.
    wait_max: Duration,
    /// What the connection is set to now.
    durability: Option<Durability>,
    /// Descriptors of the `-wal` file, opened by the first sync.
    wal: Option<sync::Wal>,
    texts: OptionTexts,
    clock: Clock,
    /// Keys of the jobs that this connection has claimed and not recorded yet; only a short cut.
    claimed: BTreeMap<JobId, i64>,
}

/// Whether a commit is on disk when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// `synchronous=FULL`: the caller is told something.
    Synced,
    /// `synchronous=NORMAL`: written, synced by whoever comes next.
    Later,
}

/// One write transaction.
struct Unit<'c> {
    connection: &'c Connection,
    texts: &'c mut OptionTexts,
    claimed: &'c mut BTreeMap<JobId, i64>,
    ledger: Ledger,
    /// The store's clock, read once.
    now: UnixMs,
}

impl SqliteStore {
    /// Opens the state file, and creates it (0600) and its directory (0700) if need be.
    ///
    /// # Errors
    /// When the place cannot be used, or holds something that this program must not touch.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_waiting(path, busy::WAIT_MAX)
    }

    /// As [`SqliteStore::open`], with a clock that a test winds.
    #[cfg(test)]
    pub(super) fn open_with_clock(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let mut store = Self::open(path)?;
        store.clock = clock;
        Ok(store)
    }

    fn open_waiting(path: &Path, wait_max: Duration) -> Result<Self, StoreError> {
        let courtesy = Courtesy::default();
        let connection = open::open(path, wait_max, courtesy.clone())?;
        let place = Pinned::of(path)
            .map_err(|source| StoreError::unusable(path, open::directory_of(path), source))?;
        Ok(Self {
            connection,
            place,
            courtesy,
            path: path.to_owned(),
            wait_max,
            durability: None,
            wal: None,
            texts: OptionTexts::default(),
            clock: Clock::System,
            claimed: BTreeMap::new(),
        })
    }

    /// Runs one write transaction; an error leaves nothing behind.
    fn write<R>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Unit<'_>) -> rusqlite::Result<R>,
    ) -> Result<R, StoreError> {
        self.look_at_place()?;
        let result = self.transact(durability, work);
        result.map_err(|error| errors::explain(&self.path, self.wait_max, &error))
    }

    fn transact<R>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Unit<'_>) -> rusqlite::Result<R>,
    ) -> rusqlite::Result<R> {
        self.set_durability(durability)?;
        let connection = &self.connection;
        self.courtesy.step_back();
        busy::retrying(self.wait_max, || {
            connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])
                .map(drop)
        })?;
        let mut unit = Unit {
            connection,
            texts: &mut self.texts,
            claimed: &mut self.claimed,
            ledger: Ledger::default(),
            now: self.clock.now(),
        };
        let result = work(&mut unit).and_then(|value| {
            unit.ledger.flush(connection)?;
            connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(value)
        });
        // SQLite has rolled back by itself after some errors, a full disk among them.
        if result.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        result
    }

    /// Runs a read. More than one statement needs a transaction of its own to see one state.
    fn read<R>(
        &mut self,
        work: impl Fn(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R, StoreError> {
        self.look_at_place()?;
        busy::retrying(self.wait_max, || work(&self.connection))
            .map_err(|error| errors::explain(&self.path, self.wait_max, &error))
    }

    fn look_at_place(&self) -> Result<(), StoreError> {
        if self.place.is_gone() {
            let path = self.path.clone();
            return Err(StoreError::Gone { path });
        }
        Ok(())
    }

    /// `synchronous` belongs to the connection and cannot change inside a transaction.
    fn set_durability(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.durability != Some(durability) {
            let statement = match durability {
                Durability::Synced => "PRAGMA synchronous=FULL",
                Durability::Later => "PRAGMA synchronous=NORMAL",
            };
            self.connection.prepare_cached(statement)?.execute([])?;
            self.durability = Some(durability);
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn submit(&mut self, groups: &[Submission]) -> Vec<Result<Submitted, SubmitError>> {
        submit::submit(self, groups)
    }

    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let now = self.clock.now();
        if let Some(nothing) = self.read(|connection| claim::nothing(connection, now))? {
            return Ok(nothing);
        }
        self.write(Durability::Later, |unit| claim::claim(unit, request))
    }

    fn record(&mut self, records: &[Record]) -> Result<Vec<Recorded>, StoreError> {
        self.write(Durability::Later, |unit| record::record_all(unit, records))
    }

    fn record_and_claim(
        &mut self,
        records: &[Record],
        request: &ClaimRequest,
    ) -> Result<(Vec<Recorded>, Claim), StoreError> {
        self.write(Durability::Later, |unit| {
            let recorded = record::record_all(unit, records)?;
            Ok((recorded, claim::claim(unit, request)?))
        })
    }

    fn note_progress(&mut self, notes: &[ProgressNote]) -> Result<(), StoreError> {
        self.write(Durability::Later, |unit| record::progress(unit, notes))
    }

    fn cancel(&mut self, jobs: &[JobId], by: &str) -> Result<Vec<CancelReply>, StoreError> {
        let replies: Vec<_> = self.write(Durability::Synced, |unit| {
            jobs.iter()
                .map(|job| cancel::cancel(unit, *job, by))
                .collect()
        })?;
        // A transaction that changed nothing has synced nothing, and this tells of an end.
        if replies.iter().any(cancel::tells_an_end) {
            self.sync()?;
        }
        Ok(replies)
    }

    fn cancellations(&mut self, supervisor: SupervisorId) -> Result<Vec<Cancellation>, StoreError> {
        self.read(|connection| cancel::requested(connection, supervisor))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        sync::sync(self)
    }

    fn open_supervisor(&mut self, supervisor: &NewSupervisor) -> Result<SupervisorId, StoreError> {
        self.write(Durability::Synced, |unit| supervise::open(unit, supervisor))
    }

    fn close_supervisor_if_idle(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
    ) -> Result<bool, StoreError> {
        self.write(Durability::Synced, |unit| {
            supervise::close_if_idle(unit, supervisor, serves)
        })
    }

    fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> Result<HandOver, StoreError> {
        self.write(Durability::Synced, |unit| {
            supervise::hand_over(unit, supervisor, serves, to)
        })
    }

    fn close_supervisor(&mut self, supervisor: SupervisorId) -> Result<(), StoreError> {
        self.write(Durability::Synced, |unit| {
            supervise::close(unit, supervisor)
        })
    }

    fn supervisors(&mut self) -> Result<Vec<SupervisorRow>, StoreError> {
        self.read(|connection| supervise::rows(connection, sql!("supervisors")))
    }

    fn claims_of(&mut self, supervisor: SupervisorId) -> Result<Vec<Claimed>, StoreError> {
        self.read(|connection| supervise::claims_of(connection, supervisor))
    }

    fn rescue(&mut self, dead: SupervisorId) -> Result<Rescued, StoreError> {
        self.write(Durability::Synced, |unit| supervise::rescue(unit, dead))
    }

    fn register(&mut self, dispatchers: &[DispatcherRow]) -> Result<(), StoreError> {
        self.write(Durability::Synced, |unit| {
            dispatchers
                .iter()
                .try_for_each(|row| submit::upsert(unit, row).map(drop))
        })
    }

    fn tick(&mut self, requests: &[TickRequest]) -> Result<Ticked, StoreError> {
        self.write(Durability::Synced, |unit| schedule::tick(unit, requests))
    }

    fn schedules(&mut self) -> Result<KnownSchedules, StoreError> {
        let rows = self.read(schedule::all)?;
        let now = self.clock.now();
        Ok(KnownSchedules { now, rows })
    }

    fn dispatchers(&mut self) -> Result<Vec<DispatcherStatus>, StoreError> {
        self.read(read::dispatchers)
    }

    fn unfinished(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(read::unfinished)
    }

    fn oldest_waiting(&mut self) -> Result<Option<UnixMs>, StoreError> {
        self.read(read::oldest_waiting)
    }

    fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> Result<bool, StoreError> {
        self.write(Durability::Synced, |unit| {
            supervise::set_paused(unit, dispatcher, pause)
        })
    }

    fn receipt(&mut self, sender: &str, id: &str) -> Result<Option<Receipt>, StoreError> {
        self.read(|connection| receipts::receipt(connection, sender, id))
    }

    fn batch(&mut self, id: &str) -> Result<Option<BatchRecord>, StoreError> {
        self.read(|connection| batches::batch(connection, id))
    }

    fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, StoreError> {
        let now = self.clock.now();
        // Mostly there is nothing, and a look takes no lock.
        if !self.read(|connection| callbacks::is_due(connection, now))? {
            return Ok(Vec::new());
        }
        self.write(Durability::Later, |unit| callbacks::take(unit, limit, hold))
    }

    fn settle_callback(&mut self, key: i64, settled: Settled) -> Result<(), StoreError> {
        self.write(Durability::Later, |unit| {
            callbacks::settle(unit, key, settled)
        })
    }

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, StoreError> {
        self.read(|connection| read::state(connection, job))
    }

    fn job(&mut self, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.read(|connection| read::job(connection, job))
    }

    fn find(&mut self, prefix: &str, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.read(|connection| read::find(connection, prefix, limit))
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        self.read(|connection| read::jobs(connection, filter))
    }

    fn capture(&mut self, job: JobId, attempt: u32) -> Result<Option<Capture>, StoreError> {
        self.read(|connection| read::capture(connection, job, attempt))
    }

    fn latest_output(&mut self, dispatcher: &str) -> Result<Option<(JobId, String)>, StoreError> {
        self.read(|connection| read::latest_output(connection, dispatcher))
    }

    fn prune(&mut self, retention: &Retention, batch: usize) -> Result<u64, StoreError> {
        self.write(Durability::Later, |unit| {
            prune::prune(unit, retention, batch)
        })
    }
}
