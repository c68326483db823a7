//! The store for many machines: one schema of a PostgreSQL database that any number of hosts share.
//!
//! Every operation is one transaction at READ COMMITTED; rows are locked before they are decided
//! about, and what must be seen whole is looked at by a later statement than the one that waited.
//! Statements have no names on the server, so that a pooler may give every transaction another
//! connection. A connection that dies is replaced; what was asked is asked again where the first
//! time can be told from the second.

/// One statement of `sql/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/store/postgres/sql/",
            $name,
            ".sql"
        ))
    };
}

/// Parameters with their types, which a statement without a name needs.
macro_rules! with {
    ($($value:expr => $type:ident),* $(,)?) => {
        &[$((
            &$value as &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type::$type,
        )),*]
    };
}

mod batches;
mod callbacks;
mod cancel;
mod claim;
mod ear;
mod errors;
mod heads;
mod link;
mod messages;
mod migrate;
mod prune;
mod read;
mod record;
mod rows;
mod schedule;
mod submit;
mod supervise;
#[cfg(test)]
mod tests;
mod transaction;

#[cfg(test)]
pub(super) use self::tests::Schema;

use std::time::Duration;

use dispatcher_core::{JobId, JobState};

use self::claim::Look;
pub(crate) use self::ear::Ear;
use self::errors::Failure;
use self::link::{Durability, Link, Repeat};
pub(super) use self::migrate::{migrate, state_of_schema};
pub(crate) use self::submit::submit_in;
use self::transaction::Tx;
use super::clock::Clock;
use super::{
    BatchRecord, CancelReply, Cancellation, Capture, Claim, ClaimRequest, Claimed, DispatcherRow,
    DispatcherStatus, DueCallback, HandOver, JobFilter, JobRecord, JobSummary, KnownSchedules,
    NewSupervisor, Pause, ProgressNote, Receipt, Record, Recorded, Renewal, Rescued, Retention,
    Serves, Settled, Store, StoreError, Submission, SubmitError, Submitted, SupervisorId,
    SupervisorRow, TickRequest, Ticked, UnixMs,
};
use crate::target::Target;

/// Write transactions between two times that this store adds up counters.
const WRITES_PER_FOLD: u32 = 1_000;

/// A connection to the database, replaced when it dies.
pub(crate) struct PostgresStore {
    link: Link,
    /// This host, as far as its kernel locks reach.
    host: String,
    /// What this store remembers of lanes; only a short cut.
    look: Look,
    writes: u32,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// When the database cannot be reached, or holds something this program must not touch.
    pub(crate) fn open(target: &Target, host: String) -> Result<Self, StoreError> {
        Self::open_with_clock(target, host, Clock::System)
    }

    fn open_with_clock(target: &Target, host: String, clock: Clock) -> Result<Self, StoreError> {
        let mut link = Link::new(target.clone(), clock)?;
        migrate::bring_up_to_date(&mut link)?;
        Ok(Self {
            link,
            host,
            look: Look::default(),
            writes: 0,
        })
    }

    /// One write transaction; an error leaves nothing behind, but that of a lost connection.
    fn write<R>(
        &mut self,
        durability: Durability,
        repeat: Repeat,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let done = self.link.write(durability, repeat, work)?;
        self.writes += 1;
        if self.writes >= WRITES_PER_FOLD {
            self.writes = 0;
            self.link
                .write(Durability::Later, Repeat::Always, async |tx| {
                    tx.run(sql!("fold_all"), with![]).await.map(drop)
                })?;
        }
        Ok(done)
    }

    /// A write transaction that may be repeated, and is synced.
    fn change<R>(
        &mut self,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        self.write(Durability::Synced, Repeat::Always, work)
    }
}

impl Store for PostgresStore {
    fn submit(&mut self, groups: &[Submission]) -> Vec<Result<Submitted, SubmitError>> {
        submit::submit(self, groups)
    }

    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        claim::claim(self, request)
    }

    fn record(&mut self, records: &[Record]) -> Result<Vec<Recorded>, StoreError> {
        self.change(async |tx| record::record_all(tx, records).await)
    }

    fn record_and_claim(
        &mut self,
        records: &[Record],
        request: &ClaimRequest,
    ) -> Result<(Vec<Recorded>, Claim), StoreError> {
        claim::record_and_claim(self, records, request)
    }

    fn note_progress(&mut self, notes: &[ProgressNote]) -> Result<(), StoreError> {
        self.write(Durability::Later, Repeat::Always, async |tx| {
            record::progress(tx, notes).await
        })
    }

    fn cancel(&mut self, jobs: &[JobId], by: &str) -> Result<Vec<CancelReply>, StoreError> {
        self.change(async |tx| cancel::cancel(tx, jobs, by).await)
    }

    fn cancellations(&mut self, supervisor: SupervisorId) -> Result<Vec<Cancellation>, StoreError> {
        self.link
            .read(async |tx| cancel::requested(tx, supervisor).await)
    }

    /// Everything that can be seen was synced before it could be.
    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open_supervisor(&mut self, supervisor: &NewSupervisor) -> Result<SupervisorId, StoreError> {
        let host = self.host.clone();
        self.change(async |tx| supervise::open(tx, supervisor, &host).await)
    }

    fn renew(&mut self, supervisor: SupervisorId, lease: Duration) -> Result<Renewal, StoreError> {
        self.change(async |tx| supervise::renew(tx, supervisor, lease).await)
    }

    fn rescue_expired(&mut self) -> Result<Vec<(SupervisorId, Rescued)>, StoreError> {
        self.change(async |tx| supervise::rescue_expired(tx).await)
    }

    fn close_supervisor_if_idle(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
    ) -> Result<bool, StoreError> {
        self.change(async |tx| supervise::close_if_idle(tx, supervisor, serves).await)
    }

    fn hand_over(
        &mut self,
        supervisor: SupervisorId,
        serves: &Serves,
        to: SupervisorId,
    ) -> Result<HandOver, StoreError> {
        self.change(async |tx| supervise::hand_over(tx, supervisor, serves, to).await)
    }

    fn close_supervisor(&mut self, supervisor: SupervisorId) -> Result<(), StoreError> {
        self.change(async |tx| supervise::close(tx, supervisor).await)
    }

    fn supervisors(&mut self) -> Result<Vec<SupervisorRow>, StoreError> {
        let host = self.host.clone();
        self.link
            .read(async |tx| supervise::rows(tx, sql!("supervisors"), &host).await)
    }

    fn claims_of(&mut self, supervisor: SupervisorId) -> Result<Vec<Claimed>, StoreError> {
        self.link
            .read(async |tx| supervise::claims_of(tx, supervisor).await)
    }

    fn rescue(&mut self, dead: SupervisorId) -> Result<Rescued, StoreError> {
        self.change(async |tx| supervise::rescue(tx, dead).await)
    }

    fn register(&mut self, dispatchers: &[DispatcherRow]) -> Result<(), StoreError> {
        self.change(async |tx| submit::register(tx, dispatchers).await)
    }

    fn tick(&mut self, requests: &[TickRequest]) -> Result<Ticked, StoreError> {
        self.change(async |tx| schedule::tick(tx, requests).await)
    }

    fn schedules(&mut self) -> Result<KnownSchedules, StoreError> {
        self.link.read(async |tx| schedule::all(tx).await)
    }

    fn dispatchers(&mut self) -> Result<Vec<DispatcherStatus>, StoreError> {
        self.link.read(async |tx| read::dispatchers(tx).await)
    }

    fn unfinished(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        self.link.read(async |tx| read::unfinished(tx).await)
    }

    fn oldest_waiting(&mut self) -> Result<Option<UnixMs>, StoreError> {
        self.link.read(async |tx| read::oldest_waiting(tx).await)
    }

    fn set_paused(&mut self, dispatcher: &str, pause: Pause) -> Result<bool, StoreError> {
        self.change(async |tx| supervise::set_paused(tx, dispatcher, pause).await)
    }

    fn receipt(&mut self, sender: &str, id: &str) -> Result<Option<Receipt>, StoreError> {
        self.link
            .read(async |tx| messages::receipt(tx, sender, id).await)
    }

    fn batch(&mut self, id: &str) -> Result<Option<BatchRecord>, StoreError> {
        self.link.read(async |tx| batches::batch(tx, id).await)
    }

    fn take_callbacks(
        &mut self,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<DueCallback>, StoreError> {
        // Mostly there is nothing, and a look takes no lock.
        if !self.link.read(async |tx| callbacks::is_due(tx).await)? {
            return Ok(Vec::new());
        }
        self.write(Durability::Later, Repeat::Always, async |tx| {
            callbacks::take(tx, limit, hold).await
        })
    }

    fn settle_callback(&mut self, key: i64, settled: Settled) -> Result<(), StoreError> {
        self.write(Durability::Later, Repeat::Always, async |tx| {
            callbacks::settle(tx, key, settled).await
        })
    }

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, StoreError> {
        self.link.read(async |tx| read::state(tx, job).await)
    }

    fn job(&mut self, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.link.read_whole(async |tx| read::job(tx, job).await)
    }

    fn find(&mut self, prefix: &str, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.link
            .read(async |tx| read::find(tx, prefix, limit).await)
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        self.link
            .read_whole(async |tx| read::jobs(tx, filter).await)
    }

    fn capture(&mut self, job: JobId, attempt: u32) -> Result<Option<Capture>, StoreError> {
        self.link
            .read(async |tx| read::capture(tx, job, attempt).await)
    }

    fn latest_output(&mut self, dispatcher: &str) -> Result<Option<(JobId, String)>, StoreError> {
        self.link
            .read(async |tx| read::latest_output(tx, dispatcher).await)
    }

    fn prune(&mut self, retention: &Retention, batch: usize) -> Result<u64, StoreError> {
        self.write(Durability::Later, Repeat::Always, async |tx| {
            prune::prune(tx, retention, batch).await
        })
    }
}

/// A count that cannot be negative, as the seam spells it.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

/// Microseconds of a row.
fn micros(us: Option<i64>) -> Option<Duration> {
    us.map(|us| Duration::from_micros(us.unsigned_abs()))
}
