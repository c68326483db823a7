//! Listings and look-ups.
//!
//! Nothing here writes, and each call sees one state of the file: a statement does by itself,
//! and what takes two of them runs in a transaction.

use std::time::Duration;

use dispatcher_core::{Counters, JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{rows, supervise};
use crate::store::{
    AttemptRecord, Capture, DispatcherRow, DispatcherStatus, JobFilter, JobRecord, JobSummary,
    Stream, SupervisorId, UnixMs, rules,
};

pub(super) fn dispatchers(connection: &Connection) -> rusqlite::Result<Vec<DispatcherStatus>> {
    connection
        .prepare_cached(sql!("dispatchers"))?
        .query_map([], |row| {
            Ok(DispatcherStatus {
                row: DispatcherRow {
                    name: row.get(0)?,
                    build: rows::build(row, 1)?,
                    options: rows::json(row, 3)?,
                    about: row.get(4)?,
                },
                paused: row.get(5)?,
                waiting: rows::count(row.get(6)?),
                running: rows::count(row.get(7)?),
                mean_run: supervise::mean_run(row.get(8)?),
            })
        })?
        .collect()
}

pub(super) fn state(connection: &Connection, job: JobId) -> rusqlite::Result<Option<JobState>> {
    connection
        .prepare_cached(sql!("state"))?
        .query_one(named_params! { ":id": job.as_str() }, |row| {
            rows::state(row, 0)
        })
        .optional()
}

pub(super) fn find(
    connection: &Connection,
    prefix: &str,
    limit: usize,
) -> rusqlite::Result<Vec<JobId>> {
    // '{' follows 'z', the last character of an id's alphabet.
    connection
        .prepare_cached(sql!("find"))?
        .query_map(
            named_params! {
                ":low": prefix,
                ":high": format!("{prefix}{{"),
                ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
            },
            |row| rows::job_id(row, 0),
        )?
        .collect()
}

pub(super) fn jobs(
    connection: &Connection,
    filter: &JobFilter,
) -> rusqlite::Result<Vec<JobSummary>> {
    let mut statement = connection.prepare_cached(sql!("jobs"))?;
    let mut found = statement.query(named_params! {
        ":state": filter.state.map(rows::state_number),
        ":dispatcher": filter.dispatcher,
        ":queue": filter.queue,
    })?;
    let mut jobs = Vec::new();
    while jobs.len() < filter.limit {
        let Some(row) = found.next()? else {
            break;
        };
        let matches = match &filter.search {
            Some((path, wanted)) => rules::payload_matches(row.get_ref(8)?.as_str()?, path, wanted),
            None => true,
        };
        if matches {
            jobs.push(summary(row)?);
        }
    }
    Ok(jobs)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<JobSummary> {
    let fraction: Option<f64> = row.get(14)?;
    let text: Option<String> = row.get(15)?;
    let rank: i64 = row.get(3)?;
    let held = row.get::<_, i64>(11)? == 2;
    let run_at = row.get(10)?;
    Ok(JobSummary {
        id: rows::job_id(row, 0)?,
        dispatcher: row.get(1)?,
        queue: row.get(2)?,
        priority: i32::try_from(-rank)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(3, rank))?,
        state: rows::state(row, 4)?,
        counters: Counters {
            attempt: row.get(5)?,
            failures: row.get(6)?,
            token: row.get::<_, i64>(7)?.unsigned_abs(),
        },
        payload: row.get(8)?,
        submitted_at: row.get(9)?,
        run_at: (!held).then_some(run_at),
        started_at: row.get(12)?,
        ended_at: row.get(13)?,
        outcome: rows::json_or_none(row, 16)?,
        origin: row.get(17)?,
        progress: fraction.map(|fraction| (fraction, text.unwrap_or_default())),
    })
}

pub(super) fn job(connection: &Connection, job: JobId) -> rusqlite::Result<Option<JobRecord>> {
    // Ends with the guard; it has nothing to commit.
    let _snapshot = connection.unchecked_transaction()?;
    let found = connection
        .prepare_cached(sql!("job"))?
        .query_one(named_params! { ":id": job.as_str() }, |row| {
            let retry_of: Option<String> = row.get(22)?;
            let supervisor: Option<i64> = row.get(26)?;
            let slot: Option<u32> = row.get(27)?;
            let record = JobRecord {
                summary: summary(row)?,
                options: rows::json(row, 18)?,
                identity: row.get(19)?,
                build: rows::build(row, 20)?,
                retry_of: retry_of.map(|_| rows::job_id(row, 22)).transpose()?,
                snoozes: row.get(23)?,
                lost: row.get(24)?,
                cancel_requested_by: row.get(25)?,
                supervisor: supervisor.map(SupervisorId).zip(slot),
                output: row.get(28)?,
                batch: row.get(30)?,
                attempts: Vec::new(),
            };
            Ok((row.get::<_, i64>(29)?, record))
        })
        .optional()?;
    let Some((key, mut record)) = found else {
        return Ok(None);
    };
    record.attempts = attempts(connection, key)?;
    Ok(Some(record))
}

fn attempts(connection: &Connection, job: i64) -> rusqlite::Result<Vec<AttemptRecord>> {
    connection
        .prepare_cached(sql!("attempts"))?
        .query_map(named_params! { ":job": job }, |row| {
            let stderr = Stream {
                dropped: row.get::<_, Option<i64>>(7)?.unwrap_or(0).unsigned_abs(),
                head: row.get::<_, Option<_>>(8)?.unwrap_or_default(),
                tail: row.get::<_, Option<_>>(9)?.unwrap_or_default(),
            };
            Ok(AttemptRecord {
                attempt: row.get(0)?,
                started_at: row.get(1)?,
                ended_at: row.get(2)?,
                run_time: Duration::from_micros(row.get::<_, i64>(3)?.unsigned_abs()),
                pid: row.get(4)?,
                build: row.get(5)?,
                outcome: rows::json(row, 6)?,
                stderr_end: rules::end_of(&stderr),
            })
        })?
        .collect()
}

pub(super) fn capture(
    connection: &Connection,
    job: JobId,
    attempt: u32,
) -> rusqlite::Result<Option<Capture>> {
    connection
        .prepare_cached(sql!("capture"))?
        .query_one(
            named_params! { ":id": job.as_str(), ":attempt": attempt },
            |row| {
                let stream = |dropped: usize, head: usize| -> rusqlite::Result<Stream> {
                    Ok(Stream {
                        head: row.get::<_, Option<_>>(head)?.unwrap_or_default(),
                        tail: row.get::<_, Option<_>>(head + 1)?.unwrap_or_default(),
                        dropped: row
                            .get::<_, Option<i64>>(dropped)?
                            .unwrap_or(0)
                            .unsigned_abs(),
                    })
                };
                Ok(Capture {
                    stdout: stream(0, 2)?,
                    stderr: stream(1, 4)?,
                })
            },
        )
        .optional()
}

pub(super) fn latest_output(
    connection: &Connection,
    dispatcher: &str,
) -> rusqlite::Result<Option<(JobId, String)>> {
    connection
        .prepare_cached(sql!("latest_output"))?
        .query_one(named_params! { ":name": dispatcher }, |row| {
            Ok((rows::job_id(row, 0)?, row.get(1)?))
        })
        .optional()
}

/// Names and queue labels with unfinished jobs.
pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare_cached(sql!("lanes_unfinished"))?
        .query_map([], |lane| Ok((lane.get(0)?, lane.get(1)?)))?
        .collect()
}

pub(super) fn oldest_waiting(connection: &Connection) -> rusqlite::Result<Option<UnixMs>> {
    connection
        .prepare_cached(sql!("oldest_waiting"))?
        .query_one([], |row| row.get(0))
        .optional()
}
