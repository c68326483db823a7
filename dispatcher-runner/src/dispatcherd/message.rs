//! What a message asks for: a task, or a control command.
//!
//! A task that can be named is never dropped: what does not fit in it becomes a failed job.

use std::time::Duration;

use dispatcher_core::OnDuplicate;

use super::json::{Json, JsonError};
use super::payload::Mismatch;

/// Key of the name that our publisher gives to a message, unlike that of any other message.
#[cfg(feature = "pg_notify")]
pub(crate) const PUBLISHED_ID: &str = "published_id";
/// Longest channel to which PostgreSQL notifies.
const CHANNEL_BYTES_MAX: usize = 63;
/// Longest time that is taken for a timeout or a delay: a hundred years.
const SECONDS_MAX: f64 = 3_155_760_000.0;

/// A message that can be acted on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    Task(Task),
    Control(Control),
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    /// The whole message, with `uuid` and `channel`.
    pub(crate) message: Json,
    /// The name as it was sent.
    pub(crate) name: String,
}

/// A control command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Control {
    pub(crate) command: String,
    /// Where the reply goes; nobody wants one without it.
    pub(crate) reply_to: Option<String>,
    /// An object, unless the sender is mistaken.
    pub(crate) data: Json,
}

/// Why a message was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Dropped {
    #[cfg(feature = "socket")]
    #[error("the message is not UTF-8")]
    NoText,
    #[cfg(feature = "socket")]
    #[error("the message has more than {0} bytes")]
    TooLong(usize),
    #[error("the message is {0}")]
    TooDeep(JsonError),
    #[error("the message is JSON, but no object")]
    NoObject,
    #[error("the message has neither `task` nor `control`")]
    NoTask,
    #[error("`task` is no text")]
    TaskIsNoText,
    #[error("`task` is a lambda: nothing is ever evaluated here")]
    Lambda,
    #[error("`control` is no text")]
    ControlIsNoText,
}

/// The object that a text stands for. What is no JSON is the bare name of a task.
pub(crate) fn open(text: &str) -> Result<Json, Dropped> {
    match Json::read(text) {
        Ok(message @ Json::Object(_)) => Ok(message),
        Ok(
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Odd(_),
        ) => Err(Dropped::NoObject),
        Err(error @ JsonError::TooDeep) => Err(Dropped::TooDeep(error)),
        Err(JsonError::Syntax(_)) => Ok(Json::object([("task", Json::text(text))])),
    }
}

impl Message {
    /// What an object asks for. `number` counts messages: one without a `uuid` is called by it.
    pub(crate) fn of(
        mut message: Json,
        channel: Option<&str>,
        number: u64,
    ) -> Result<Self, Dropped> {
        if let Some(control) = message.get("control") {
            let Some(command) = control.as_str() else {
                return Err(Dropped::ControlIsNoText);
            };
            return Ok(Self::Control(Control {
                command: command.to_owned(),
                reply_to: message.get("reply_to").and_then(channel_of),
                data: match message.get("control_data") {
                    None | Some(Json::Null) => Json::empty(),
                    Some(data) => data.clone(),
                },
            }));
        }
        let name = match message.get("task") {
            None => return Err(Dropped::NoTask),
            Some(Json::Text(name)) => name.clone(),
            Some(_) => return Err(Dropped::TaskIsNoText),
        };
        if name.trim_start().starts_with("lambda") {
            return Err(Dropped::Lambda);
        }
        if message.get("uuid").is_none() {
            message.set("uuid", Json::text(format!("internal-{number}")));
        }
        if let Some(channel) = channel {
            message.set("channel", Json::text(channel));
        }
        Ok(Self::Task(Task { message, name }))
    }
}

/// A name that PostgreSQL takes for a channel.
fn channel_of(reply_to: &Json) -> Option<String> {
    let channel = reply_to.as_str()?;
    let fits = (1..=CHANNEL_BYTES_MAX).contains(&channel.len()) && !channel.contains('\0');
    fits.then(|| channel.to_owned())
}

impl Task {
    /// Positional arguments.
    pub(crate) fn args(&self) -> Result<&[Json], Mismatch> {
        match self.message.get("args") {
            None | Some(Json::Null) => Ok(&[]),
            Some(Json::List(args)) => Ok(args),
            Some(_) => Err(Mismatch::ArgsIsNoList),
        }
    }

    /// Arguments by name.
    pub(crate) fn kwargs(&self) -> Result<&[(String, Json)], Mismatch> {
        match self.message.get("kwargs") {
            None | Some(Json::Null) => Ok(&[]),
            Some(Json::Object(kwargs)) => Ok(kwargs),
            Some(_) => Err(Mismatch::KwargsIsNoObject),
        }
    }

    /// Run time of one attempt, if the message limits it.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Mismatch> {
        self.seconds("timeout")
    }

    /// Waiting time, if the message has one.
    pub(crate) fn delay(&self) -> Result<Option<Duration>, Mismatch> {
        self.seconds("delay")
    }

    /// Python takes zero for none.
    fn seconds(&self, key: &'static str) -> Result<Option<Duration>, Mismatch> {
        let Some(value) = self.message.get(key) else {
            return Ok(None);
        };
        if value.is_false() {
            return Ok(None);
        }
        let seconds = value.as_f64().filter(|it| it.is_finite() && *it >= 0.0);
        let seconds = seconds.ok_or(Mismatch::NoTime(key))?;
        Ok(Some(Duration::from_secs_f64(seconds.min(SECONDS_MAX))))
    }

    /// What becomes of it beside an unfinished one like it; none of ours if it is misspelt.
    pub(crate) fn on_duplicate(&self) -> Option<OnDuplicate> {
        let word = self.message.get("on_duplicate")?.as_str()?;
        OnDuplicate::ALL
            .iter()
            .copied()
            .find(|it| it.as_str() == word)
    }
}
