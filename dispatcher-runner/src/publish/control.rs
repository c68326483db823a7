//! Control commands, and the replies to them.
//!
//! Whoever asks waits no longer than it says, and gets the replies that came by then.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{PublishError, Way, json, socket};
use crate::config::Config;
use crate::dispatcherd::{Assembler, Json, Piece};
use crate::ids;

/// Sends control commands to services.
///
/// ```no_run
/// use std::time::Duration;
/// use dispatcher_runner::Control;
///
/// let control = Control::socket("/run/app/messages.sock");
/// for reply in control.request("running", (), 1, Duration::from_secs(1))? {
///     println!("{reply}");
/// }
/// # Ok::<(), dispatcher_runner::PublishError>(())
/// ```
#[derive(Debug)]
pub struct Control {
    way: Way,
}

impl Control {
    /// Over the socket of a service.
    #[must_use]
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self {
            way: Way::Socket(path.into()),
        }
    }

    /// Over a channel of PostgreSQL: every service that listens to it is asked.
    ///
    /// # Errors
    /// When `conninfo` (key=value or a URL) cannot be read, or the channel cannot have its name.
    #[cfg(feature = "pg_notify")]
    pub fn postgres(conninfo: &str, channel: &str) -> Result<Self, PublishError> {
        let channels = vec![channel.to_owned()];
        let default = Some(channel.to_owned());
        let office = super::postgres::Office::new(conninfo, channels, default)?;
        Ok(Self {
            way: Way::Postgres(office),
        })
    }

    /// As the sources of a service are configured; `source` names one of them where there are two.
    ///
    /// # Errors
    /// When it is not there, or something in it does not fit.
    pub fn from_config(config: &Config, source: Option<&str>) -> Result<Self, PublishError> {
        let way = Way::configured(config, source)?;
        Ok(Self { way })
    }

    /// Sends a command that nobody shall answer.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, command: &str, data: impl Serialize) -> Result<(), PublishError> {
        let message = message(command, data, None)?;
        let channel = self.way.default_channel(None)?;
        self.way.send(channel.as_deref(), &message)
    }

    /// Sends a command and waits for replies: until there are as many as expected, or the time is
    /// over. The original gives a service one second.
    ///
    /// # Errors
    /// When it cannot be sent; no reply is none.
    pub fn request(
        &self,
        command: &str,
        data: impl Serialize,
        expected: usize,
        within: Duration,
    ) -> Result<Vec<Value>, PublishError> {
        let reply_to = format!("reply_to_{}", ids::random_uuid().replace('-', "_"));
        let message = message(command, data, Some(&reply_to))?;
        let mut replies = Replies::new(expected);
        match &self.way {
            Way::Socket(path) => socket::request(path, &message, &mut replies, within)?,
            #[cfg(feature = "pg_notify")]
            Way::Postgres(office) => {
                let channel = office.channel(None)?;
                let heard = office.request(channel, message, reply_to, replies, within)?;
                return Ok(heard.map_or_else(Vec::new, |replies| replies.values));
            }
        }
        Ok(replies.values)
    }
}

fn message(
    command: &str,
    data: impl Serialize,
    reply_to: Option<&str>,
) -> Result<String, PublishError> {
    let mut message = Json::object([("control", Json::text(command))]);
    if let Some(reply_to) = reply_to {
        message.set("reply_to", Json::text(reply_to));
    }
    let data = json(data)?;
    if data != Json::Null {
        message.set("control_data", data);
    }
    Ok(message.to_ascii())
}

/// Replies as they come, whole or in pieces.
pub(super) struct Replies {
    expected: usize,
    pieces: Assembler,
    values: Vec<Value>,
}

impl Replies {
    fn new(expected: usize) -> Self {
        Self {
            expected,
            pieces: Assembler::default(),
            values: Vec::new(),
        }
    }

    /// Whether all have come.
    pub(super) fn are_complete(&self) -> bool {
        self.values.len() >= self.expected
    }

    pub(super) fn take(&mut self, text: &str) {
        let Ok(message) = Json::read(text) else {
            return;
        };
        // Nobody waits long enough for pieces to grow old.
        let (Piece::Whole(reply) | Piece::Completed(reply)) =
            self.pieces.take(message, Duration::ZERO)
        else {
            return;
        };
        let value = serde_json::from_str(&reply.to_ascii());
        self.values.extend(value.ok());
    }
}
