//! What is answered about jobs. The same note and the same jobs always make the same answer, so a
//! replayed message is answered by the code that answered it first.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use dispatcher_core::JobId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{BatchRecord, JobRecord, Sent};

/// Says that a message had been answered before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What is kept with a message to answer it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Note {
    /// One job.
    Job(Told),
    /// Jobs that are no batch, with the id that the sender gave them.
    Jobs { id: String },
    /// Jobs that are a batch.
    Batch { id: String },
    /// A job once more.
    Retry { job: String, of: JobId },
    /// Something was done that made no job.
    Done { status: u16, body: Value },
}

/// What is told of a job that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) job: String,
    pub(super) queue: String,
    /// The sender waits for its end.
    pub(super) waits: bool,
}

/// Whether a message is acted on, or was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    First,
    Again,
}

/// A success.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
    location: Option<String>,
    replayed: bool,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    fn new(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body,
            location: None,
            replayed: false,
        }
    }

    /// The answer to a message; `prefix` is where the routes begin.
    pub(super) fn of(note: &Note, jobs: &[Sent], prefix: &str) -> Self {
        match (note, jobs) {
            (Note::Job(told), [job, ..]) => {
                let url = job_url(prefix, job.id);
                let body = json!({
                    "id": job.id,
                    "status": "queued",
                    "job": told.job,
                    "queue": told.queue,
                    "duplicate": job.duplicate,
                    "status_url": url,
                });
                Self::new(StatusCode::ACCEPTED, body).at(url)
            }
            (Note::Jobs { id }, jobs) => {
                let jobs = jobs.iter();
                let jobs = jobs.map(|job| json!({ "id": job.id, "duplicate": job.duplicate }));
                let body = json!({ "id": id, "jobs": jobs.collect::<Value>() });
                Self::new(StatusCode::ACCEPTED, body)
            }
            (Note::Batch { id }, jobs) => {
                let url = format!("{prefix}/v1/batches/{id}");
                let jobs = jobs.iter();
                let jobs = jobs.map(|job| json!({ "id": job.id, "duplicate": job.duplicate }));
                let body = json!({
                    "id": id,
                    "status": "queued",
                    "jobs": jobs.collect::<Value>(),
                    "status_url": url,
                });
                Self::new(StatusCode::ACCEPTED, body).at(url)
            }
            (Note::Retry { job: name, of }, [job, ..]) => {
                let url = job_url(prefix, job.id);
                let body = json!({
                    "id": job.id,
                    "status": "queued",
                    "job": name,
                    "retry_of": of,
                    "duplicate": job.duplicate,
                    "status_url": url,
                });
                Self::new(StatusCode::ACCEPTED, body).at(url)
            }
            (Note::Done { status, body }, _) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
                Self::new(status, body.clone())
            }
            (Note::Job(_) | Note::Retry { .. }, []) => Self::new(StatusCode::ACCEPTED, json!({})),
        }
    }

    fn at(self, location: String) -> Self {
        Self {
            location: Some(location),
            ..self
        }
    }

    /// Says whether it was said before.
    pub(super) fn said(self, times: Times) -> Self {
        let replayed = times == Times::Again;
        Self { replayed, ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        let mut answer = Response::new(Body::from(self.body.to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let location = self.location.and_then(|it| HeaderValue::try_from(it).ok());
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        answer
    }
}

pub(super) fn job_url(prefix: &str, job: JobId) -> String {
    format!("{prefix}/v1/jobs/{job}")
}

/// A job as it stands. Its payload is nobody's business but its worker's.
pub(super) fn job_json(record: &JobRecord, prefix: &str) -> Value {
    let job = &record.summary;
    let attempts = record.attempts.iter().map(|attempt| {
        json!({
            "attempt": attempt.attempt,
            "started_at": attempt.started_at.map(utc),
            "ended_at": utc(attempt.ended_at),
            "run_time_ms": u64::try_from(attempt.run_time.as_millis()).unwrap_or(u64::MAX),
            "outcome": attempt.outcome,
        })
    });
    let progress = job.progress.as_ref();
    json!({
        "id": job.id,
        "status": job.state,
        "job": job.dispatcher,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.counters.attempt,
        "failures": job.counters.failures,
        "submitted_at": utc(job.submitted_at),
        "run_at": job.run_at.map(utc),
        "started_at": job.started_at.map(utc),
        "ended_at": job.ended_at.map(utc),
        "progress": progress.map(|(fraction, text)| json!({ "fraction": fraction, "text": text })),
        "outcome": job.outcome,
        "output": output_of(record),
        "batch": record.batch,
        "retry_of": record.retry_of,
        "attempts": attempts.collect::<Value>(),
        "status_url": job_url(prefix, job.id),
    })
}

/// A batch as it stands.
pub(super) fn batch_json(batch: &BatchRecord, prefix: &str) -> Value {
    let counts = batch.counts;
    let processed = counts.total - counts.pending.min(counts.total);
    let progress = match counts.total {
        0 => 1.0,
        total => f64::from(processed) / f64::from(total),
    };
    json!({
        "id": batch.id,
        "status": if batch.finished_at.is_some() { "finished" } else { "pending" },
        "total": counts.total,
        "pending": counts.pending,
        "processed": processed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "progress": progress,
        "jobs": batch.jobs,
        "on_finished": batch.on_finished,
        "created_at": utc(batch.created_at),
        "finished_at": batch.finished_at.map(utc),
        "status_url": format!("{prefix}/v1/batches/{}", batch.id),
    })
}

/// The value that a job stored.
pub(super) fn output_of(record: &JobRecord) -> Option<Value> {
    let text = record.output.as_deref()?;
    serde_json::from_str(text).ok()
}

/// UTC as RFC 3339 with milliseconds.
fn utc(time: i64) -> String {
    match Timestamp::from_millisecond(time) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{time} ms"),
    }
}
