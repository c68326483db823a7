//! Rows of supervisors, what they hold, and what happens to it when they are dead.
//!
//! A closed row stays for as long as it holds jobs: it is where the rescuer finds them. Whoever
//! leaves for want of jobs asks without waiting whether somebody is sending one; if so, it stays.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use dispatcher_core::{Cause, JobId, JobState, Options};
use tokio_postgres::Row;

use super::errors::Failure;
use super::record::{Attempt, Moves, Subject};
use super::transaction::Tx;
use super::{claim, read, rows as values};
use crate::store::rules;
use crate::store::{
    Claimed, HandOver, NewSupervisor, Pause, Renewal, Rescued, Seat, Serves, SupervisorId,
    SupervisorRow,
};

pub(super) async fn open(
    tx: &Tx<'_>,
    new: &NewSupervisor,
    host: &str,
) -> Result<SupervisorId, Failure> {
    let directory = new.directory.as_os_str().as_bytes();
    if tx.again
        && let Some(row) = tx
            .row_or_none(
                sql!("supervisor_at"),
                with![directory => BYTEA, host => TEXT],
            )
            .await?
    {
        return Ok(SupervisorId(row.try_get(0)?));
    }
    sweep(tx).await?;
    let row = tx
        .row(
            sql!("supervisor_insert"),
            with![
                new.program => TEXT,
                new.build.modified_ns => INT8,
                new.build.id => TEXT,
                i64::from(new.pid) => INT8,
                i64::from(new.slots) => INT8,
                directory => BYTEA,
                host => TEXT,
                values::to_json(&new.serves)? => TEXT,
                values::to_json(&new.queues)? => TEXT,
                new.lease.map(rules::millis) => INT8,
            ],
        )
        .await?;
    Ok(SupervisorId(row.try_get(0)?))
}

pub(super) async fn close_if_idle(
    tx: &Tx<'_>,
    supervisor: SupervisorId,
    serves: &Serves,
) -> Result<bool, Failure> {
    if !nobody_sends(tx).await? {
        return Ok(false);
    }
    for (name, queue) in read::unfinished(tx).await? {
        let labelled = rules::serves_label(&serves.queues, &queue);
        if labelled && serves.dispatchers.contains(&name) {
            return Ok(false);
        }
    }
    close(tx, supervisor).await?;
    Ok(true)
}

/// Whether no job is on its way; until the end of this transaction, whoever sends one waits.
async fn nobody_sends(tx: &Tx<'_>) -> Result<bool, Failure> {
    let row = tx.row(sql!("nobody_sends"), with![]).await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn hand_over(
    tx: &Tx<'_>,
    supervisor: SupervisorId,
    serves: &Serves,
    to: SupervisorId,
) -> Result<HandOver, Failure> {
    if !nobody_sends(tx).await? {
        return Ok(HandOver::Refused);
    }
    let theirs = tx
        .row_or_none(sql!("supervisor_serves"), with![to.0 => INT8])
        .await?;
    let theirs: Option<Vec<String>> = theirs.map(|row| values::json(&row, 0)).transpose()?;
    let unfinished = read::unfinished(tx).await?;
    let unfinished = unfinished
        .iter()
        .map(|(name, queue)| (&name[..], &queue[..]));
    let answer = rules::hand_over(serves, theirs.as_deref(), unfinished);
    match &answer {
        HandOver::Refused => {}
        HandOver::Closed => close(tx, supervisor).await?,
        HandOver::Narrowed(names) => {
            let values = with![supervisor.0 => INT8, values::to_json(names)? => TEXT];
            tx.run(sql!("supervisor_narrow"), values).await?;
        }
    }
    Ok(answer)
}

pub(super) async fn close(tx: &Tx<'_>, supervisor: SupervisorId) -> Result<(), Failure> {
    tx.run(sql!("supervisor_close"), with![supervisor.0 => INT8])
        .await?;
    sweep(tx).await
}

async fn sweep(tx: &Tx<'_>) -> Result<(), Failure> {
    tx.run(sql!("supervisors_sweep"), with![]).await.map(drop)
}

/// Rows of one of the two listings of supervisors.
pub(super) async fn rows(
    tx: &Tx<'_>,
    statement: &str,
    host: &str,
) -> Result<Vec<SupervisorRow>, Failure> {
    let found = tx.rows(statement, with![host => TEXT]).await?;
    found.iter().map(supervisor).collect()
}

fn supervisor(row: &Row) -> Result<SupervisorRow, Failure> {
    Ok(SupervisorRow {
        id: SupervisorId(row.try_get(0)?),
        program: row.try_get(1)?,
        build: values::build(row, 2)?,
        pid: values::number_u32(row, 4)?,
        slots: values::number_u32(row, 5)?,
        directory: PathBuf::from(OsString::from_vec(row.try_get(6)?)),
        serves: values::json(row, 7)?,
        queues: values::json(row, 8)?,
        started_at: row.try_get(9)?,
        open: row.try_get(10)?,
        seat: if row.try_get(11)? {
            Seat::Here
        } else {
            Seat::Elsewhere {
                lapsed: row.try_get(12)?,
            }
        },
    })
}

pub(super) async fn claims_of(
    tx: &Tx<'_>,
    supervisor: SupervisorId,
) -> Result<Vec<Claimed>, Failure> {
    let found = tx
        .rows(sql!("claims_of"), with![supervisor.0 => INT8])
        .await?;
    found.iter().map(claim::claimed).collect()
}

struct Lost {
    id: JobId,
    subject: Subject,
    attempt: u32,
    lost: u32,
    cancel_by: Option<String>,
    started_at: Option<i64>,
    run_ms: i64,
    options: Options,
    build: String,
}

/// The row is locked first: a claim of the same supervisor has ended by then, or finds it gone.
pub(super) async fn rescue(tx: &Tx<'_>, dead: SupervisorId) -> Result<Rescued, Failure> {
    tx.rows(sql!("supervisor_take"), with![dead.0 => INT8])
        .await?;
    take_over(tx, dead).await
}

/// The leases are read under the locks of their rows, which a renewal needs as well.
pub(super) async fn rescue_expired(tx: &Tx<'_>) -> Result<Vec<(SupervisorId, Rescued)>, Failure> {
    let mut rescued = Vec::new();
    for row in tx.rows(sql!("supervisors_expired"), with![]).await? {
        let gone = SupervisorId(row.try_get(0)?);
        rescued.push((gone, take_over(tx, gone).await?));
    }
    Ok(rescued)
}

pub(super) async fn renew(
    tx: &Tx<'_>,
    supervisor: SupervisorId,
    lease: Duration,
) -> Result<Renewal, Failure> {
    let values = with![supervisor.0 => INT8, rules::millis(lease) => INT8];
    match tx.run(sql!("supervisor_renew"), values).await? {
        0 => Ok(Renewal::Lost),
        _ => Ok(Renewal::Renewed),
    }
}

async fn take_over(tx: &Tx<'_>, dead: SupervisorId) -> Result<Rescued, Failure> {
    let lost = tx.rows(sql!("lost_jobs"), with![dead.0 => INT8]).await?;
    let mut lost = lost.iter().map(lost_job).collect::<Result<Vec<_>, _>>()?;
    lost.sort_by_key(|(seq, _)| *seq);
    let mut rescued = Rescued::default();
    let mut moves = Moves::default();
    for (_, job) in lost {
        moves.attempt(
            &job.subject,
            &Attempt {
                attempt: job.attempt,
                // The claim and the rescue are the only instants on record.
                started_at: job.started_at,
                ended_at: None,
                run_us: job.run_ms.max(0).saturating_mul(1_000),
                pid: None,
                build: &job.build,
                outcome: &rules::outcome(Cause::WorkerLost),
            },
        )?;
        let step = rules::after_loss(job.options.on_lost, job.lost, job.cancel_by.as_deref());
        let list = match moves.follow(&job.subject, &step)? {
            JobState::Queued | JobState::Running => &mut rescued.requeued,
            JobState::Failed | JobState::Succeeded => &mut rescued.failed,
            JobState::Cancelled => &mut rescued.cancelled,
        };
        list.push(job.id);
    }
    moves.write(tx).await?;
    tx.wake();
    tx.run(sql!("supervisor_delete"), with![dead.0 => INT8])
        .await?;
    Ok(rescued)
}

fn lost_job(row: &Row) -> Result<(i64, Lost), Failure> {
    let lost = Lost {
        id: values::job_id(row, 1)?,
        subject: Subject {
            key: row.try_get(0)?,
            dispatcher: row.try_get(2)?,
            identity: row.try_get(3)?,
            batch: row.try_get(12)?,
            called: row.try_get(13)?,
        },
        attempt: values::small_u32(row, 4)?,
        lost: values::small_u32(row, 5)?,
        cancel_by: row.try_get(6)?,
        started_at: row.try_get(7)?,
        run_ms: row.try_get(8)?,
        options: values::json(row, 9)?,
        build: row.try_get::<_, Option<String>>(10)?.unwrap_or_default(),
    };
    Ok((row.try_get(11)?, lost))
}

pub(super) async fn set_paused(
    tx: &Tx<'_>,
    dispatcher: &str,
    pause: Pause,
) -> Result<bool, Failure> {
    tx.wake();
    let paused = match pause {
        Pause::Paused => true,
        Pause::Running => false,
    };
    let values = with![dispatcher => TEXT, paused => BOOL];
    Ok(tx.run(sql!("set_paused"), values).await? > 0)
}
