//! What messages of the Python package `dispatcherd` come to, whatever brought them.
//!
//! Messages are taken in their order. A task that was taken is stored durably; whatever cannot be
//! taken is counted and logged with its reason, and nothing else happens.

mod control;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dispatcher_core::Definition;

use self::control::Asked;
use super::{DispatchOptions, Dispatched, Fit, Host, Job, Twins};
use crate::client::SpawnError;
use crate::dispatcherd::{
    Assembler, Control, Dropped, Fitting, Json, Message, Piece, Task, open, payload_of,
    refused_payload, remember,
};
use crate::log;

/// Counters, as metrics name them.
const RECEIVED: &str = "received";
const CONTROL: &str = "control_commands";
const DROPPED: &str = "dropped_messages";
const REFUSED: &str = "refused_tasks";

/// The asker waits one second, however long a command takes.
const REPLY_WITHIN: Duration = Duration::from_millis(900);

/// Takes the messages of one source.
pub(super) struct Intake {
    host: Host,
    node: String,
    began: Instant,
    /// Messages so far; those without a name are called by it.
    received: AtomicU64,
    replies: AtomicU64,
    pieces: Mutex<Assembler>,
    /// Whether a task is one that did not come yet.
    is_new: Box<dyn Fn(&Json) -> bool + Send + Sync>,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) text: Result<String, Dropped>,
    /// Where it was sent to.
    pub(super) channel: String,
}

/// An answer to a control command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The channel that was asked for.
    pub(super) to: String,
    /// JSON in ASCII.
    pub(super) text: String,
    /// Unlike that of any other reply; pieces of it carry it.
    pub(super) id: String,
}

/// A task about to be stored.
struct Ready {
    job: Job,
    /// As it was sent.
    task: String,
    uuid: String,
}

impl Intake {
    /// A task that is not new is passed over.
    pub(super) fn new(
        host: &Host,
        node: Option<&str>,
        is_new: impl Fn(&Json) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            host: host.clone(),
            node: node.map_or_else(node_by_default, str::to_owned),
            began: Instant::now(),
            received: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            pieces: Mutex::default(),
            is_new: Box::new(is_new),
        }
    }

    /// Takes up what came in, in its order: when this is ready, tasks are stored and commands are
    /// done. Tasks that follow each other share a commit. The replies to each batch stand together.
    pub(super) async fn take(&self, batches: Vec<Vec<Arrival>>) -> Vec<Vec<Reply>> {
        let mut tasks = Vec::new();
        let mut answers = Vec::new();
        for batch in batches {
            let mut replies = Vec::new();
            for arrival in batch {
                match self.read(arrival) {
                    None => {}
                    Some(Message::Task(task)) if !(self.is_new)(&task.message) => {}
                    Some(Message::Task(task)) => tasks.extend(self.ready(&task)),
                    Some(Message::Control(control)) => {
                        self.store(std::mem::take(&mut tasks)).await;
                        replies.extend(self.obey(control).await);
                    }
                }
            }
            answers.push(replies);
        }
        self.store(tasks).await;
        answers
    }

    /// The message that is complete now, if there is one.
    fn read(&self, arrival: Arrival) -> Option<Message> {
        let message = match arrival.text.and_then(|text| open(&text)) {
            Ok(message) => message,
            Err(dropped) => return self.drop_message(&dropped),
        };
        let piece = self.pieces().take(message, self.began.elapsed());
        let message = match piece {
            Piece::Whole(message) | Piece::Completed(message) => message,
            Piece::Kept => return None,
            Piece::Refused(why) => return self.drop_message(&why),
        };
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        self.host.count(RECEIVED);
        match Message::of(message, Some(&arrival.channel), number) {
            Ok(message) => Some(message),
            Err(dropped) => self.drop_message(&dropped),
        }
    }

    fn drop_message(&self, why: &dyn std::fmt::Display) -> Option<Message> {
        self.host.count(DROPPED);
        tracing::warn!(source = self.host.name(), error = %why, "a message was dropped");
        None
    }

    /// The job of a task; none if its name leads to nothing.
    fn ready(&self, task: &Task) -> Option<Ready> {
        match self.prepare(task) {
            Ok(ready) => Some(ready),
            Err(error) => {
                self.refused(&task.name, &uuid_of(&task.message), &log::chain(&error));
                None
            }
        }
    }

    fn prepare(&self, task: &Task) -> Result<Ready, SpawnError> {
        let definition = self.host.dispatcher(&task.name)?;
        if task
            .message
            .get("on_duplicate")
            .is_some_and(|it| !it.is_false())
            && task.on_duplicate().is_none()
        {
            let (source, task) = (self.host.name(), &task.name);
            tracing::warn!(source, task, "`on_duplicate` is misspelt, and left alone");
        }
        let fitting = payload_of(definition, task)
            .and_then(|payload| Ok((payload, task.timeout()?, task.delay()?)));
        let noted = match fitting {
            Ok(_) => Fitting::Fits,
            Err(_) => Fitting::Misfits,
        };
        let origin = remember(&self.host.origin(), task, definition, noted);
        let mut options = DispatchOptions {
            on_duplicate: task.on_duplicate(),
            ..DispatchOptions::default()
        };
        let (payload, fit) = match fitting {
            Ok((payload, timeout, delay)) => {
                (options.timeout, options.delay) = (timeout, delay);
                let checked = (definition.check)(&payload, &mut (definition.options)());
                (payload, checked.map_or(Fit::Misfit, |()| Fit::Checked))
            }
            Err(misfit) => {
                let why = misfit.to_string();
                let payload = refused_payload(definition, &why);
                (
                    payload.ok_or_else(|| refusal(definition, why))?,
                    Fit::Misfit,
                )
            }
        };
        if fit == Fit::Misfit {
            // It fails at once, as often as it is tried.
            options = DispatchOptions {
                retries: Some(0),
                ..DispatchOptions::default()
            };
        }
        let job = Job {
            definition,
            payload,
            options,
            origin,
            fit,
            // As in the original: the later message says what it does.
            twins: Twins::Found,
        };
        Ok(Ready {
            job,
            task: task.name.clone(),
            uuid: uuid_of(&task.message),
        })
    }

    /// Stores tasks; what is refused is logged.
    async fn store(&self, tasks: Vec<Ready>) {
        if tasks.is_empty() {
            return;
        }
        let jobs: Vec<Job> = tasks.iter().map(|it| it.job.clone()).collect();
        let sent = self.host.send_all(jobs).await;
        for (task, sent) in tasks.iter().zip(sent) {
            match sent {
                Ok(sent) if sent.duplicate => {
                    let (source, task) = (self.host.name(), &task.task);
                    tracing::info!(source, task, job = %sent.id, "a duplicate was dropped");
                }
                Ok(_) => {}
                Err(error) => self.refused(&task.task, &task.uuid, &log::chain(&error)),
            }
        }
    }

    /// Stores one task, as the command `run` asks for it.
    async fn run(&self, message: Json) -> Result<Dispatched, String> {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        self.host.count(RECEIVED);
        let task = match Message::of(message, None, number).map_err(|it| it.to_string())? {
            Message::Task(task) => task,
            Message::Control(_) => return Err("`run` takes a task, no command".to_owned()),
        };
        let ready = self.prepare(&task).map_err(|it| log::chain(&it))?;
        let mut sent = self.host.send_all(vec![ready.job]).await;
        let sent = sent.pop().expect("invariant: one job has one answer");
        sent.map_err(|error| log::chain(&error))
    }

    fn refused(&self, task: &str, uuid: &str, error: &str) {
        self.host.count(REFUSED);
        let source = self.host.name();
        tracing::warn!(source, task, uuid, error, "a task was refused");
    }

    /// Does what a command says; the answer, if one is wanted.
    async fn obey(&self, control: Control) -> Option<Reply> {
        self.host.count(CONTROL);
        let asked = Asked {
            intake: self,
            command: &control.command,
            data: &control.data,
        };
        let answer = tokio::time::timeout(REPLY_WITHIN, asked.answer()).await;
        let mut answer = answer.unwrap_or_else(|_| {
            let late = format!("the service did not answer within {REPLY_WITHIN:?}");
            Json::object([("error", Json::text(late))])
        });
        answer.set("node_id", Json::text(self.node.as_str()));
        let number = self.replies.fetch_add(1, Ordering::Relaxed);
        let moment = self.began.elapsed().as_nanos();
        let (process, started) = (std::process::id(), self.host.unix_seconds());
        Some(Reply {
            to: control.reply_to?,
            text: answer.to_ascii(),
            id: format!("{process:x}-{started:x}-{moment:x}-{number:x}"),
        })
    }

    fn pieces(&self) -> MutexGuard<'_, Assembler> {
        // Every change is whole before the lock is let go of.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(definition: &Definition, reason: String) -> SpawnError {
    SpawnError::Payload(dispatcher_core::PayloadError {
        dispatcher: definition.name,
        reason,
    })
}

/// As a log shows it.
fn uuid_of(message: &Json) -> String {
    match message.get("uuid") {
        Some(Json::Text(uuid)) => uuid.clone(),
        Some(other) => other.to_ascii(),
        None => String::new(),
    }
}

/// Unlike that of any other service that runs at the same time.
fn node_by_default() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    format!("{host}-{}", std::process::id())
}
