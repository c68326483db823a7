//! Ends of attempts, and ends of jobs that never started one.
//!
//! A record is written only while its token is valid; the end of a job and what it sets off (its
//! counters, a held duplicate, its output) are one step.

use dispatcher_core::{JobState, Outcome, Transition};
use rusqlite::{OptionalExtension as _, Row, named_params};

use super::ledger::Spot;
use super::{Unit, batches, callbacks, rows};
use crate::store::rules::{self, Again, Place, Step};
use crate::store::{Capture, ProgressNote, Record, Recorded};

/// A job about to move.
pub(super) struct Subject {
    pub(super) key: i64,
    pub(super) dispatcher: i64,
    pub(super) queue: String,
    pub(super) identity: String,
    /// Whether duplicates of it may be held.
    pub(super) watched: bool,
    /// The batch that it belongs to.
    pub(super) batch: Option<i64>,
    /// Somebody is told of its end.
    pub(super) called: bool,
    /// Where it is now.
    pub(super) spot: Spot,
}

/// An attempt about to be written.
pub(super) struct Attempt<'a> {
    pub(super) attempt: u32,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: i64,
    pub(super) run_us: i64,
    pub(super) pid: Option<u32>,
    pub(super) build: &'a str,
    pub(super) outcome: &'a Outcome,
}

/// Records all, in their order.
pub(super) fn record_all(
    unit: &mut Unit<'_>,
    records: &[Record],
) -> rusqlite::Result<Vec<Recorded>> {
    records.iter().map(|one| record(unit, one)).collect()
}

fn record(unit: &mut Unit<'_>, record: &Record) -> rusqlite::Result<Recorded> {
    let found = fenced(unit, record)?;
    let Some((job, cancel_by, lost)) = found else {
        return Ok(Recorded::Fenced);
    };
    write_attempt(
        unit,
        job.key,
        &Attempt {
            attempt: record.attempt,
            started_at: record.started_at,
            ended_at: record.ended_at,
            run_us: rules::micros(record.run_time),
            pid: record.pid,
            build: &record.build,
            outcome: &record.outcome,
        },
    )?;
    write_capture(unit, job.key, record.attempt, &record.capture)?;
    if record.started_at.is_some() {
        let tally = unit.ledger.tally(unit.connection, job.dispatcher)?;
        tally.mean_run_us = Some(rules::mean_us(tally.mean_run_us, record.run_time));
    }
    let step = rules::after_attempt(record.next, lost, cancel_by.as_deref());
    let state = follow(unit, &job, record.token, &step)?;
    if let (JobState::Succeeded, Some(output)) = (state, &record.output) {
        unit.connection
            .prepare_cached(sql!("output_insert"))?
            .execute(named_params! { ":job": job.key, ":output": output })?;
        let tally = unit.ledger.tally(unit.connection, job.dispatcher)?;
        tally.latest_output = Some(job.key);
    }
    Ok(Recorded::Applied(state))
}

/// The running job of a record, who asked to cancel it, and how often it was lost; `None` for a
/// stale token.
fn fenced(
    unit: &mut Unit<'_>,
    record: &Record,
) -> rusqlite::Result<Option<(Subject, Option<String>, u32)>> {
    let (id, token) = (record.job.as_str(), record.token as i64);
    let read = |row: &Row<'_>| {
        let subject = Subject {
            key: row.get(0)?,
            dispatcher: row.get(1)?,
            queue: row.get(2)?,
            identity: row.get(3)?,
            watched: row.get(4)?,
            batch: row.get(7)?,
            called: row.get(8)?,
            spot: Spot::Running,
        };
        Ok((subject, row.get(5)?, row.get(6)?))
    };
    match unit.claimed.remove(&record.job) {
        Some(key) => unit
            .connection
            .prepare_cached(sql!("fenced_by_key"))?
            .query_one(
                named_params! { ":key": key, ":id": id, ":token": token },
                read,
            ),
        None => unit
            .connection
            .prepare_cached(sql!("fenced"))?
            .query_one(named_params! { ":id": id, ":token": token }, read),
    }
    .optional()
}

/// Lets a running job take its next step; the caller has checked the token.
pub(super) fn follow(
    unit: &mut Unit<'_>,
    job: &Subject,
    token: u64,
    step: &Step,
) -> rusqlite::Result<JobState> {
    match step {
        Step::End {
            transition,
            outcome,
        } => {
            let state = end_running(unit, job, token, *transition, outcome.as_ref())?;
            release(unit, job)?;
            Ok(state)
        }
        Step::Again(again) => {
            requeue(unit, job, token, *again)?;
            Ok(JobState::Queued)
        }
    }
}

fn end_running(
    unit: &mut Unit<'_>,
    job: &Subject,
    token: u64,
    transition: Transition,
    outcome: Option<&Outcome>,
) -> rusqlite::Result<JobState> {
    let state = JobState::Running
        .apply(transition)
        .map_err(|refused| rusqlite::Error::ToSqlConversionFailure(refused.into()))?;
    unit.connection
        .prepare_cached(sql!("end_running"))?
        .execute(named_params! {
            ":key": job.key,
            ":token": token as i64,
            ":state": rows::state_number(state),
            ":now": unit.now,
            ":outcome": outcome.map(rows::to_json).transpose()?,
        })?;
    unit.ledger.shift(
        unit.connection,
        job.dispatcher,
        &job.queue,
        job.spot,
        Spot::Finished,
    )?;
    tell(unit, job, state)?;
    Ok(state)
}

fn requeue(unit: &mut Unit<'_>, job: &Subject, token: u64, again: Again) -> rusqlite::Result<()> {
    let (waits_for, run_at, seq) = match again.place {
        Place::Kept => (0, None, None),
        Place::Behind(after) => {
            let after = rules::millis(after);
            let run_at = unit.now.saturating_add(after);
            let seq = unit.ledger.next_sequence(unit.connection)?;
            (i64::from(after > 0), Some(run_at), Some(seq))
        }
    };
    unit.connection
        .prepare_cached(sql!("requeue"))?
        .execute(named_params! {
            ":key": job.key,
            ":token": token as i64,
            ":now": unit.now,
            ":waits_for": waits_for,
            ":run_at": run_at,
            ":seq": seq,
            ":failures": again.failures,
            ":snoozes": again.snoozes,
            ":lost": again.lost,
        })?;
    unit.ledger.shift(
        unit.connection,
        job.dispatcher,
        &job.queue,
        job.spot,
        Spot::queued(waits_for),
    )
}

/// Ends a job that waits; its outcome stands in its own row. [`release`] must follow, after all
/// jobs that end together: a released one may be among them.
pub(super) fn end_queued(
    unit: &mut Unit<'_>,
    job: &Subject,
    state: JobState,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(sql!("end_queued"))?
        .execute(named_params! {
            ":key": job.key,
            ":state": rows::state_number(state),
            ":now": unit.now,
            ":outcome": rows::to_json(outcome)?,
        })?;
    unit.ledger.shift(
        unit.connection,
        job.dispatcher,
        &job.queue,
        job.spot,
        Spot::Finished,
    )?;
    tell(unit, job, state)
}

/// Who must know of the end of a job: its batch, and whoever asked for a callback.
fn tell(unit: &mut Unit<'_>, job: &Subject, state: JobState) -> rusqlite::Result<()> {
    if job.called {
        callbacks::due(unit, job.key)?;
    }
    match job.batch {
        Some(batch) => batches::count(unit, batch, state),
        None => Ok(()),
    }
}

/// Lets the first held duplicate of an ended job go.
pub(super) fn release(unit: &mut Unit<'_>, ended: &Subject) -> rusqlite::Result<()> {
    if !ended.watched {
        return Ok(());
    }
    let released: Option<(String, i64)> = unit
        .connection
        .prepare_cached(sql!("release_held"))?
        .query_one(
            named_params! {
                ":dispatcher": ended.dispatcher,
                ":identity": ended.identity,
                ":now": unit.now,
            },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((queue, waits_for)) = released else {
        return Ok(());
    };
    unit.ledger.shift(
        unit.connection,
        ended.dispatcher,
        &queue,
        Spot::Waiting,
        Spot::queued(waits_for),
    )
}

pub(super) fn write_attempt(
    unit: &Unit<'_>,
    job: i64,
    attempt: &Attempt<'_>,
) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(sql!("attempt_insert"))?
        .execute(named_params! {
            ":job": job,
            ":attempt": attempt.attempt,
            ":started_at": attempt.started_at,
            ":ended_at": attempt.ended_at,
            ":run_us": attempt.run_us,
            ":pid": attempt.pid,
            ":build": attempt.build,
            ":outcome": rows::to_json(attempt.outcome)?,
        })
        .map(drop)
}

fn write_capture(
    unit: &Unit<'_>,
    job: i64,
    attempt: u32,
    capture: &Capture,
) -> rusqlite::Result<()> {
    if *capture == Capture::default() {
        return Ok(());
    }
    unit.connection
        .prepare_cached(sql!("capture_insert"))?
        .execute(named_params! {
            ":job": job,
            ":attempt": attempt,
            ":stdout_dropped": capture.stdout.dropped as i64,
            ":stderr_dropped": capture.stderr.dropped as i64,
            ":stdout_head": capture.stdout.head,
            ":stdout_tail": capture.stdout.tail,
            ":stderr_head": capture.stderr.head,
            ":stderr_tail": capture.stderr.tail,
        })
        .map(drop)
}

pub(super) fn progress(unit: &Unit<'_>, notes: &[ProgressNote]) -> rusqlite::Result<()> {
    let mut statement = unit.connection.prepare_cached(sql!("progress"))?;
    for note in notes {
        statement.execute(named_params! {
            ":id": note.job.as_str(),
            ":token": note.token as i64,
            ":fraction": note.fraction,
            ":text": note.text,
        })?;
    }
    Ok(())
}
