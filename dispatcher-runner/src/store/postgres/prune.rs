//! Pruning of finished jobs, a bounded number per call, and of what nobody uses any more.
//!
//! The job of a dispatcher's newest output is never taken.

use super::batches;
use super::errors::Failure;
use super::record::Moves;
use super::transaction::Tx;
use crate::store::{Retention, rules};

pub(super) async fn prune(
    tx: &Tx<'_>,
    retention: &Retention,
    batch: usize,
) -> Result<u64, Failure> {
    let age = rules::millis(retention.age);
    let count_max = i64::try_from(retention.count_per_dispatcher).unwrap_or(i64::MAX);
    let mut left = i64::try_from(batch).unwrap_or(i64::MAX);
    let mut removed = 0;
    let mut moves = Moves::default();
    tx.rows(sql!("fold_all"), with![]).await?;
    for row in tx.rows(sql!("prunable"), with![]).await? {
        let dispatcher: i32 = row.try_get(0)?;
        let finished: i64 = row.try_get(1)?;
        let values = with![dispatcher => INT4, age => INT8, left => INT8];
        let old: i64 = tx.row(sql!("prune_old"), values).await?.try_get(0)?;
        left -= old;
        let excess = (finished - old - count_max).clamp(0, left);
        let values = with![dispatcher => INT4, excess => INT8];
        let oldest: i64 = tx.row(sql!("prune_oldest"), values).await?.try_get(0)?;
        left -= oldest;
        if old + oldest > 0 {
            moves.pruned(dispatcher, old + oldest);
        }
        removed += old + oldest;
        if left == 0 {
            break;
        }
    }
    batches::prune(tx, retention, batch).await?;
    moves.write(tx).await?;
    Ok(removed.unsigned_abs())
}
