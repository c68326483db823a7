//! Batches: their counts, and what follows when they have finished.
//!
//! Ends are gathered while a transaction goes on and counted by one statement, in the order of keys:
//! two transactions never wait for each other's batches in a circle.

use std::collections::BTreeMap;

use dispatcher_core::JobState;

use super::errors::Failure;
use super::rows;
use super::transaction::Tx;
use crate::store::batch::end_of;
use crate::store::{BatchCounts, BatchRecord, Retention, rules};

/// Ends of jobs by the key of their batch.
#[derive(Debug, Default)]
pub(super) struct Ends {
    counts: BTreeMap<i64, Counts>,
    /// How many there were.
    number: i32,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    ended: i32,
    failed: i32,
    cancelled: i32,
    /// The number of the last one.
    last: i32,
}

impl Ends {
    /// A job of a batch has ended.
    pub(super) fn add(&mut self, batch: i64, state: JobState) {
        let (failed, cancelled) = end_of(state);
        self.number += 1;
        let counts = self.counts.entry(batch).or_default();
        counts.ended += 1;
        counts.failed += failed.cast_signed();
        counts.cancelled += cancelled.cast_signed();
        counts.last = self.number;
    }

    /// The same ends, and then others.
    pub(super) fn merge(&mut self, others: &Self) {
        for (batch, more) in &others.counts {
            let counts = self.counts.entry(*batch).or_default();
            counts.ended += more.ended;
            counts.failed += more.failed;
            counts.cancelled += more.cancelled;
            counts.last = self.number + more.last;
        }
        self.number += others.number;
    }
}

/// Counts what has ended so far; the last end of a batch stores the job that follows.
pub(super) async fn count(tx: &Tx<'_>) -> Result<(), Failure> {
    let ends = tx.take_ends().counts;
    if ends.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Counts) -> i32| -> Vec<i32> { ends.values().map(of).collect() };
    let keys: Vec<i64> = ends.keys().copied().collect();
    let values = with![
        keys => INT8_ARRAY,
        column(|it| it.ended) => INT4_ARRAY,
        column(|it| it.failed) => INT4_ARRAY,
        column(|it| it.cancelled) => INT4_ARRAY,
        column(|it| it.last) => INT4_ARRAY,
    ];
    let followed: bool = tx.row(sql!("count_ends"), values).await?.try_get(0)?;
    if followed {
        tx.wake();
    }
    Ok(())
}

pub(super) async fn batch(tx: &Tx<'_>, id: &str) -> Result<Option<BatchRecord>, Failure> {
    let Some(row) = tx.row_or_none(sql!("batch"), with![id => TEXT]).await? else {
        return Ok(None);
    };
    let on_finished: Option<&str> = row.try_get(7)?;
    Ok(Some(BatchRecord {
        id: id.to_owned(),
        counts: BatchCounts {
            total: rows::small_u32(&row, 2)?,
            pending: rows::small_u32(&row, 3)?,
            failed: rows::small_u32(&row, 4)?,
            cancelled: rows::small_u32(&row, 5)?,
        },
        created_at: row.try_get(0)?,
        finished_at: row.try_get(1)?,
        jobs: rows::job_ids(&row, 6)?,
        on_finished: on_finished.map(|_| rows::job_id(&row, 7)).transpose()?,
    }))
}

/// Removes batches that finished long ago, a bounded number of them.
pub(super) async fn prune(tx: &Tx<'_>, retention: &Retention, limit: usize) -> Result<(), Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = with![rules::millis(retention.age) => INT8, limit => INT8];
    tx.run(sql!("prune_batches"), values).await.map(drop)
}
