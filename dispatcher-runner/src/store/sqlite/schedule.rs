//! Ticks of schedules: the record of a dispatcher, and the jobs of its ticks, in one transaction.
//!
//! The table grows with the number of dispatchers, never with that of ticks.

use dispatcher_core::{JobId, JobState, ScheduleRecord, TickFate};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::submit::{self, Refusal, Registered};
use super::{Unit, read, rows};
use crate::store::NewJob;
use crate::store::schedule::{self, ScheduleRow, Submits, TickRequest, Ticked};

pub(super) fn tick(unit: &mut Unit<'_>, requests: &[TickRequest]) -> rusqlite::Result<Ticked> {
    let mut decided = Vec::with_capacity(requests.len());
    for request in requests {
        let dispatcher = submit::upsert(unit, &request.dispatcher)?;
        let record = record(unit.connection, &dispatcher)?;
        let now = unit.now;
        let mut submitter = Submitter {
            unit: &mut *unit,
            dispatcher: &dispatcher,
        };
        let Some((record, ticks)) = schedule::decide(request, &record, now, &mut submitter)? else {
            decided.push(Vec::new());
            continue;
        };
        unit.connection
            .prepare_cached(sql!("schedule_write"))?
            .execute(named_params! {
                ":dispatcher": dispatcher.id,
                ":record": rows::to_json(&record)?,
            })?;
        decided.push(ticks);
    }
    Ok(decided)
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<ScheduleRow>> {
    connection
        .prepare_cached(sql!("schedules"))?
        .query_map([], |row| {
            Ok(ScheduleRow {
                dispatcher: row.get(0)?,
                record: rows::json(row, 1)?,
            })
        })?
        .collect()
}

fn record(connection: &Connection, dispatcher: &Registered) -> rusqlite::Result<ScheduleRecord> {
    let stored = connection
        .prepare_cached(sql!("schedule"))?
        .query_one(named_params! { ":dispatcher": dispatcher.id }, |row| {
            rows::json(row, 0)
        })
        .optional()?;
    Ok(stored.unwrap_or_default())
}

/// The transaction, for the jobs of one dispatcher.
struct Submitter<'u, 'c> {
    unit: &'u mut Unit<'c>,
    dispatcher: &'u Registered,
}

impl Submits for Submitter<'_, '_> {
    type Error = rusqlite::Error;

    fn state(&mut self, job: JobId) -> rusqlite::Result<Option<JobState>> {
        read::state(self.unit.connection, job)
    }

    fn submit(&mut self, job: &NewJob) -> rusqlite::Result<(TickFate, Option<JobId>)> {
        // What is refused is refused before anything is written.
        match submit::one(self.unit, job, self.dispatcher, None) {
            Ok(accepted) if accepted.duplicate => Ok((TickFate::Duplicate, Some(accepted.id))),
            Ok(accepted) => Ok((TickFate::Submitted, Some(accepted.id))),
            Err(Refusal::Full(_)) => Ok((TickFate::QueueFull, None)),
            Err(Refusal::Failed(error)) => Err(error),
        }
    }
}
