//! Cancellation: at once for a waiting job, a lasting request for a running one.
//!
//! Whatever a running attempt answers later, an acknowledged request wins (`record`, `rescue`).

use dispatcher_core::{Cause, JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::ledger::Spot;
use super::record::{self, Subject};
use super::{Unit, rows};
use crate::store::{CancelReply, Cancellation, SupervisorId, rules};

pub(super) fn cancel(unit: &mut Unit<'_>, job: JobId, by: &str) -> rusqlite::Result<CancelReply> {
    let found = unit
        .connection
        .prepare_cached(sql!("cancel_look"))?
        .query_one(named_params! { ":id": job.as_str() }, |row| {
            let state = rows::state(row, 1)?;
            let subject = Subject {
                key: row.get(0)?,
                dispatcher: row.get(2)?,
                queue: row.get(3)?,
                identity: row.get(4)?,
                watched: row.get(5)?,
                batch: row.get(8)?,
                called: row.get(9)?,
                spot: Spot::queued(row.get(6)?),
            };
            let supervisor: Option<i64> = row.get(7)?;
            Ok((state, subject, supervisor))
        })
        .optional()?;
    let Some((state, subject, supervisor)) = found else {
        return Ok(CancelReply::Unknown);
    };
    match state {
        JobState::Queued => {
            let outcome = rules::outcome(Cause::Cancelled { by: by.to_owned() });
            record::end_queued(unit, &subject, JobState::Cancelled, &outcome)?;
            record::release(unit, &subject)?;
            Ok(CancelReply::Cancelled)
        }
        JobState::Running => {
            unit.connection
                .prepare_cached(sql!("cancel_running"))?
                .execute(named_params! { ":key": subject.key, ":by": by })?;
            Ok(CancelReply::Stopping(SupervisorId(
                supervisor.unwrap_or_default(),
            )))
        }
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
            Ok(CancelReply::Ended(state))
        }
    }
}

/// Whether a reply tells of an end that somebody else has recorded.
pub(super) fn tells_an_end(reply: &CancelReply) -> bool {
    match reply {
        CancelReply::Ended(_) => true,
        CancelReply::Cancelled | CancelReply::Stopping(_) | CancelReply::Unknown => false,
    }
}

pub(super) fn requested(
    connection: &Connection,
    supervisor: SupervisorId,
) -> rusqlite::Result<Vec<Cancellation>> {
    connection
        .prepare_cached(sql!("cancellations"))?
        .query_map(named_params! { ":supervisor": supervisor.0 }, |row| {
            Ok(Cancellation {
                job: rows::job_id(row, 0)?,
                token: row.get::<_, i64>(1)?.unsigned_abs(),
                by: row.get(2)?,
            })
        })?
        .collect()
}
