//! What a message does once its signature holds and no other had its id.
//!
//! Everything is checked before anything is written; what is written comes with its receipt.

use std::collections::BTreeMap;

use dispatcher_core::{Definition, JobId, JobState};
use serde_json::json;

use super::answers::{Note, Times, Told};
use super::config::{Key, Limits};
use super::intake::Letter;
use super::laravel;
use super::orders::{BatchOrder, JobOrder, check_action};
use super::problem::{Misfit, Problem};
use super::remote::Target;
use super::routes::Route;
use crate::client::{
    Accepting, BatchRecord, BatchRequest, CancelReply, Gate, Group, JobRecord, NewCallback,
    NewReceipt, Refused, Request, Sent, SpawnError, Unserved,
};

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Job,
    Batch,
    /// In the shapes of the Laravel package.
    Dispatch,
    DispatchBatch,
    Cancel(String),
    Retry(String),
    CancelBatch(String),
}

/// What was done, now or before.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) note: Note,
    pub(super) jobs: Vec<Sent>,
    pub(super) times: Times,
}

impl Act {
    /// Whether it does something before anything is handed to the store, which would tell a message
    /// that has been acted on before from another one with its id.
    pub(super) fn does_more_than_store(&self) -> bool {
        match self {
            Self::Job | Self::Batch | Self::Dispatch | Self::DispatchBatch => false,
            Self::Cancel(_) | Self::Retry(_) | Self::CancelBatch(_) => true,
        }
    }

    /// What a message to the route asks for.
    pub(super) fn of(route: Route<'_>) -> Option<Self> {
        Some(match route {
            Route::Jobs => Self::Job,
            Route::Batches => Self::Batch,
            Route::Cancel(id) => Self::Cancel(id.to_owned()),
            Route::Retry(id) => Self::Retry(id.to_owned()),
            Route::CancelBatch(id) => Self::CancelBatch(id.to_owned()),
            Route::Dispatch => Self::Dispatch,
            Route::DispatchBatch => Self::DispatchBatch,
            Route::Job(_)
            | Route::Output(_)
            | Route::Log(_)
            | Route::Batch(_)
            | Route::OpenApi
            | Route::Alive
            | Route::Ready => return None,
        })
    }
}

/// What was handed to the store, and what is told if it takes it.
pub(super) struct Handed {
    note: Note,
    accepting: Accepting,
}

impl Handed {
    /// Ready when it is durable.
    pub(super) async fn stored(self) -> Result<(Done, Option<Unserved>), Problem> {
        let Self { note, accepting } = self;
        let stored = accepting.stored().await;
        let (passed, unserved) = stored.map_err(|refused| Problem::refused(&refused, ""))?;
        let jobs = passed.jobs;
        let done = match passed.replay_of {
            None => Done {
                note,
                jobs,
                times: Times::First,
            },
            Some(before) => Done {
                note: serde_json::from_str(&before).map_err(|_| Problem::failed())?,
                jobs,
                times: Times::Again,
            },
        };
        Ok((done, unserved))
    }
}

/// One message being acted on.
pub(super) struct Acting<'a> {
    pub(super) gate: &'a Gate,
    pub(super) letter: &'a Letter,
    pub(super) limits: &'a Limits,
    pub(super) callbacks: &'a [(String, Target)],
}

impl Acting<'_> {
    pub(super) fn act(&self, act: &Act) -> Result<Handed, Problem> {
        match act {
            Act::Job => self.send(JobOrder::read(&self.letter.body, self.limits.json_depth)?),
            Act::Batch => {
                let Limits {
                    json_depth,
                    batch_jobs,
                    ..
                } = *self.limits;
                let order = BatchOrder::read(&self.letter.body, json_depth, batch_jobs)?;
                self.send_all(order)
            }
            Act::Dispatch => self.send(laravel::job(&self.letter.body, self.limits.json_depth)?),
            Act::DispatchBatch => {
                let (depth, jobs) = (self.limits.json_depth, self.limits.batch_jobs);
                self.send_all(laravel::batch(&self.letter.body, depth, jobs)?)
            }
            Act::Cancel(id) => self.cancel(id),
            Act::Retry(id) => self.retry(id),
            Act::CancelBatch(id) => self.cancel_batch(id),
        }
    }

    fn key(&self) -> &Key {
        &self.letter.sender
    }

    fn origin(&self) -> String {
        format!("http, key {}", self.key().id)
    }

    fn send(&self, order: JobOrder) -> Result<Handed, Problem> {
        let waits = !order.is_async;
        let callbacks = self.callback(0, &order);
        let request = self.request(order, None, "")?;
        let note = Note::Job(Told {
            job: request.definition.name.to_owned(),
            queue: request.options.queue.clone(),
            waits,
        });
        let group = Group {
            requests: vec![request],
            callbacks,
            batch: None,
        };
        self.accept(group, note)
    }

    fn callback(&self, job: usize, order: &JobOrder) -> Vec<NewCallback> {
        let url = order.callback_url.iter();
        let callbacks = url.map(|url| NewCallback {
            job,
            url: url.clone(),
            sender: self.key().id.clone(),
        });
        callbacks.collect()
    }

    fn send_all(&self, order: BatchOrder) -> Result<Handed, Problem> {
        let mut requests = Vec::with_capacity(order.jobs.len());
        let mut misfits = Vec::new();
        if let Some(id) = &order.id
            && !is_batch_id(id)
        {
            misfits.push(Misfit {
                pointer: "/id".to_owned(),
                detail: "takes 1 to 128 letters, digits, `-`, `_`, `.` and `:`".to_owned(),
            });
        }
        let mut on_finished = None;
        if let Some(finisher) = order.on_finished {
            if !order.should_batch {
                let detail = "without a batch nothing finishes: leave it out, or `should_batch`";
                return Err(Problem::misfit("/on_finished", detail));
            }
            match self.request(finisher, order.queue.as_deref(), "/on_finished") {
                Ok(request) => on_finished = Some(request),
                Err(problem) => misfits.extend(problem.into_misfits()?),
            }
        }
        let mut callbacks = Vec::new();
        for (at, job) in order.jobs.into_iter().enumerate() {
            callbacks.append(&mut self.callback(at, &job));
            match self.request(job, order.queue.as_deref(), &format!("/jobs/{at}")) {
                Ok(request) => requests.push(request),
                Err(problem) => misfits.extend(problem.into_misfits()?),
            }
        }
        if !misfits.is_empty() {
            return Err(Problem::misfits(misfits));
        }
        self.check_room(&requests)?;
        let id = order
            .id
            .unwrap_or_else(|| crate::ids::new_job_id().to_string());
        if !order.should_batch {
            let group = Group {
                requests,
                callbacks,
                batch: None,
            };
            return self.accept(group, Note::Jobs { id });
        }
        let note = Note::Batch { id: id.clone() };
        let group = Group {
            requests,
            callbacks,
            batch: Some(BatchRequest { id, on_finished }),
        };
        self.accept(group, note)
    }

    /// A batch that cannot fit into an empty queue never will.
    fn check_room(&self, requests: &[Request]) -> Result<(), Problem> {
        let mut counts: BTreeMap<&str, (usize, &'static Definition)> = BTreeMap::new();
        for request in requests {
            let name = request.definition.name;
            counts.entry(name).or_insert((0, request.definition)).0 += 1;
        }
        let misfits = counts
            .into_iter()
            .filter_map(|(name, (count, definition))| {
                let max_queue = self.gate.max_queue(definition);
                let fits = max_queue == 0 || count <= max_queue as usize;
                (!fits).then(|| Misfit {
                    pointer: "/jobs".to_owned(),
                    detail: format!(
                        "{count} jobs of {name} never fit into its queue (max_queue = {max_queue})"
                    ),
                })
            });
        let misfits: Vec<_> = misfits.collect();
        if misfits.is_empty() {
            return Ok(());
        }
        Err(Problem::misfits(misfits))
    }

    /// A job that may be stored, as far as can be seen before.
    fn request(
        &self,
        order: JobOrder,
        queue: Option<&str>,
        pointer: &str,
    ) -> Result<Request, Problem> {
        let refused = |error: &SpawnError| Problem::of(error, pointer);
        let definition = match self.gate.registry().resolve(&order.job) {
            Ok(definition) if self.key().may(definition.name) => definition,
            // Who may not everything does not learn what else there is.
            Ok(_) => return Err(self.may_not(&order.job)),
            Err(_) if !self.key().may_all() => return Err(self.may_not(&order.job)),
            Err(unknown) => return Err(refused(&unknown.into())),
        };
        self.check_callback(order.callback_url.as_deref(), pointer)?;
        let mut wishes = order.wishes;
        wishes.queue = wishes.queue.or_else(|| queue.map(str::to_owned));
        let change = |options: &mut _| wishes.apply(options);
        let request = self
            .gate
            .request(definition, order.payload, change, self.origin());
        let request = request.map_err(|error| refused(&error))?;
        let queue = &request.options.queue;
        if !self.key().may_into(queue) {
            let detail = format!(
                "the key `{}` may not send into the queue `{queue}`",
                self.key().id
            );
            return Err(Problem::forbidden(detail));
        }
        Ok(request)
    }

    /// No request goes anywhere by a sender's wish alone.
    fn check_callback(&self, url: Option<&str>, pointer: &str) -> Result<(), Problem> {
        let is_known = |url: &str| self.callbacks.iter().any(|(known, _)| known == url);
        if url.is_none_or(is_known) {
            return Ok(());
        }
        let detail = "no callback may go there";
        Err(Problem::misfit(format!("{pointer}/callback_url"), detail))
    }

    fn may_not(&self, job: &str) -> Problem {
        Problem::forbidden(format!("the key `{}` may not send `{job}`", self.key().id))
    }

    fn cancel(&self, id: &str) -> Result<Handed, Problem> {
        let job = self.own(id)?.summary.id;
        check_action(&self.letter.body, self.limits.json_depth, "cancel", id)?;
        let reply = self.gate.cancel(job, self.origin());
        let reply = reply.map_err(|error| Problem::of(&error, ""))?;
        let status = match reply {
            CancelReply::Cancelled | CancelReply::Ended(JobState::Cancelled) => "cancelled",
            CancelReply::Stopping(_) => "stopping",
            CancelReply::Ended(state) => {
                return Err(Problem::conflict(
                    "ended",
                    format!("the job had {state} before"),
                ));
            }
            CancelReply::Unknown => return Err(Problem::not_found("there is no such job")),
        };
        let note = Note::Done {
            status: 200,
            body: json!({ "id": job, "status": status }),
        };
        self.accept(Group::default(), note)
    }

    fn cancel_batch(&self, id: &str) -> Result<Handed, Problem> {
        let batch = batch_record(self.gate, id)?;
        check_action(&self.letter.body, self.limits.json_depth, "cancel", id)?;
        let mut jobs = Vec::with_capacity(batch.jobs.len());
        for job in batch.jobs {
            let record = self.gate.job(job);
            // One that was pruned has ended.
            if let Some(record) = record.map_err(|error| Problem::of(&error, ""))? {
                self.check_own(&record)?;
                jobs.push(job);
            }
        }
        let replies = self.gate.cancel_all(jobs, self.origin());
        let replies = replies.map_err(|error| Problem::of(&error, ""))?;
        let count = |is: fn(&CancelReply) -> bool| replies.iter().filter(|it| is(it)).count();
        let body = json!({
            "id": batch.id,
            "status": "cancelled",
            "cancelled": count(|reply| matches!(reply, CancelReply::Cancelled)),
            "stopping": count(|reply| matches!(reply, CancelReply::Stopping(_))),
        });
        self.accept(Group::default(), Note::Done { status: 200, body })
    }

    fn retry(&self, id: &str) -> Result<Handed, Problem> {
        let record = self.own(id)?;
        check_action(&self.letter.body, self.limits.json_depth, "retry", id)?;
        let state = record.summary.state;
        if !state.is_terminal() {
            let detail = format!("the job is still {state}: cancel it first, or wait");
            return Err(Problem::conflict("unfinished", detail));
        }
        let request = self.gate.again(&record, self.origin());
        let request = request.map_err(|error| Problem::of(&error, ""))?;
        let note = Note::Retry {
            job: record.summary.dispatcher,
            of: record.summary.id,
        };
        self.accept(Group::of(request), note)
    }

    /// A job that the sender may do something with.
    fn own(&self, id: &str) -> Result<JobRecord, Problem> {
        let job = id
            .parse()
            .map_err(|_| Problem::not_found("there is no such job"))?;
        let record = job_record(self.gate, job)?;
        self.check_own(&record)?;
        Ok(record)
    }

    fn check_own(&self, record: &JobRecord) -> Result<(), Problem> {
        let name = &record.summary.dispatcher;
        let queue = &record.summary.queue;
        if !self.key().may(name) || !self.key().may_into(queue) {
            return Err(self.may_not(name));
        }
        Ok(())
    }

    fn accept(&self, group: Group, note: Note) -> Result<Handed, Problem> {
        let text = serde_json::to_string(&note).map_err(|error| {
            tracing::error!(%error, "a note cannot be written");
            Problem::failed()
        })?;
        let receipt = NewReceipt {
            sender: self.key().id.clone(),
            id: self.letter.id.clone(),
            hash: self.letter.hash,
            note: text,
            keep: self.limits.replay_age.duration(),
            count_max: self.limits.replay_count,
        };
        let accepting = self.gate.accept(group, receipt);
        let accepting = accepting.map_err(|refused: Refused| Problem::refused(&refused, ""))?;
        Ok(Handed { note, accepting })
    }
}

/// A job, if there is one.
pub(super) fn job_record(gate: &Gate, job: JobId) -> Result<JobRecord, Problem> {
    let record = gate.job(job).map_err(|error| Problem::of(&error, ""))?;
    record.ok_or_else(|| Problem::not_found("there is no such job"))
}

/// A batch, if there is one.
pub(super) fn batch_record(gate: &Gate, id: &str) -> Result<BatchRecord, Problem> {
    let batch = gate.batch(id).map_err(|error| Problem::of(&error, ""))?;
    batch.ok_or_else(|| Problem::not_found("there is no such batch"))
}

/// Whether it can name a batch, in a path as well.
fn is_batch_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

/// A job, if it has ended.
pub(super) fn end_of(gate: &Gate, job: JobId) -> Result<Option<JobRecord>, Problem> {
    let state = gate.state(job).map_err(|error| Problem::of(&error, ""))?;
    match state {
        Some(state) if state.is_terminal() => job_record(gate, job).map(Some),
        Some(_) => Ok(None),
        None => Err(Problem::not_found("the job was pruned")),
    }
}

/// Who waits for a job sees to it that somebody runs it.
pub(super) fn look_after(gate: &Gate, job: JobId) -> Result<(), Problem> {
    let job = job_record(gate, job)?.summary;
    gate.keep_served(&job.dispatcher, &job.queue);
    Ok(())
}
