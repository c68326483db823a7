//! Where requests are dealt with: who may ask what, and what he is answered.
//!
//! A message goes through the intake, takes its turn among its twins, and is looked up; only then
//! is it read. The store is asked on threads that may wait.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use dispatcher_core::JobId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::acts::{self, Act, Acting, Done};
use super::answers::{Answer, Note, Times, batch_json, job_json, output_of};
use super::config::Settings;
use super::follow::follow;
use super::intake::{Intake, Letter};
use super::openapi::Facts;
use super::problem::Problem;
use super::routes::Route;
use super::twins::Twins;
use crate::client::{Gate, JobRecord, SERVED_EVERY};

/// Shortest and longest time between two looks at a job that is waited for.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Every copy is the same.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

struct Inner {
    gate: Gate,
    intake: Intake,
    twins: Twins,
    draining: AtomicBool,
}

impl Desk {
    pub(super) fn new(gate: Gate, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            gate,
            intake: Intake::new(settings),
            twins: Twins::default(),
            draining: AtomicBool::new(false),
        }))
    }

    /// Takes nothing new any more.
    pub(super) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// A signed message.
    pub(super) async fn post(
        &self,
        route: Route<'_>,
        prefix: &str,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        if self.is_draining() {
            return Err(Problem::later("draining", "nothing new is taken: it ends"));
        }
        let Some(act) = Act::of(route) else {
            return Err(Problem::not_found("there is nothing here"));
        };
        let name = route.name();
        let letter = self.0.intake.receive(&name, &parts.headers, body).await?;
        let sender = letter.sender.id.clone();
        let turn = self.0.twins.turn(&sender, &letter.id).await;
        let Some(_turn) = turn else {
            let detail = "the same message is being acted on";
            return Err(Problem::conflict("under-way", detail).after(1));
        };
        let letter = Arc::new(letter);
        let done = self.done(act, &letter, is_json(&parts.headers)).await?;
        let Done { note, jobs, times } = done;
        if let (Note::Job(told), [job, ..]) = (&note, &jobs[..])
            && told.waits
            && let Some(ended) = self.end_of(job.id).await?
        {
            let answer = Answer::ok(job_json(&ended, prefix));
            return Ok(answer.said(times).into_response());
        }
        let answer = Answer::of(&note, &jobs, prefix).said(times);
        Ok(answer.into_response())
    }

    /// Acts on a message, unless that was done before: then it has its answer, whatever would be
    /// answered to it today.
    ///
    /// The store looks for its receipt before it takes anything; so that most messages ask it
    /// once, it is asked before only where something else is done first.
    async fn done(&self, act: Act, letter: &Arc<Letter>, is_json: bool) -> Result<Done, Problem> {
        if act.does_more_than_store()
            && let Some(done) = self.before(letter).await?
        {
            return Ok(done);
        }
        match self.act(act, Arc::clone(letter), is_json).await {
            Ok(done) => Ok(done),
            Err(problem) => self.before(letter).await?.ok_or(problem),
        }
    }

    async fn act(&self, act: Act, letter: Arc<Letter>, is_json: bool) -> Result<Done, Problem> {
        if !is_json {
            let detail = "a body is application/json";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "media-type", detail));
        }
        let (gate, settings) = (self.0.gate.clone(), self.0.intake.settings().clone());
        let handed = blocking(move || {
            let acting = Acting {
                gate: &gate,
                letter: &letter,
                limits: &settings.limits,
                callbacks: &settings.callbacks,
            };
            acting.act(&act)
        });
        let handed = handed.await?;
        // Also if nobody waits for the answer any more: what was stored is to be served.
        let stored = tokio::spawn(async move {
            let (done, unserved) = handed.stored().await?;
            if let Some(unserved) = unserved {
                let serve = move || {
                    unserved.serve();
                    Ok(())
                };
                blocking(serve).await?;
            }
            Ok(done)
        });
        joined(stored).await
    }

    async fn before(&self, letter: &Arc<Letter>) -> Result<Option<Done>, Problem> {
        let (gate, letter) = (self.0.gate.clone(), Arc::clone(letter));
        blocking(move || before(&gate, &letter)).await
    }

    /// A look at something.
    pub(super) async fn get(
        &self,
        route: Route<'_>,
        prefix: &str,
        parts: &Parts,
    ) -> Result<Response<Body>, Problem> {
        if !matches!(route, Route::Alive | Route::Ready) {
            self.0.intake.may_read(&parts.headers)?;
        }
        let answer = match route {
            Route::Alive => Answer::ok(json!({ "status": "alive" })),
            Route::Ready => return self.ready().await,
            Route::Job(id) => Answer::ok(job_json(&self.job(id).await?, prefix)),
            Route::Output(id) => {
                let record = self.job(id).await?;
                let output = output_of(&record);
                let Some(output) = output else {
                    return Err(Problem::not_found("the job has stored no output"));
                };
                Answer::ok(json!({ "id": record.summary.id, "output": output }))
            }
            Route::OpenApi => Answer::ok(self.open_api(prefix)),
            Route::Batch(id) => {
                let (gate, id) = (self.0.gate.clone(), id.to_owned());
                let batch = blocking(move || acts::batch_record(&gate, &id)).await?;
                Answer::ok(batch_json(&batch, prefix))
            }
            Route::Log(id) if query(parts, "follow").is_some() => {
                return self.follow(id, parts).await;
            }
            Route::Log(id) => self.log(id, parts).await?,
            Route::Jobs
            | Route::Batches
            | Route::Dispatch
            | Route::DispatchBatch
            | Route::Cancel(_)
            | Route::Retry(_)
            | Route::CancelBatch(_) => return Err(Problem::not_found("there is nothing here")),
        };
        Ok(answer.into_response())
    }

    fn open_api(&self, prefix: &str) -> Value {
        let gate = &self.0.gate;
        Facts {
            title: gate.config().app(),
            registry: gate.registry(),
            queues: gate.known_queues(),
            limits: &self.0.intake.settings().limits,
            prefix,
        }
        .document()
    }

    async fn ready(&self) -> Result<Response<Body>, Problem> {
        if self.is_draining() {
            return Err(Problem::later("draining", "nothing new is taken: it ends"));
        }
        let gate = self.0.gate.clone();
        blocking(move || {
            gate.look().map_err(|error| {
                tracing::warn!(error = %crate::log::chain(&error), "the store cannot be read");
                Problem::later("store", "the store cannot be used at the moment")
            })
        })
        .await?;
        Ok(Answer::ok(json!({ "status": "ready" })).into_response())
    }

    async fn job(&self, id: &str) -> Result<JobRecord, Problem> {
        let id = job_id(id)?;
        let gate = self.0.gate.clone();
        blocking(move || acts::job_record(&gate, id)).await
    }

    async fn follow(&self, id: &str, parts: &Parts) -> Result<Response<Body>, Problem> {
        let record = self.job(id).await?;
        let attempt = wanted_attempt(&record, parts)?;
        let over = self.clone();
        Ok(follow(
            self.0.gate.clone(),
            record.summary.id,
            attempt,
            move || over.is_draining(),
        ))
    }

    async fn log(&self, id: &str, parts: &Parts) -> Result<Answer, Problem> {
        let record = self.job(id).await?;
        let wanted = wanted_attempt(&record, parts)?;
        let (gate, id) = (self.0.gate.clone(), record.summary.id);
        let capture = blocking(move || {
            let capture = gate.capture(id, wanted);
            capture.map_err(|error| Problem::of(&error, ""))
        })
        .await?;
        let stream = |stream: &crate::client::Stream| {
            json!({
                "head": String::from_utf8_lossy(&stream.head),
                "dropped": stream.dropped,
                "tail": String::from_utf8_lossy(&stream.tail),
            })
        };
        Ok(Answer::ok(json!({
            "id": id,
            "attempt": wanted,
            "stdout": stream(&capture.stdout),
            "stderr": stream(&capture.stderr),
        })))
    }

    /// A job at its end; `None` if that is too far away.
    async fn end_of(&self, job: JobId) -> Result<Option<JobRecord>, Problem> {
        let begun = Instant::now();
        let deadline = begun + self.0.intake.settings().limits.max_wait.duration();
        let (mut pause, mut served) = (LOOK_AGAIN.0, begun);
        loop {
            let gate = self.0.gate.clone();
            let ended = blocking(move || acts::end_of(&gate, job)).await?;
            if ended.is_some() || Instant::now() >= deadline || self.is_draining() {
                return Ok(ended);
            }
            if served.elapsed() >= SERVED_EVERY {
                let gate = self.0.gate.clone();
                blocking(move || acts::look_after(&gate, job)).await?;
                served = Instant::now();
            }
            sleep(pause.min(deadline - Instant::now())).await;
            pause = (pause * 3 / 2).min(LOOK_AGAIN.1);
        }
    }
}

/// Runs what waits for the store on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    joined(tokio::task::spawn_blocking(work)).await
}

async fn joined<T>(task: JoinHandle<Result<T, Problem>>) -> Result<T, Problem> {
    match task.await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => Err(Problem::failed()),
        // The runtime ends, and drops whoever waits here.
        Err(_) => pending().await,
    }
}

/// The attempt that is asked for; the last one if none is named.
fn wanted_attempt(record: &JobRecord, parts: &Parts) -> Result<u32, Problem> {
    let last = record.summary.counters.attempt;
    let Some(text) = query(parts, "attempt") else {
        return Ok(last);
    };
    match text.parse::<u32>() {
        Ok(attempt) if (1..=last).contains(&attempt) => Ok(attempt),
        Ok(_) | Err(_) => Err(Problem::not_found(format!("the job has {last} attempts"))),
    }
}

/// What was answered to the same message before.
fn before(gate: &Gate, letter: &Letter) -> Result<Option<Done>, Problem> {
    let receipt = gate.receipt(&letter.sender.id, &letter.id);
    let receipt = receipt.map_err(|error| Problem::of(&error, ""))?;
    let Some(receipt) = receipt else {
        return Ok(None);
    };
    if receipt.hash != letter.hash {
        return Err(Problem::other_message());
    }
    let note = serde_json::from_str(&receipt.note).map_err(|error| {
        tracing::error!(%error, "the receipt of a message cannot be read");
        Problem::failed()
    })?;
    Ok(Some(Done {
        note,
        jobs: receipt.jobs.into_iter().map(Into::into).collect(),
        times: Times::Again,
    }))
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("there is no such job"))
}

/// A parameter of the query, as it stands there.
fn query<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    let all = parts.uri.query()?.split('&');
    let pairs = all.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.map(|it| it.split(';').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}
