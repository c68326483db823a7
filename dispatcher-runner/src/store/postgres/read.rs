//! Listings and look-ups.
//!
//! Nothing here writes, and each call sees one state: a statement does by itself, and what takes two
//! of them runs on one snapshot.

use std::time::Duration;

use dispatcher_core::{Counters, JobId, JobState};
use futures_util::future::try_join;
use tokio_postgres::Row;

use super::errors::Failure;
use super::transaction::Tx;
use super::{count, micros, rows};
use crate::store::{
    AttemptRecord, Capture, DispatcherRow, DispatcherStatus, JobFilter, JobRecord, JobSummary,
    Stream, SupervisorId, UnixMs, rules,
};

/// Rows of a listing that are read at once.
const PAGE: usize = 500;

pub(super) async fn dispatchers(tx: &Tx<'_>) -> Result<Vec<DispatcherStatus>, Failure> {
    let found = tx.rows(sql!("dispatchers"), with![]).await?;
    let read = |row: &Row| {
        Ok(DispatcherStatus {
            row: DispatcherRow {
                name: row.try_get(0)?,
                build: rows::build(row, 1)?,
                options: rows::json(row, 3)?,
                about: row.try_get(4)?,
            },
            paused: row.try_get(5)?,
            waiting: count(row.try_get(6)?),
            running: count(row.try_get(7)?),
            mean_run: micros(row.try_get(8)?),
        })
    };
    found.iter().map(read).collect()
}

pub(super) async fn state(tx: &Tx<'_>, job: JobId) -> Result<Option<JobState>, Failure> {
    let found = tx
        .row_or_none(sql!("state"), with![job.as_str() => TEXT])
        .await?;
    found.map(|row| rows::state(&row, 0)).transpose()
}

pub(super) async fn find(tx: &Tx<'_>, prefix: &str, limit: usize) -> Result<Vec<JobId>, Failure> {
    // '{' follows 'z', the last character of an id's alphabet.
    let high = format!("{prefix}{{");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = with![prefix => TEXT, high => TEXT, limit => INT8];
    let found = tx.rows(sql!("find"), values).await?;
    found.iter().map(|row| rows::job_id(row, 0)).collect()
}

pub(super) async fn jobs(tx: &Tx<'_>, filter: &JobFilter) -> Result<Vec<JobSummary>, Failure> {
    let mut jobs = Vec::new();
    let mut before = i64::MAX;
    let page = match &filter.search {
        Some(_) => PAGE,
        None => filter.limit.min(PAGE),
    };
    let limit = i64::try_from(page).unwrap_or(i64::MAX);
    while jobs.len() < filter.limit {
        let values = with![
            filter.state.map(rows::state_number) => INT2,
            filter.dispatcher => TEXT,
            filter.queue => TEXT,
            before => INT8,
            limit => INT8,
        ];
        let found = tx.rows(sql!("jobs"), values).await?;
        for row in &found {
            before = row.try_get(17)?;
            let payload: &str = row.try_get(8)?;
            let matches = match &filter.search {
                Some((path, wanted)) => rules::payload_matches(payload, path, wanted),
                None => true,
            };
            if matches && jobs.len() < filter.limit {
                jobs.push(summary(row)?);
            }
        }
        if found.len() < page {
            break;
        }
    }
    Ok(jobs)
}

fn summary(row: &Row) -> Result<JobSummary, Failure> {
    let fraction: Option<f64> = row.try_get(14)?;
    let text: Option<String> = row.try_get(15)?;
    let rank: i32 = row.try_get(3)?;
    let held = row.try_get::<_, i16>(11)? == 2;
    let run_at = row.try_get(10)?;
    Ok(JobSummary {
        id: rows::job_id(row, 0)?,
        dispatcher: row.try_get(1)?,
        queue: row.try_get(2)?,
        priority: if rank == i32::MAX { i32::MIN } else { -rank },
        state: rows::state(row, 4)?,
        counters: Counters {
            attempt: rows::small_u32(row, 5)?,
            failures: rows::small_u32(row, 6)?,
            token: rows::unsigned(row.try_get(7)?),
        },
        payload: row.try_get(8)?,
        submitted_at: row.try_get(9)?,
        run_at: (!held).then_some(run_at),
        started_at: row.try_get(12)?,
        ended_at: row.try_get(13)?,
        outcome: rows::json_or_none(row, 16)?,
        origin: row.try_get(18)?,
        progress: fraction.map(|fraction| (fraction, text.unwrap_or_default())),
    })
}

pub(super) async fn job(tx: &Tx<'_>, job: JobId) -> Result<Option<JobRecord>, Failure> {
    let (found, attempts) = try_join(
        tx.row_or_none(sql!("job"), with![job.as_str() => TEXT]),
        tx.rows(sql!("attempts"), with![job.as_str() => TEXT]),
    )
    .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let retry_of: Option<&str> = row.try_get(23)?;
    let supervisor: Option<i64> = row.try_get(27)?;
    let slot: Option<i32> = row.try_get(28)?;
    Ok(Some(JobRecord {
        summary: summary(&row)?,
        options: rows::json(&row, 19)?,
        identity: row.try_get(20)?,
        build: rows::build(&row, 21)?,
        retry_of: retry_of.map(|_| rows::job_id(&row, 23)).transpose()?,
        snoozes: rows::small_u32(&row, 24)?,
        lost: rows::small_u32(&row, 25)?,
        cancel_requested_by: row.try_get(26)?,
        supervisor: supervisor
            .map(SupervisorId)
            .zip(slot.map(i32::unsigned_abs)),
        output: row.try_get(29)?,
        batch: row.try_get(30)?,
        attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
    }))
}

fn attempt(row: &Row) -> Result<AttemptRecord, Failure> {
    let dropped: Option<i64> = row.try_get(7)?;
    let stderr = Stream {
        dropped: rows::unsigned(dropped.unwrap_or(0)),
        head: row.try_get::<_, Option<_>>(8)?.unwrap_or_default(),
        tail: row.try_get::<_, Option<_>>(9)?.unwrap_or_default(),
    };
    let pid: Option<i64> = row.try_get(4)?;
    Ok(AttemptRecord {
        attempt: rows::small_u32(row, 0)?,
        started_at: row.try_get(1)?,
        ended_at: row.try_get(2)?,
        run_time: Duration::from_micros(rows::unsigned(row.try_get(3)?)),
        pid: pid.map(count),
        build: row.try_get(5)?,
        outcome: rows::json(row, 6)?,
        stderr_end: rules::end_of(&stderr),
    })
}

pub(super) async fn capture(
    tx: &Tx<'_>,
    job: JobId,
    attempt: u32,
) -> Result<Option<Capture>, Failure> {
    let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
    let values = with![job.as_str() => TEXT, attempt => INT4];
    let found = tx.row_or_none(sql!("capture"), values).await?;
    let stream = |row: &Row, dropped: usize, head: usize| -> Result<Stream, Failure> {
        let bytes: Option<i64> = row.try_get(dropped)?;
        Ok(Stream {
            head: row.try_get::<_, Option<_>>(head)?.unwrap_or_default(),
            tail: row.try_get::<_, Option<_>>(head + 1)?.unwrap_or_default(),
            dropped: rows::unsigned(bytes.unwrap_or(0)),
        })
    };
    let read = |row: Row| {
        Ok(Capture {
            stdout: stream(&row, 0, 2)?,
            stderr: stream(&row, 1, 4)?,
        })
    };
    found.map(read).transpose()
}

pub(super) async fn latest_output(
    tx: &Tx<'_>,
    dispatcher: &str,
) -> Result<Option<(JobId, String)>, Failure> {
    let found = tx
        .row_or_none(sql!("latest_output"), with![dispatcher => TEXT])
        .await?;
    let read = |row: Row| Ok((rows::job_id(&row, 0)?, row.try_get(1)?));
    found.map(read).transpose()
}

/// Names and queue labels with unfinished jobs.
pub(super) async fn unfinished(tx: &Tx<'_>) -> Result<Vec<(String, String)>, Failure> {
    let found = tx.rows(sql!("unfinished"), with![]).await?;
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    found.iter().map(read).collect()
}

pub(super) async fn oldest_waiting(tx: &Tx<'_>) -> Result<Option<UnixMs>, Failure> {
    let found = tx.row_or_none(sql!("oldest_waiting"), with![]).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}
