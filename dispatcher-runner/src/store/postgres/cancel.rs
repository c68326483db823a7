//! Cancellation: at once for a waiting job, a lasting request for a running one.
//!
//! Whatever a running attempt answers later, an acknowledged request wins (`record`, `rescue`).

use std::collections::BTreeMap;

use dispatcher_core::{Cause, JobId, JobState};

use super::errors::Failure;
use super::record::{Moves, Subject};
use super::rows;
use super::transaction::Tx;
use crate::store::{CancelReply, Cancellation, SupervisorId, rules};

pub(super) async fn cancel(
    tx: &Tx<'_>,
    jobs: &[JobId],
    by: &str,
) -> Result<Vec<CancelReply>, Failure> {
    let ids: Vec<&str> = jobs.iter().map(|job| job.as_str()).collect();
    let unfinished = tx
        .rows(sql!("cancel_look"), with![ids => TEXT_ARRAY])
        .await?;
    let mut replies: BTreeMap<JobId, CancelReply> = BTreeMap::new();
    let mut moves = Moves::default();
    let mut running: Vec<i64> = Vec::new();
    let outcome = rules::outcome(Cause::Cancelled { by: by.to_owned() });
    for row in &unfinished {
        let job = rows::job_id(row, 0)?;
        let subject = Subject {
            key: row.try_get(1)?,
            dispatcher: row.try_get(3)?,
            identity: row.try_get(4)?,
            batch: row.try_get(6)?,
            called: row.try_get(7)?,
        };
        let reply = if rows::state(row, 2)? == JobState::Queued {
            moves.end_queued(&subject, JobState::Cancelled, &outcome)?;
            CancelReply::Cancelled
        } else {
            running.push(subject.key);
            let supervisor: Option<i64> = row.try_get(5)?;
            CancelReply::Stopping(SupervisorId(supervisor.unwrap_or_default()))
        };
        replies.insert(job, reply);
    }
    if !running.is_empty() {
        tx.wake();
        let values = with![running => INT8_ARRAY, rows::text(by) => TEXT];
        tx.run(sql!("cancel_running"), values).await?;
    }
    moves.write(tx).await?;
    if replies.len() < jobs.len() {
        // A later look than the one that waited: what had ended by then is there.
        for row in tx
            .rows(sql!("cancel_ended"), with![ids => TEXT_ARRAY])
            .await?
        {
            let reply = CancelReply::Ended(rows::state(&row, 1)?);
            replies.entry(rows::job_id(&row, 0)?).or_insert(reply);
        }
    }
    // One named twice has ended by the time of its second turn.
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        let reply = replies.get(job).copied().unwrap_or(CancelReply::Unknown);
        if reply == CancelReply::Cancelled {
            replies.insert(*job, CancelReply::Ended(JobState::Cancelled));
        }
        answers.push(reply);
    }
    Ok(answers)
}

pub(super) async fn requested(
    tx: &Tx<'_>,
    supervisor: SupervisorId,
) -> Result<Vec<Cancellation>, Failure> {
    let found = tx
        .rows(sql!("cancellations"), with![supervisor.0 => INT8])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Cancellation {
            job: rows::job_id(row, 0)?,
            token: rows::unsigned(row.try_get(1)?),
            by: row.try_get(2)?,
        })
    };
    found.iter().map(read).collect()
}
