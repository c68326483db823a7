//! Ticks of schedules: the record of a dispatcher, and the jobs of its ticks, in one transaction.
//!
//! The row of the record is locked before it is read, so that a tick is decided once over all hosts,
//! by whoever comes first.

use dispatcher_core::{JobId, JobState, ScheduleRecord, TickFate};

use super::errors::Failure;
use super::transaction::Tx;
use super::{read, rows, submit};
use crate::store::schedule::{self, ScheduleRow, Submits, TickRequest, Ticked};
use crate::store::{KnownSchedules, NewJob};

pub(super) async fn tick(tx: &Tx<'_>, requests: &[TickRequest]) -> Result<Ticked, Failure> {
    let mut decided = Vec::with_capacity(requests.len());
    for request in requests {
        submit::register(tx, std::slice::from_ref(&request.dispatcher)).await?;
        let row = tx
            .row(
                sql!("schedule_lock"),
                with![request.dispatcher.name => TEXT],
            )
            .await?;
        let dispatcher: i32 = row.try_get(0)?;
        let record: ScheduleRecord = rows::json_or_none(&row, 1)?.unwrap_or_default();
        let now: i64 = row.try_get(2)?;
        let mut fates = Fates::default();
        let decision = loop {
            match schedule::decide(request, &record, now, &mut fates.replay()) {
                Ok(decision) => break decision,
                Err(wanted) => fates.ask(tx, wanted).await?,
            }
        };
        let Some((record, ticks)) = decision else {
            decided.push(Vec::new());
            continue;
        };
        let values = with![dispatcher => INT4, rows::to_json(&record)? => TEXT];
        tx.run(sql!("schedule_write"), values).await?;
        decided.push(ticks);
        tx.wake();
    }
    Ok(decided)
}

pub(super) async fn all(tx: &Tx<'_>) -> Result<KnownSchedules, Failure> {
    let (now, found) = futures_util::future::try_join(
        tx.row(sql!("now"), with![]),
        tx.rows(sql!("schedules"), with![]),
    )
    .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(ScheduleRow {
            dispatcher: row.try_get(0)?,
            record: rows::json(row, 1)?,
        })
    };
    Ok(KnownSchedules {
        now: now.try_get(0)?,
        rows: found.iter().map(read).collect::<Result<_, Failure>>()?,
    })
}

/// What the transaction has answered to a decision so far. The decision is a pure function that
/// asks in a fixed order, so it is made again from its beginning with every further answer.
#[derive(Default)]
struct Fates {
    states: Vec<Option<JobState>>,
    submitted: Vec<(TickFate, Option<JobId>)>,
}

/// The next thing that a decision needs.
enum Wanted {
    State(JobId),
    Submit(Box<NewJob>),
}

/// Answers that are known, from the first on.
struct Told<'f> {
    fates: &'f Fates,
    states: usize,
    submitted: usize,
}

impl Fates {
    fn replay(&self) -> Told<'_> {
        Told {
            fates: self,
            states: 0,
            submitted: 0,
        }
    }

    async fn ask(&mut self, tx: &Tx<'_>, wanted: Wanted) -> Result<(), Failure> {
        match wanted {
            Wanted::State(job) => self.states.push(read::state(tx, job).await?),
            Wanted::Submit(job) => {
                let fate = match submit::one(tx, &job).await? {
                    Some(accepted) if accepted.duplicate => {
                        (TickFate::Duplicate, Some(accepted.id))
                    }
                    Some(accepted) => (TickFate::Submitted, Some(accepted.id)),
                    None => (TickFate::QueueFull, None),
                };
                self.submitted.push(fate);
            }
        }
        Ok(())
    }
}

impl Submits for Told<'_> {
    type Error = Wanted;

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, Self::Error> {
        self.states += 1;
        let known = self.fates.states.get(self.states - 1).copied();
        known.ok_or(Wanted::State(job))
    }

    fn submit(&mut self, job: &NewJob) -> Result<(TickFate, Option<JobId>), Self::Error> {
        self.submitted += 1;
        let known = self.fates.submitted.get(self.submitted - 1).cloned();
        known.ok_or_else(|| Wanted::Submit(Box::new(job.clone())))
    }
}
