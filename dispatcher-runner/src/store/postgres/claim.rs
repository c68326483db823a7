//! Claims: expired jobs end, due ones become ready, then ready ones are taken in order.
//!
//! The row of the claiming supervisor is share-locked first, so that a rescuer comes before or after
//! the claim as a whole. Rows of dispatchers with a limit of concurrency are locked before what runs
//! is counted by a later statement; whoever is counting there already is left alone at first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dispatcher_core::{Cause, Counters, JobState};
use tokio_postgres::Row;

use super::errors::Failure;
use super::heads::{Heads, Locked};
use super::link::{Durability, Repeat};
use super::record::{self, Moves, Subject};
use super::transaction::Tx;
use super::{PostgresStore, batches, rows};
use crate::store::rules::{self, DUE_PER_CLAIM_MAX};
use crate::store::{Claim, ClaimRequest, Claimed, Record, Recorded, StoreError};

/// Jobs taken from a lane before it is worth to remember where its ready ones begin.
const TAKEN_MIN: u64 = 1_000;
/// A lane is looked at from its beginning at least this often, or when that has cost a twentieth of
/// the time since.
const WHOLE_EVERY: Duration = Duration::from_secs(1);
const WHOLE_SHARE: u32 = 20;

/// Where the ready jobs of lanes begin, as far as this store knows. Entries of claimed rows stay in
/// an index for as long as somebody's old snapshot could see them, and reading over them would cost
/// every claim more and more.
#[derive(Debug, Default)]
pub(super) struct Look {
    lanes: BTreeMap<i32, LowWater>,
    /// Lanes that had something at the last claim: how many heads to ask for at once.
    pub(super) open: usize,
    whole_at: Option<Instant>,
    whole_cost: Duration,
}

#[derive(Debug, Default, Clone, Copy)]
struct LowWater {
    seq: i64,
    taken: u64,
}

impl Look {
    /// The lanes to be read from somewhere else than their beginning.
    fn low_water(&self) -> (Vec<i32>, Vec<i64>) {
        let since = self.whole_at.map(|at| at.elapsed());
        let pause = WHOLE_EVERY.max(self.whole_cost * WHOLE_SHARE);
        if since.is_none_or(|since| since >= pause) {
            return (Vec::new(), Vec::new());
        }
        let known = self.lanes.iter().filter(|(_, it)| it.taken >= TAKEN_MIN);
        known.map(|(lane, it)| (*lane, it.seq)).unzip()
    }

    fn looked(&mut self, was_whole: bool, cost: Duration) {
        if was_whole {
            self.whole_at = Some(Instant::now());
            self.whole_cost = cost;
        }
    }

    /// A ready job of a lane was taken, after which its next ones come.
    fn took(&mut self, lane: i32, seq: i64) {
        let known = self.lanes.entry(lane).or_default();
        known.taken += 1;
        known.seq = known.seq.max(seq);
    }

    /// Something of these may be ready again at an earlier place.
    pub(super) fn forget(&mut self) {
        self.whole_at = None;
    }
}

pub(super) fn claim(
    store: &mut PostgresStore,
    request: &ClaimRequest,
) -> Result<Claim, StoreError> {
    let names = &request.serves.dispatchers;
    let queues = &request.serves.queues;
    // Supervisors that are woken in vain lock and write nothing.
    let nothing = store.link.read(async |tx| {
        let values = with![names => TEXT_ARRAY, queues => TEXT_ARRAY];
        let row = tx.row(sql!("anything_ready"), values).await?;
        let next_due = until(row.try_get(1)?);
        let is_nothing = !row.try_get::<_, bool>(0)? && next_due != Some(Duration::ZERO);
        Ok(is_nothing.then_some(next_due))
    })?;
    if let Some(next_due) = nothing {
        let jobs = Vec::new();
        return Ok(Claim { jobs, next_due });
    }
    record_and_claim(store, &[], request).map(|(_, claim)| claim)
}

pub(super) fn record_and_claim(
    store: &mut PostgresStore,
    records: &[Record],
    request: &ClaimRequest,
) -> Result<(Vec<Recorded>, Claim), StoreError> {
    let mut look = std::mem::take(&mut store.look);
    let done = store.write(Durability::Synced, Repeat::NotInDoubt, async |tx| {
        let recorded = record::record_all(tx, records).await?;
        if records.iter().any(keeps_place) {
            look.forget();
        }
        Ok((recorded, within(tx, request, &mut look).await?))
    });
    if done.is_err() {
        look.forget();
    }
    store.look = look;
    done
}

fn keeps_place(record: &Record) -> bool {
    match record.next {
        crate::store::Next::Release | crate::store::Next::Lost { .. } => true,
        crate::store::Next::Succeed
        | crate::store::Next::Fail
        | crate::store::Next::Cancel
        | crate::store::Next::Retry { .. }
        | crate::store::Next::Snooze { .. } => false,
    }
}

async fn within(tx: &Tx<'_>, request: &ClaimRequest, look: &mut Look) -> Result<Claim, Failure> {
    if settle(tx).await? {
        look.forget();
    }
    // After everything that may wait for somebody's job, and before what follows may be claimed.
    batches::count(tx).await?;
    let mut claim = Claim::default();
    if !request.slots.is_empty() {
        claim.jobs = take_ready(tx, request, look, Locked::OrSkipped).await?;
    }
    let row = tx.row(sql!("next_due"), with![]).await?;
    claim.next_due = until(row.try_get(0)?);
    Ok(claim)
}

/// Ends expired jobs, promotes due ones, releases duplicates that were left; `true` if there was
/// anything.
async fn settle(tx: &Tx<'_>) -> Result<bool, Failure> {
    let row = tx.row(sql!("anything_due"), with![]).await?;
    let (expired, due, unsettled): (bool, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let limit = i64::try_from(DUE_PER_CLAIM_MAX).unwrap_or(i64::MAX);
    if expired {
        let found = tx.rows(sql!("expired"), with![limit => INT8]).await?;
        let mut moves = Moves::default();
        let outcome = rules::outcome(Cause::Expired);
        for row in &found {
            let job = Subject {
                key: row.try_get(0)?,
                dispatcher: row.try_get(1)?,
                identity: row.try_get(2)?,
                batch: row.try_get(3)?,
                called: row.try_get(4)?,
            };
            moves.end_queued(&job, JobState::Failed, &outcome)?;
        }
        moves.write(tx).await?;
    }
    if due {
        tx.run(sql!("promote_due"), with![limit => INT8]).await?;
    }
    if unsettled {
        tx.rows(sql!("settle"), with![]).await?;
    }
    Ok(expired || due || unsettled)
}

async fn take_ready(
    tx: &Tx<'_>,
    request: &ClaimRequest,
    look: &mut Look,
    locked: Locked,
) -> Result<Vec<Claimed>, Failure> {
    let began = Instant::now();
    let low = look.low_water();
    let was_whole = low.0.is_empty();
    let mut heads = Heads::read(tx, request, low, locked, look.open).await?;
    look.looked(was_whole, began.elapsed());
    let mut picked = heads.pick(tx, request).await?;
    if picked.len() < request.slots.len() && !was_whole {
        // Perhaps the rest stands before where this store began to read.
        let began = Instant::now();
        heads = Heads::read(tx, request, (Vec::new(), Vec::new()), locked, look.open).await?;
        look.looked(true, began.elapsed());
        picked = heads.pick(tx, request).await?;
    }
    if picked.len() < request.slots.len() && heads.skipped() {
        // Whoever is counting there is done in a moment, and may have left something.
        heads = Heads::read(
            tx,
            request,
            (Vec::new(), Vec::new()),
            Locked::AfterOthers,
            look.open,
        )
        .await?;
        picked = heads.pick(tx, request).await?;
    }
    look.open = heads.open_lanes();
    for (lane, seq) in heads.places(&picked) {
        look.took(lane, seq);
    }
    take(tx, request, &picked).await
}

async fn take(tx: &Tx<'_>, request: &ClaimRequest, keys: &[i64]) -> Result<Vec<Claimed>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let slots = request.slots.iter().take(keys.len());
    let slots: Vec<i32> = slots
        .map(|slot| i32::try_from(*slot).unwrap_or(i32::MAX))
        .collect();
    let values = with![
        request.supervisor.0 => INT8,
        keys => INT8_ARRAY,
        slots => INT4_ARRAY,
    ];
    let found = tx.rows(sql!("claim"), values).await?;
    let mut jobs = Vec::with_capacity(found.len());
    let mut started: BTreeMap<i32, i64> = BTreeMap::new();
    for row in &found {
        *started.entry(row.try_get(10)?).or_default() += 1;
        jobs.push(claimed(row)?);
    }
    let mut moves = Moves::default();
    for (dispatcher, jobs) in started {
        moves.started(dispatcher, jobs);
    }
    moves.write(tx).await?;
    Ok(jobs)
}

/// What a claim says of a job.
pub(super) fn claimed(row: &Row) -> Result<Claimed, Failure> {
    let waited: i64 = row.try_get(9)?;
    Ok(Claimed {
        job: rows::job_id(row, 0)?,
        slot: rows::small_u32(row, 1)?,
        dispatcher: row.try_get(2)?,
        payload: row.try_get(3)?,
        options: rows::json(row, 4)?,
        counters: Counters {
            attempt: rows::small_u32(row, 5)?,
            failures: rows::small_u32(row, 6)?,
            token: rows::unsigned(row.try_get(7)?),
        },
        snoozes: rows::small_u32(row, 8)?,
        waited: Duration::from_millis(rows::unsigned(waited.max(0))),
    })
}

/// Time until something is due, from milliseconds that may be past.
fn until(millis: Option<i64>) -> Option<Duration> {
    millis.map(|millis| Duration::from_millis(rows::unsigned(millis.max(0))))
}
