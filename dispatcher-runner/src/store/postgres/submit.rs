//! Submission: groups that are all or nothing, under one durable commit.
//!
//! The rules stand in one function of the schema (`store_jobs`), which serves the jobs of any SQL
//! client as well. Groups are asked for together; each is refused by its own answer.

use std::path::Path;
use std::time::Duration;

use dispatcher_core::OnDuplicate;
use futures_util::future::join_all;
use serde::Deserialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};

use super::errors::Failure;
use super::rows::{self, OptionTexts};
use super::transaction::Tx;
use super::{PostgresStore, messages, supervise};
use crate::store::rules;
use crate::store::{
    Accepted, DispatcherRow, NewJob, ReceiptError, StoreError, Submission, SubmitError, Submitted,
};
use crate::target::Target;

/// One answer: what was accepted, or why not.
pub(super) type Answer = Result<Taken, Refusal>;

/// A group that was accepted.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) jobs: Vec<Accepted>,
    /// The note of its receipt, if it had been accepted before.
    pub(super) replay_of: Option<String>,
}

impl Taken {
    /// Whether there may be something to do that was not there before.
    fn is_new(&self) -> bool {
        self.replay_of.is_none() && self.jobs.iter().any(|it| !it.duplicate)
    }
}

/// Why a group was refused, as the schema says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    Full(Full),
    /// The id of a job was there.
    Known,
    OtherMessage,
    NoRoom {
        count_max: u64,
    },
    BatchExists {
        id: String,
    },
}

/// What a full queue says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Full {
    dispatcher: String,
    max_queue: u32,
    unfinished: u32,
    concurrency: u32,
    mean_run_us: Option<u64>,
}

pub(super) fn submit(
    store: &mut PostgresStore,
    groups: &[Submission],
) -> Vec<Result<Submitted, SubmitError>> {
    if groups.is_empty() {
        return Vec::new();
    }
    let place = store.link.place().clone();
    let host = store.host.clone();
    let committed = store.change(async |tx| {
        let mut texts = OptionTexts::default();
        let columns = groups
            .iter()
            .map(|submission| Columns::of(submission, &mut texts))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = join_all(columns.iter().map(|group| group.send(tx))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        // What follows a batch without jobs of its own is there at once.
        let follows = groups.iter().any(|it| it.batch.is_some());
        if follows || answers.iter().flatten().any(Taken::is_new) {
            tx.wake();
        }
        let open = supervise::rows(tx, sql!("supervisors_open"), &host).await?;
        Ok((answers, open))
    });
    let (answers, open) = match committed {
        Ok(committed) => committed,
        Err(error) => return refuse_all(groups.len(), error),
    };
    let told = |answer: Answer| match answer {
        Ok(taken) => Ok(Submitted {
            jobs: taken.jobs,
            supervisors: open.clone(),
            replay_of: taken.replay_of,
        }),
        Err(refusal) => Err(refusal.explain(&place)),
    };
    answers.into_iter().map(told).collect()
}

/// Stores a group within somebody else's transaction, whose end decides about it. A refusal leaves
/// that transaction as it was.
pub(crate) async fn submit_in(
    transaction: &Transaction<'_>,
    target: &Target,
    submission: &Submission,
) -> Result<Vec<Accepted>, SubmitError> {
    let place = target.place();
    let told = |failure: Failure| SubmitError::Store(failure.explain(&place));
    let columns = Columns::of(submission, &mut OptionTexts::default()).map_err(told)?;
    let qualified = format!("FROM \"{}\".submit_group(", target.schema());
    let statement = sql!("submit_group").replace("FROM submit_group(", &qualified);
    let answer = columns.send_by(transaction, &statement, false).await;
    let taken = answer.map_err(told)?.map_err(|it| it.explain(&place))?;
    Ok(taken.jobs)
}

impl Refusal {
    fn explain(self, place: &Path) -> SubmitError {
        match self {
            Self::Full(full) => SubmitError::QueueFull {
                dispatcher: full.dispatcher,
                max_queue: full.max_queue,
                unfinished: full.unfinished,
                concurrency: full.concurrency,
                mean_run: full.mean_run_us.map(Duration::from_micros),
            },
            Self::OtherMessage => ReceiptError::OtherMessage.into(),
            Self::NoRoom { count_max } => ReceiptError::Full { count_max }.into(),
            Self::BatchExists { id } => SubmitError::BatchExists { id },
            Self::Known => SubmitError::Store(StoreError::Database {
                path: place.to_owned(),
                detail: "there is a job with this id already".to_owned(),
            }),
        }
    }
}

/// Nothing was committed, so nobody may be told otherwise, whatever its own group had come to.
fn refuse_all(groups: usize, error: StoreError) -> Vec<Result<Submitted, SubmitError>> {
    let mut answers: Vec<_> = (1..groups).map(|_| Err(error.again().into())).collect();
    answers.push(Err(error.into()));
    answers
}

pub(super) async fn register(tx: &Tx<'_>, rows: &[DispatcherRow]) -> Result<(), Failure> {
    let group = Columns::of(
        &Submission {
            jobs: Vec::new(),
            dispatchers: rows.to_vec(),
            ..Submission::default()
        },
        &mut OptionTexts::default(),
    )?;
    group.send(tx).await.map(drop)
}

/// Stores one job of a dispatcher that is registered, within somebody's transaction. What is
/// refused is refused before anything is written.
pub(super) async fn one(tx: &Tx<'_>, job: &NewJob) -> Result<Option<Accepted>, Failure> {
    let submission = Submission {
        jobs: vec![job.clone()],
        ..Submission::default()
    };
    let columns = Columns::of(&submission, &mut OptionTexts::default())?;
    match columns.send(tx).await? {
        Ok(taken) => Ok(taken.jobs.first().copied()),
        Err(Refusal::Full(_)) => Ok(None),
        Err(Refusal::Known) => Err(Failure::Refused(format!(
            "there is a job {} already",
            job.id
        ))),
        Err(
            refusal
            @ (Refusal::OtherMessage | Refusal::NoRoom { .. } | Refusal::BatchExists { .. }),
        ) => Err(Failure::Corrupt(format!("a tick was refused: {refusal:?}"))),
    }
}

/// A group as columns of arrays.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    builds: Vec<i64>,
    build_ids: Vec<String>,
    options: Vec<String>,
    abouts: Vec<String>,
    max_queues: Vec<i64>,
    concurrencies: Vec<i64>,
    policies: Vec<&'static str>,
    jobs: JobColumns,
    /// What belongs to it besides jobs, as JSON.
    message: Option<String>,
}

#[derive(Default)]
struct JobColumns {
    ids: Vec<String>,
    names: Vec<String>,
    payloads: Vec<String>,
    identities: Vec<Option<String>>,
    keyed: Vec<bool>,
    queues: Vec<String>,
    ranks: Vec<i32>,
    delays: Vec<i64>,
    expiries: Vec<Option<i64>>,
    options: Vec<String>,
    origins: Vec<String>,
    builds: Vec<i64>,
    build_ids: Vec<String>,
    retries_of: Vec<Option<String>>,
}

impl Columns {
    fn of(submission: &Submission, texts: &mut OptionTexts) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for row in &submission.dispatchers {
            columns.names.push(row.name.clone());
            columns.builds.push(row.build.modified_ns);
            columns.build_ids.push(row.build.id.clone());
            columns.options.push(rows::to_json(&row.options)?);
            columns.abouts.push(row.about.clone());
            columns.max_queues.push(row.options.max_queue.into());
            columns.concurrencies.push(row.options.concurrency.into());
            columns.policies.push(policy(row.options.on_duplicate));
        }
        for job in &submission.jobs {
            columns.jobs.push(job, texts)?;
        }
        columns.message = messages::message(submission, texts)?;
        Ok(columns)
    }

    async fn send(&self, tx: &Tx<'_>) -> Result<Answer, Failure> {
        let Some(message) = &self.message else {
            return self
                .send_by(tx.client(), sql!("submit_group"), tx.again)
                .await;
        };
        let mut values = with![message => TEXT].to_vec();
        values.extend(self.values(&tx.again));
        messages::answer(&tx.rows(sql!("submit_message"), &values).await?)
    }

    /// The columns, with whether they are asked for again.
    fn values<'v>(&'v self, again: &'v bool) -> Vec<(&'v (dyn ToSql + Sync), Type)> {
        let jobs = &self.jobs;
        with![
            *again => BOOL,
            self.names => TEXT_ARRAY,
            self.builds => INT8_ARRAY,
            self.build_ids => TEXT_ARRAY,
            self.options => TEXT_ARRAY,
            self.abouts => TEXT_ARRAY,
            self.max_queues => INT8_ARRAY,
            self.concurrencies => INT8_ARRAY,
            self.policies => TEXT_ARRAY,
            jobs.ids => TEXT_ARRAY,
            jobs.names => TEXT_ARRAY,
            jobs.payloads => TEXT_ARRAY,
            jobs.identities => TEXT_ARRAY,
            jobs.keyed => BOOL_ARRAY,
            jobs.queues => TEXT_ARRAY,
            jobs.ranks => INT4_ARRAY,
            jobs.delays => INT8_ARRAY,
            jobs.expiries => INT8_ARRAY,
            jobs.options => TEXT_ARRAY,
            jobs.origins => TEXT_ARRAY,
            jobs.builds => INT8_ARRAY,
            jobs.build_ids => TEXT_ARRAY,
            jobs.retries_of => TEXT_ARRAY,
        ]
        .to_vec()
    }

    async fn send_by(
        &self,
        client: &impl GenericClient,
        statement: &str,
        again: bool,
    ) -> Result<Answer, Failure> {
        let found = client.query_typed(statement, &self.values(&again)).await?;
        let mut taken = Taken::default();
        for row in &found {
            match row.try_get::<_, Option<&str>>(2)? {
                None => taken.jobs.push(Accepted {
                    id: rows::job_id(row, 0)?,
                    duplicate: row.try_get(1)?,
                }),
                Some("known") => return Ok(Err(Refusal::Known)),
                Some(_) => return Ok(Err(Refusal::Full(rows::json(row, 2)?))),
            }
        }
        Ok(Ok(taken))
    }
}

impl JobColumns {
    fn push(&mut self, job: &NewJob, texts: &mut OptionTexts) -> Result<(), Failure> {
        let options = &job.options;
        self.ids.push(job.id.to_string());
        self.names.push(job.dispatcher.clone());
        self.payloads.push(job.payload.clone());
        self.identities.push(identity(job));
        self.keyed.push(options.unique_key.is_some());
        self.queues.push(options.queue.clone());
        self.ranks.push(rank(job));
        self.delays.push(options.delay.map_or(0, rules::millis));
        self.expiries.push(options.expires.map(rules::millis));
        self.options.push(texts.text(options)?);
        self.origins.push(rows::text(&job.origin));
        self.builds.push(job.build.modified_ns);
        self.build_ids.push(job.build.id.clone());
        self.retries_of.push(job.retry_of.map(|id| id.to_string()));
        Ok(())
    }
}

/// The lowest priority has no opposite; nothing is behind it either.
pub(super) fn rank(job: &NewJob) -> i32 {
    job.options.priority.checked_neg().unwrap_or(i32::MAX)
}

/// What makes the job a duplicate; `None` where the database says it, so that it is the same for
/// jobs that come in by SQL.
pub(super) fn identity(job: &NewJob) -> Option<String> {
    let is_hash = job.options.unique_key.is_none()
        && dispatcher_core::identity(&job.payload).is_ok_and(|hash| hash == job.identity);
    // A text of PostgreSQL holds every character but one.
    (!is_hash).then(|| match rules::identity(job) {
        text if text.contains('\0') => format!("json:{}", serde_json::Value::from(&*text)),
        text => text.into_owned(),
    })
}

fn policy(policy: OnDuplicate) -> &'static str {
    policy.as_str()
}
