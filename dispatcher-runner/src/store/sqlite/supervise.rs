//! Rows of supervisors, what they hold, and what happens to it when they are dead.
//!
//! A closed row stays for as long as it holds jobs: it is where the rescuer finds them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use dispatcher_core::{Cause, Counters, JobId, JobState, Options};
use rusqlite::{Connection, Row, named_params};

use super::ledger::Spot;
use super::record::{self, Attempt, Subject};
use super::{Unit, read, rows};
use crate::store::rules;
use crate::store::{
    Claimed, HandOver, NewSupervisor, Pause, Rescued, Seat, Serves, SupervisorId, SupervisorRow,
};

pub(super) fn open(unit: &Unit<'_>, new: &NewSupervisor) -> rusqlite::Result<SupervisorId> {
    sweep(unit)?;
    unit.connection
        .prepare_cached(sql!("supervisor_insert"))?
        .query_one(
            named_params! {
                ":program": new.program,
                ":build_modified_ns": new.build.modified_ns,
                ":build_id": new.build.id,
                ":pid": new.pid,
                ":slots": new.slots,
                ":directory": new.directory.as_os_str().as_bytes(),
                ":serves": rows::to_json(&new.serves)?,
                ":queues": rows::to_json(&new.queues)?,
                ":now": unit.now,
            },
            |row| row.get(0).map(SupervisorId),
        )
}

pub(super) fn close_if_idle(
    unit: &Unit<'_>,
    supervisor: SupervisorId,
    serves: &Serves,
) -> rusqlite::Result<bool> {
    for (name, queue) in read::unfinished(unit.connection)? {
        let labelled = rules::serves_label(&serves.queues, &queue);
        if labelled && serves.dispatchers.contains(&name) {
            return Ok(false);
        }
    }
    close(unit, supervisor)?;
    Ok(true)
}

pub(super) fn hand_over(
    unit: &Unit<'_>,
    supervisor: SupervisorId,
    serves: &Serves,
    to: SupervisorId,
) -> rusqlite::Result<HandOver> {
    let open = rows(unit.connection, sql!("supervisors_open"))?;
    let theirs = open.iter().find(|row| row.id == to);
    let unfinished = read::unfinished(unit.connection)?;
    let unfinished = unfinished
        .iter()
        .map(|(name, queue)| (&name[..], &queue[..]));
    let answer = rules::hand_over(serves, theirs.map(|row| &row.serves[..]), unfinished);
    match &answer {
        HandOver::Refused => {}
        HandOver::Closed => close(unit, supervisor)?,
        HandOver::Narrowed(names) => {
            unit.connection
                .prepare_cached(sql!("supervisor_narrow"))?
                .execute(named_params! { ":id": supervisor.0, ":serves": rows::to_json(names)? })?;
        }
    }
    Ok(answer)
}

pub(super) fn close(unit: &Unit<'_>, supervisor: SupervisorId) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(sql!("supervisor_close"))?
        .execute(named_params! { ":id": supervisor.0 })?;
    sweep(unit)
}

fn sweep(unit: &Unit<'_>) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(sql!("supervisors_sweep"))?
        .execute([])
        .map(drop)
}

/// Rows of one of the two listings of supervisors.
pub(super) fn rows(
    connection: &Connection,
    statement: &str,
) -> rusqlite::Result<Vec<SupervisorRow>> {
    connection
        .prepare_cached(statement)?
        .query_map([], supervisor)?
        .collect()
}

fn supervisor(row: &Row<'_>) -> rusqlite::Result<SupervisorRow> {
    Ok(SupervisorRow {
        id: SupervisorId(row.get(0)?),
        program: row.get(1)?,
        build: rows::build(row, 2)?,
        pid: row.get(4)?,
        slots: row.get(5)?,
        directory: PathBuf::from(OsString::from_vec(row.get(6)?)),
        serves: rows::json(row, 7)?,
        queues: rows::json(row, 8)?,
        started_at: row.get(9)?,
        open: row.get(10)?,
        seat: Seat::Here,
    })
}

pub(super) fn claims_of(
    connection: &Connection,
    supervisor: SupervisorId,
) -> rusqlite::Result<Vec<Claimed>> {
    connection
        .prepare_cached(sql!("claims_of"))?
        .query_map(named_params! { ":supervisor": supervisor.0 }, |row| {
            Ok(Claimed {
                job: rows::job_id(row, 0)?,
                slot: row.get(1)?,
                dispatcher: row.get(2)?,
                payload: row.get(3)?,
                options: rows::json(row, 4)?,
                counters: Counters {
                    attempt: row.get(5)?,
                    failures: row.get(6)?,
                    token: row.get::<_, i64>(7)?.unsigned_abs(),
                },
                snoozes: row.get(8)?,
                waited: Duration::from_millis(row.get::<_, i64>(9)?.unsigned_abs()),
            })
        })?
        .collect()
}

struct Lost {
    id: JobId,
    subject: Subject,
    token: u64,
    attempt: u32,
    lost: u32,
    cancel_by: Option<String>,
    started_at: Option<i64>,
    options: Options,
    build: String,
}

pub(super) fn rescue(unit: &mut Unit<'_>, dead: SupervisorId) -> rusqlite::Result<Rescued> {
    let lost = unit
        .connection
        .prepare_cached(sql!("lost_jobs"))?
        .query_map(named_params! { ":supervisor": dead.0 }, lost)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut rescued = Rescued::default();
    for job in lost {
        let list = match rescue_one(unit, &job)? {
            JobState::Queued | JobState::Running => &mut rescued.requeued,
            JobState::Failed | JobState::Succeeded => &mut rescued.failed,
            JobState::Cancelled => &mut rescued.cancelled,
        };
        list.push(job.id);
    }
    unit.connection
        .prepare_cached(sql!("supervisor_delete"))?
        .execute(named_params! { ":id": dead.0 })?;
    Ok(rescued)
}

fn lost(row: &Row<'_>) -> rusqlite::Result<Lost> {
    Ok(Lost {
        id: rows::job_id(row, 1)?,
        subject: Subject {
            key: row.get(0)?,
            dispatcher: row.get(2)?,
            queue: row.get(3)?,
            identity: row.get(4)?,
            watched: row.get(5)?,
            batch: row.get(13)?,
            called: row.get(14)?,
            spot: Spot::Running,
        },
        token: row.get::<_, i64>(6)?.unsigned_abs(),
        attempt: row.get(7)?,
        lost: row.get(8)?,
        cancel_by: row.get(9)?,
        started_at: row.get(10)?,
        options: rows::json(row, 11)?,
        build: row.get::<_, Option<String>>(12)?.unwrap_or_default(),
    })
}

fn rescue_one(unit: &mut Unit<'_>, job: &Lost) -> rusqlite::Result<JobState> {
    // How long it ran is not known: the claim and the rescue are the only instants on record.
    record::write_attempt(
        unit,
        job.subject.key,
        &Attempt {
            attempt: job.attempt,
            started_at: job.started_at,
            ended_at: unit.now,
            run_us: rules::micros(rules::until(job.started_at.unwrap_or(unit.now), unit.now)),
            pid: None,
            build: &job.build,
            outcome: &rules::outcome(Cause::WorkerLost),
        },
    )?;
    let step = rules::after_loss(job.options.on_lost, job.lost, job.cancel_by.as_deref());
    record::follow(unit, &job.subject, job.token, &step)
}

pub(super) fn set_paused(
    unit: &Unit<'_>,
    dispatcher: &str,
    pause: Pause,
) -> rusqlite::Result<bool> {
    let paused = match pause {
        Pause::Paused => true,
        Pause::Running => false,
    };
    let changed = unit
        .connection
        .prepare_cached(sql!("set_paused"))?
        .execute(named_params! { ":name": dispatcher, ":paused": paused })?;
    Ok(changed > 0)
}

/// The mean run time of a tally.
pub(super) fn mean_run(us: Option<i64>) -> Option<Duration> {
    us.map(|us| Duration::from_micros(us.unsigned_abs()))
}
