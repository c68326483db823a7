//! Callbacks: due with the end of their job, held by whoever takes them.

use std::time::Duration;

use tokio_postgres::Row;

use super::errors::Failure;
use super::rows;
use super::transaction::Tx;
use crate::store::{DueCallback, Settled, rules};

/// Those of jobs that have ended are due; the caller has locked the rows of the jobs.
pub(super) async fn due(tx: &Tx<'_>, jobs: &[i64]) -> Result<(), Failure> {
    let values = with![jobs => INT8_ARRAY];
    tx.run(sql!("callbacks_end"), values).await.map(drop)
}

/// Whether there is anything to take.
pub(super) async fn is_due(tx: &Tx<'_>) -> Result<bool, Failure> {
    let row = tx.row(sql!("callbacks_is_due"), with![]).await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn take(
    tx: &Tx<'_>,
    limit: usize,
    hold: Duration,
) -> Result<Vec<DueCallback>, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = with![limit => INT8, rules::millis(hold) => INT8];
    let taken = tx.rows(sql!("callbacks_take"), values).await?;
    let read = |row: &Row| {
        Ok(DueCallback {
            key: row.try_get(0)?,
            job: rows::job_id(row, 1)?,
            url: row.try_get(2)?,
            sender: row.try_get(3)?,
            tries: rows::small_u32(row, 4)?,
        })
    };
    taken.iter().map(read).collect()
}

pub(super) async fn settle(tx: &Tx<'_>, key: i64, settled: Settled) -> Result<(), Failure> {
    match settled {
        Settled::Done => tx.run(sql!("callback_delete"), with![key => INT8]).await,
        Settled::Again(after) => {
            let values = with![key => INT8, rules::millis(after) => INT8];
            tx.run(sql!("callback_again"), values).await
        }
    }
    .map(drop)
}
