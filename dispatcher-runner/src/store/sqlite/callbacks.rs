//! Callbacks: due with the end of their job, held by whoever takes them.

use std::time::Duration;

use dispatcher_core::JobId;
use rusqlite::{Connection, named_params};

use super::{Unit, rows};
use crate::store::{Accepted, DueCallback, NewCallback, Settled, UnixMs, rules};

/// Writes the callbacks of a group whose jobs are stored, or survive.
pub(super) fn write(
    unit: &mut Unit<'_>,
    callbacks: &[NewCallback],
    jobs: &[Accepted],
) -> rusqlite::Result<()> {
    for callback in callbacks {
        let Some(job) = jobs.get(callback.job) else {
            continue;
        };
        let key = unit.ledger.next_sequence(unit.connection)?;
        unit.connection
            .prepare_cached(sql!("callback_insert"))?
            .execute(named_params! {
                ":key": key,
                ":id": job.id.as_str(),
                ":url": callback.url,
                ":sender": callback.sender,
            })?;
        unit.connection
            .prepare_cached(sql!("job_called"))?
            .execute(named_params! { ":id": job.id.as_str() })?;
    }
    Ok(())
}

/// The job has ended.
pub(super) fn due(unit: &Unit<'_>, job: i64) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(sql!("callbacks_end"))?
        .execute(named_params! { ":job": job, ":now": unit.now })
        .map(drop)
}

/// Whether there is anything to take.
pub(super) fn is_due(connection: &Connection, now: UnixMs) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(sql!("callbacks_is_due"))?
        .query_one(named_params! { ":now": now }, |row| row.get(0))
}

pub(super) fn take(
    unit: &Unit<'_>,
    limit: usize,
    hold: Duration,
) -> rusqlite::Result<Vec<DueCallback>> {
    let until = unit.now.saturating_add(rules::millis(hold));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    unit.connection
        .prepare_cached(sql!("callbacks_take"))?
        .query_map(
            named_params! { ":now": unit.now, ":until": until, ":limit": limit },
            |row| {
                let job: JobId = rows::job_id(row, 1)?;
                Ok(DueCallback {
                    key: row.get(0)?,
                    job,
                    url: row.get(2)?,
                    sender: row.get(3)?,
                    tries: row.get(4)?,
                })
            },
        )?
        .collect()
}

pub(super) fn settle(unit: &Unit<'_>, key: i64, settled: Settled) -> rusqlite::Result<()> {
    match settled {
        Settled::Done => unit
            .connection
            .prepare_cached(sql!("callback_delete"))?
            .execute(named_params! { ":key": key })
            .map(drop),
        Settled::Again(after) => unit
            .connection
            .prepare_cached(sql!("callback_again"))?
            .execute(named_params! {
                ":key": key,
                ":due_at": unit.now.saturating_add(rules::millis(after)),
            })
            .map(drop),
    }
}
