//! Batches: their counts, and what follows when they have finished.
//!
//! A batch's row is small, because it is rewritten with every end of a job; what was submitted
//! stands beside it.

use dispatcher_core::{JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::submit::Refusal;
use super::{Unit, rows, submit};
use crate::store::batch::end_of;
use crate::store::{BatchCounts, BatchRecord, NewBatch, NewJob, SubmitError};

/// Makes room for a batch; its key goes into the rows of its jobs.
pub(super) fn begin(unit: &mut Unit<'_>, batch: &NewBatch) -> Result<i64, Refusal> {
    if key(unit.connection, &batch.id)?.is_some() {
        let id = batch.id.clone();
        return Err(Refusal::Full(SubmitError::BatchExists { id }));
    }
    Ok(unit.ledger.next_sequence(unit.connection)?)
}

/// Writes a batch whose jobs are stored.
pub(super) fn write(
    unit: &mut Unit<'_>,
    key: i64,
    batch: &NewBatch,
    jobs: &[JobId],
) -> rusqlite::Result<()> {
    let counts = BatchCounts::of(jobs.len());
    unit.connection
        .prepare_cached(sql!("batch_insert"))?
        .execute(named_params! {
            ":key": key,
            ":id": batch.id,
            ":now": unit.now,
            ":total": counts.total,
        })?;
    let on_finished = batch.on_finished.as_ref();
    unit.connection
        .prepare_cached(sql!("batch_request_insert"))?
        .execute(named_params! {
            ":batch": key,
            ":jobs": rows::to_json(&jobs)?,
            ":on_finished": on_finished.map(rows::to_json).transpose()?,
        })?;
    if jobs.is_empty() {
        follow(unit, key)?;
    }
    Ok(())
}

/// Counts the end of a job of a batch; the last one stores the job that follows.
pub(super) fn count(unit: &mut Unit<'_>, key: i64, state: JobState) -> rusqlite::Result<()> {
    let (failed, cancelled) = end_of(state);
    let pending: Option<i64> = unit
        .connection
        .prepare_cached(sql!("batch_count"))?
        .query_one(
            named_params! {
                ":key": key,
                ":failed": failed,
                ":cancelled": cancelled,
                ":now": unit.now,
            },
            |row| row.get(0),
        )
        .optional()?;
    match pending {
        Some(0) => follow(unit, key),
        Some(_) | None => Ok(()),
    }
}

/// Stores the job that follows a batch.
fn follow(unit: &mut Unit<'_>, key: i64) -> rusqlite::Result<()> {
    let job: Option<NewJob> = unit
        .connection
        .prepare_cached(sql!("batch_request"))?
        .query_one(named_params! { ":batch": key }, |row| {
            rows::json_or_none(row, 1)
        })?;
    match job {
        Some(job) => submit::whatever_the_queue(unit, &job),
        None => Ok(()),
    }
}

fn key(connection: &Connection, id: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(sql!("batch"))?
        .query_one(named_params! { ":id": id }, |row| row.get(0))
        .optional()
}

pub(super) fn batch(connection: &Connection, id: &str) -> rusqlite::Result<Option<BatchRecord>> {
    // Ends with the guard; it has nothing to commit.
    let _snapshot = connection.unchecked_transaction()?;
    let found = connection
        .prepare_cached(sql!("batch"))?
        .query_one(named_params! { ":id": id }, |row| {
            let counts = BatchCounts {
                total: row.get(3)?,
                pending: row.get(4)?,
                failed: row.get(5)?,
                cancelled: row.get(6)?,
            };
            let key: i64 = row.get(0)?;
            Ok((key, row.get(1)?, row.get(2)?, counts))
        })
        .optional()?;
    let Some((key, created_at, finished_at, counts)) = found else {
        return Ok(None);
    };
    let (jobs, on_finished): (Vec<JobId>, Option<NewJob>) = connection
        .prepare_cached(sql!("batch_request"))?
        .query_one(named_params! { ":batch": key }, |row| {
            Ok((rows::json(row, 0)?, rows::json_or_none(row, 1)?))
        })?;
    Ok(Some(BatchRecord {
        id: id.to_owned(),
        counts,
        created_at,
        finished_at,
        jobs,
        on_finished: on_finished.map(|job| job.id),
    }))
}

/// Removes batches that finished before this instant, a bounded number of them.
pub(super) fn prune(unit: &Unit<'_>, before: i64, limit: i64) -> rusqlite::Result<()> {
    let keys: Vec<i64> = unit
        .connection
        .prepare_cached(sql!("batches_old"))?
        .query_map(
            named_params! { ":before": before, ":limit": limit },
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    for key in keys {
        for statement in [sql!("prune_batch_request"), sql!("prune_batch")] {
            unit.connection
                .prepare_cached(statement)?
                .execute(named_params! { ":key": key })?;
        }
    }
    Ok(())
}
