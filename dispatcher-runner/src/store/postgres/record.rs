//! Ends of attempts, and ends of jobs that never started one.
//!
//! The rows of all records are locked in the order of their keys and read in one statement; what
//! follows is decided here, and written for all of them together. A record whose token is no longer
//! valid finds no row.

use std::collections::BTreeMap;

use dispatcher_core::{JobId, JobState, Outcome};
use futures_util::future::try_join_all;
use tokio_postgres::Row;

use super::batches::Ends;
use super::errors::Failure;
use super::transaction::Tx;
use super::{callbacks, rows};
use crate::store::rules::{self, Again, Place, Step};
use crate::store::{Capture, ProgressNote, Record, Recorded};

/// A job about to move.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) key: i64,
    pub(super) dispatcher: i32,
    /// Where somebody may look for duplicates of it.
    pub(super) identity: Option<String>,
    /// The batch that it belongs to.
    pub(super) batch: Option<i64>,
    /// Somebody is told of its end.
    pub(super) called: bool,
}

/// An attempt about to be written.
pub(super) struct Attempt<'a> {
    pub(super) attempt: u32,
    pub(super) started_at: Option<i64>,
    /// `None` is now.
    pub(super) ended_at: Option<i64>,
    pub(super) run_us: i64,
    pub(super) pid: Option<u32>,
    pub(super) build: &'a str,
    pub(super) outcome: &'a Outcome,
}

/// Everything that one transaction does to jobs that ran, as columns of arrays.
#[derive(Default)]
pub(super) struct Moves {
    ended: Vec<i64>,
    states: Vec<i16>,
    outcomes: Vec<Option<String>>,
    again: Vec<i64>,
    afters: Vec<Option<i64>>,
    failures: Vec<i32>,
    snoozes: Vec<i32>,
    lost: Vec<i32>,
    attempts: Attempts,
    captures: Captures,
    outputs: Vec<(i64, i32, String)>,
    released: Vec<(i32, String)>,
    batches: Ends,
    called: Vec<i64>,
    counts: BTreeMap<i32, Counts>,
}

#[derive(Default)]
struct Attempts {
    jobs: Vec<i64>,
    numbers: Vec<i32>,
    started: Vec<Option<i64>>,
    ended: Vec<Option<i64>>,
    run_us: Vec<i64>,
    pids: Vec<Option<i64>>,
    builds: Vec<String>,
    outcomes: Vec<String>,
}

#[derive(Default)]
struct Captures {
    jobs: Vec<i64>,
    attempts: Vec<i32>,
    dropped: [Vec<i64>; 2],
    heads: [Vec<Vec<u8>>; 2],
    tails: [Vec<Vec<u8>>; 2],
}

/// Differences of a dispatcher's counters.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    waiting: i64,
    running: i64,
    finished: i64,
    runs: i64,
    run_us: i64,
}

pub(super) async fn record_all(tx: &Tx<'_>, records: &[Record]) -> Result<Vec<Recorded>, Failure> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = fenced(tx, records).await?;
    let mut moves = Moves::default();
    let mut answers = Vec::with_capacity(records.len());
    for record in records {
        // Taken out: a second record of the same claim finds nothing.
        let Some((job, cancel_by, lost)) = found.remove(&(record.job, record.token)) else {
            answers.push(Recorded::Fenced);
            continue;
        };
        moves.attempt(
            &job,
            &Attempt {
                attempt: record.attempt,
                started_at: record.started_at,
                ended_at: Some(record.ended_at),
                run_us: rules::micros(record.run_time),
                pid: record.pid,
                build: &record.build,
                outcome: &record.outcome,
            },
        )?;
        moves.capture(&job, record.attempt, &record.capture);
        if record.started_at.is_some() {
            let counts = moves.counts.entry(job.dispatcher).or_default();
            counts.runs += 1;
            counts.run_us += rules::micros(record.run_time);
        }
        let step = rules::after_attempt(record.next, lost, cancel_by.as_deref());
        let state = moves.follow(&job, &step)?;
        if let (JobState::Succeeded, Some(output)) = (state, &record.output) {
            moves
                .outputs
                .push((job.key, job.dispatcher, output.clone()));
        }
        answers.push(Recorded::Applied(state));
    }
    moves.write(tx).await?;
    if tx.again {
        recognise(tx, records, &mut answers).await?;
    }
    Ok(answers)
}

type Fenced = BTreeMap<(JobId, u64), (Subject, Option<String>, u32)>;

/// The running jobs of records with valid tokens, who asked to cancel them, and how often they were
/// lost.
async fn fenced(tx: &Tx<'_>, records: &[Record]) -> Result<Fenced, Failure> {
    let ids: Vec<&str> = records.iter().map(|it| it.job.as_str()).collect();
    let tokens: Vec<i64> = records.iter().map(|it| it.token as i64).collect();
    let found = tx
        .rows(
            sql!("fenced"),
            with![ids => TEXT_ARRAY, tokens => INT8_ARRAY],
        )
        .await?;
    let read = |row: &Row| {
        let subject = Subject {
            key: row.try_get(2)?,
            dispatcher: row.try_get(3)?,
            identity: row.try_get(4)?,
            batch: row.try_get(7)?,
            called: row.try_get(8)?,
        };
        let claim = (rows::job_id(row, 0)?, rows::unsigned(row.try_get(1)?));
        Ok((claim, (subject, row.try_get(5)?, rows::small_u32(row, 6)?)))
    };
    found.iter().map(read).collect()
}

/// After a connection died while it committed: what was written then is applied, not fenced.
async fn recognise(
    tx: &Tx<'_>,
    records: &[Record],
    answers: &mut [Recorded],
) -> Result<(), Failure> {
    for (record, answer) in records.iter().zip(answers) {
        if *answer != Recorded::Fenced {
            continue;
        }
        let attempt = i32::try_from(record.attempt).unwrap_or(i32::MAX);
        let written = tx
            .row_or_none(
                sql!("recognise"),
                with![
                    record.job.as_str() => TEXT,
                    attempt => INT4,
                    record.ended_at => INT8,
                    rows::to_json(&record.outcome)? => TEXT,
                ],
            )
            .await?;
        if let Some(row) = written {
            *answer = Recorded::Applied(rows::state(&row, 0)?);
        }
    }
    Ok(())
}

impl Moves {
    /// Lets a running job take its next step; the caller has locked its row under a valid token.
    pub(super) fn follow(&mut self, job: &Subject, step: &Step) -> Result<JobState, Failure> {
        let counts = self.counts.entry(job.dispatcher).or_default();
        counts.running -= 1;
        match step {
            Step::End {
                transition,
                outcome,
            } => {
                let state = JobState::Running
                    .apply(*transition)
                    .map_err(|refused| Failure::Corrupt(refused.to_string()))?;
                counts.finished += 1;
                let outcome = outcome.as_ref().map(rows::to_json).transpose()?;
                self.end(job, state, outcome);
                Ok(state)
            }
            Step::Again(again) => {
                counts.waiting += 1;
                self.requeue(job, *again);
                Ok(JobState::Queued)
            }
        }
    }

    fn requeue(&mut self, job: &Subject, again: Again) {
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.again.push(job.key);
        self.afters.push(match again.place {
            Place::Kept => None,
            Place::Behind(after) => Some(rules::millis(after)),
        });
        self.failures.push(number(again.failures));
        self.snoozes.push(number(again.snoozes));
        self.lost.push(number(again.lost));
    }

    /// Ends a job that waits; its outcome stands in its own row.
    pub(super) fn end_queued(
        &mut self,
        job: &Subject,
        state: JobState,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        let counts = self.counts.entry(job.dispatcher).or_default();
        counts.waiting -= 1;
        counts.finished += 1;
        self.end(job, state, Some(rows::to_json(outcome)?));
        Ok(())
    }

    /// What every end sets off.
    fn end(&mut self, job: &Subject, state: JobState, outcome: Option<String>) {
        self.ended.push(job.key);
        self.states.push(rows::state_number(state));
        self.outcomes.push(outcome);
        if let Some(identity) = &job.identity {
            self.released.push((job.dispatcher, identity.clone()));
        }
        if let Some(batch) = job.batch {
            self.batches.add(batch, state);
        }
        if job.called {
            self.called.push(job.key);
        }
    }

    /// Jobs of a dispatcher that went from waiting to running.
    pub(super) fn started(&mut self, dispatcher: i32, jobs: i64) {
        let counts = self.counts.entry(dispatcher).or_default();
        counts.waiting -= jobs;
        counts.running += jobs;
    }

    /// Finished jobs of a dispatcher that are gone.
    pub(super) fn pruned(&mut self, dispatcher: i32, jobs: i64) {
        self.counts.entry(dispatcher).or_default().finished -= jobs;
    }

    pub(super) fn attempt(&mut self, job: &Subject, attempt: &Attempt<'_>) -> Result<(), Failure> {
        let to = &mut self.attempts;
        to.jobs.push(job.key);
        to.numbers
            .push(i32::try_from(attempt.attempt).unwrap_or(i32::MAX));
        to.started.push(attempt.started_at);
        to.ended.push(attempt.ended_at);
        to.run_us.push(attempt.run_us);
        to.pids.push(attempt.pid.map(i64::from));
        to.builds.push(attempt.build.to_owned());
        to.outcomes.push(rows::to_json(attempt.outcome)?);
        Ok(())
    }

    fn capture(&mut self, job: &Subject, attempt: u32, capture: &Capture) {
        if *capture == Capture::default() {
            return;
        }
        let to = &mut self.captures;
        to.jobs.push(job.key);
        to.attempts.push(i32::try_from(attempt).unwrap_or(i32::MAX));
        for (index, stream) in [&capture.stdout, &capture.stderr].into_iter().enumerate() {
            to.dropped[index].push(i64::try_from(stream.dropped).unwrap_or(i64::MAX));
            to.heads[index].push(stream.head.clone());
            to.tails[index].push(stream.tail.clone());
        }
    }

    /// Writes it all, the statements together; ends in batches are counted later.
    pub(super) async fn write(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        tx.ended(&self.batches);
        let mut steps: Vec<futures_util::future::LocalBoxFuture<'_, Result<(), Failure>>> =
            Vec::new();
        if !self.ended.is_empty() {
            steps.push(Box::pin(self.write_ended(tx)));
        }
        if !self.again.is_empty() {
            steps.push(Box::pin(self.write_again(tx)));
        }
        if !self.attempts.jobs.is_empty() {
            steps.push(Box::pin(self.attempts.write(tx)));
        }
        if !self.captures.jobs.is_empty() {
            steps.push(Box::pin(self.captures.write(tx)));
        }
        if !self.outputs.is_empty() {
            steps.push(Box::pin(self.write_outputs(tx)));
        }
        if !self.counts.is_empty() {
            steps.push(Box::pin(self.write_counts(tx)));
        }
        if !self.released.is_empty() {
            steps.push(Box::pin(self.write_released(tx)));
        }
        if !self.called.is_empty() {
            steps.push(Box::pin(callbacks::due(tx, &self.called)));
        }
        try_join_all(steps).await.map(drop)
    }

    async fn write_ended(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let values = with![
            self.ended => INT8_ARRAY,
            self.states => INT2_ARRAY,
            self.outcomes => TEXT_ARRAY,
        ];
        let ended = tx.run(sql!("end"), values).await?;
        if ended != self.ended.len() as u64 {
            return Err(Failure::Corrupt(format!(
                "{ended} of {} locked jobs could be ended",
                self.ended.len()
            )));
        }
        Ok(())
    }

    async fn write_again(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let values = with![
            self.again => INT8_ARRAY,
            self.afters => INT8_ARRAY,
            self.failures => INT4_ARRAY,
            self.snoozes => INT4_ARRAY,
            self.lost => INT4_ARRAY,
        ];
        tx.run(sql!("requeue"), values).await.map(drop)
    }

    async fn write_outputs(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let jobs: Vec<i64> = self.outputs.iter().map(|it| it.0).collect();
        let dispatchers: Vec<i32> = self.outputs.iter().map(|it| it.1).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(|it| it.2.as_str()).collect();
        let values = with![
            jobs => INT8_ARRAY,
            dispatchers => INT4_ARRAY,
            outputs => TEXT_ARRAY,
        ];
        tx.run(sql!("outputs_insert"), values).await.map(drop)
    }

    async fn write_counts(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let column =
            |of: fn(&Counts) -> i64| -> Vec<i64> { self.counts.values().map(of).collect() };
        let dispatchers: Vec<i32> = self.counts.keys().copied().collect();
        let values = with![
            dispatchers => INT4_ARRAY,
            column(|it| it.waiting) => INT8_ARRAY,
            column(|it| it.running) => INT8_ARRAY,
            column(|it| it.finished) => INT8_ARRAY,
            column(|it| it.runs) => INT8_ARRAY,
            column(|it| it.run_us) => INT8_ARRAY,
        ];
        tx.run(sql!("differences_insert"), values).await.map(drop)
    }

    async fn write_released(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let dispatchers: Vec<i32> = self.released.iter().map(|it| it.0).collect();
        let identities: Vec<&str> = self.released.iter().map(|it| it.1.as_str()).collect();
        let values = with![dispatchers => INT4_ARRAY, identities => TEXT_ARRAY];
        tx.rows(sql!("release_held"), values).await.map(drop)
    }
}

impl Attempts {
    async fn write(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let values = with![
            self.jobs => INT8_ARRAY,
            self.numbers => INT4_ARRAY,
            self.started => INT8_ARRAY,
            self.ended => INT8_ARRAY,
            self.run_us => INT8_ARRAY,
            self.pids => INT8_ARRAY,
            self.builds => TEXT_ARRAY,
            self.outcomes => TEXT_ARRAY,
        ];
        tx.run(sql!("attempts_insert"), values).await.map(drop)
    }
}

impl Captures {
    async fn write(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let values = with![
            self.jobs => INT8_ARRAY,
            self.attempts => INT4_ARRAY,
            self.dropped[0] => INT8_ARRAY,
            self.dropped[1] => INT8_ARRAY,
            self.heads[0] => BYTEA_ARRAY,
            self.tails[0] => BYTEA_ARRAY,
            self.heads[1] => BYTEA_ARRAY,
            self.tails[1] => BYTEA_ARRAY,
        ];
        tx.run(sql!("captures_insert"), values).await.map(drop)
    }
}

pub(super) async fn progress(tx: &Tx<'_>, notes: &[ProgressNote]) -> Result<(), Failure> {
    let ids: Vec<&str> = notes.iter().map(|it| it.job.as_str()).collect();
    let tokens: Vec<i64> = notes.iter().map(|it| it.token as i64).collect();
    let fractions: Vec<f64> = notes.iter().map(|it| it.fraction).collect();
    let texts: Vec<String> = notes.iter().map(|it| rows::text(&it.text)).collect();
    let values = with![
        ids => TEXT_ARRAY,
        tokens => INT8_ARRAY,
        fractions => FLOAT8_ARRAY,
        texts => TEXT_ARRAY,
    ];
    tx.run(sql!("progress"), values).await.map(drop)
}
