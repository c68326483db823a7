//! What belongs to a message besides its jobs: its receipt, its batch, who is told of their ends.
//!
//! A message and its jobs are one call of one function of the schema, which looks for the receipt,
//! stores the jobs and writes the receipt; an answer of before is told with its note.

use dispatcher_core::JobId;
use serde::Serialize;
use tokio_postgres::Row;

use super::errors::Failure;
use super::rows::{self, OptionTexts};
use super::submit::{self, Taken};
use super::transaction::Tx;
use crate::store::{
    Accepted, NewBatch, NewCallback, NewJob, NewReceipt, Receipt, Submission, rules,
};

/// As `submit_message` reads it.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Wanted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Batch<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    callbacks: Vec<Callback<'a>>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    sender: &'a str,
    id: &'a str,
    /// Hexadecimal.
    hash: String,
    note: &'a str,
    /// Milliseconds.
    keep: i64,
    count_max: u64,
}

#[derive(Serialize)]
struct Batch<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_finished: Option<Follower<'a>>,
}

/// A job, spelled as in the columns of a group.
#[derive(Serialize)]
struct Follower<'a> {
    id: JobId,
    name: &'a str,
    payload: &'a str,
    identity: Option<String>,
    queue: &'a str,
    rank: i32,
    delay: i64,
    expires: Option<i64>,
    options: String,
    origin: String,
    build: i64,
    build_id: &'a str,
    retry_of: Option<JobId>,
}

#[derive(Serialize)]
struct Callback<'a> {
    job: usize,
    url: &'a str,
    sender: &'a str,
}

/// What a group brings besides jobs; `None` where there is nothing of that kind.
pub(super) fn message(
    submission: &Submission,
    texts: &mut OptionTexts,
) -> Result<Option<String>, Failure> {
    let Submission {
        receipt,
        batch,
        callbacks,
        jobs: _,
        dispatchers: _,
    } = submission;
    if receipt.is_none() && batch.is_none() && callbacks.is_empty() {
        return Ok(None);
    }
    let batch = batch.as_ref().map(|batch| Batch::of(batch, texts));
    rows::to_json(&Message {
        receipt: receipt.as_ref().map(Wanted::of),
        batch: batch.transpose()?,
        callbacks: callbacks.iter().map(Callback::of).collect(),
    })
    .map(Some)
}

impl<'a> Wanted<'a> {
    fn of(receipt: &'a NewReceipt) -> Self {
        Self {
            sender: &receipt.sender,
            id: &receipt.id,
            hash: receipt.hash.iter().map(|it| format!("{it:02x}")).collect(),
            note: &receipt.note,
            keep: rules::millis(receipt.keep),
            count_max: receipt.count_max,
        }
    }
}

impl<'a> Batch<'a> {
    fn of(batch: &'a NewBatch, texts: &mut OptionTexts) -> Result<Self, Failure> {
        let on_finished = batch.on_finished.as_ref();
        Ok(Self {
            id: &batch.id,
            on_finished: on_finished
                .map(|job| Follower::of(job, texts))
                .transpose()?,
        })
    }
}

impl<'a> Follower<'a> {
    fn of(job: &'a NewJob, texts: &mut OptionTexts) -> Result<Self, Failure> {
        Ok(Self {
            id: job.id,
            name: &job.dispatcher,
            payload: &job.payload,
            identity: submit::identity(job),
            queue: &job.options.queue,
            rank: submit::rank(job),
            delay: job.options.delay.map_or(0, rules::millis),
            expires: job.options.expires.map(rules::millis),
            options: texts.text(&job.options)?,
            origin: rows::text(&job.origin),
            build: job.build.modified_ns,
            build_id: &job.build.id,
            retry_of: job.retry_of,
        })
    }
}

impl<'a> Callback<'a> {
    fn of(callback: &'a NewCallback) -> Self {
        Self {
            job: callback.job,
            url: &callback.url,
            sender: &callback.sender,
        }
    }
}

/// What `submit_message` says.
pub(super) fn answer(found: &[Row]) -> Result<submit::Answer, Failure> {
    let mut taken = Taken::default();
    for row in found {
        if row.try_get::<_, Option<&str>>(2)?.is_some() {
            return Ok(Err(rows::json(row, 2)?));
        }
        match row.try_get::<_, Option<String>>(3)? {
            Some(note) => taken.replay_of = Some(note),
            None => taken.jobs.push(Accepted {
                id: rows::job_id(row, 0)?,
                duplicate: row.try_get(1)?,
            }),
        }
    }
    Ok(Ok(taken))
}

pub(super) async fn receipt(
    tx: &Tx<'_>,
    sender: &str,
    id: &str,
) -> Result<Option<Receipt>, Failure> {
    let values = with![sender => TEXT, id => TEXT];
    let Some(row) = tx.row_or_none(sql!("receipt"), values).await? else {
        return Ok(None);
    };
    let hash: &[u8] = row.try_get(0)?;
    let hash = hash.try_into();
    let duplicates: Vec<bool> = row.try_get(3)?;
    let jobs = rows::job_ids(&row, 2)?.into_iter().zip(duplicates);
    Ok(Some(Receipt {
        hash: hash.map_err(|_| Failure::Corrupt("a hash has another length".to_owned()))?,
        note: row.try_get(1)?,
        jobs: jobs
            .map(|(id, duplicate)| Accepted { id, duplicate })
            .collect(),
    }))
}
