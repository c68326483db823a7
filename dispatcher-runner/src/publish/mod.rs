//! The other side of the wire: publishes tasks and sends control commands to whatever speaks it, an
//! unmodified Python service or one of ours.
//!
//! A publisher says what it sends and hears nothing back: a message that was sent is not a job yet.
//! Over PostgreSQL it is kept for a day for a service of ours that is away, once one has listened
//! there; a Python service has to be there. What must not be lost anywhere is sent as a job
//! ([`Dispatch`](crate::Dispatch)), or asked for with an answer ([`Control`], command `run`).

mod control;
#[cfg(feature = "pg_notify")]
mod postgres;
mod socket;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::{Dispatcher, OnDuplicate, Options, Registry};
use serde::Serialize;

use crate::config::Config;
use crate::dispatcherd::Json;
use crate::ids;

pub use control::Control;

/// Label of jobs that say nothing about their queue.
#[cfg(feature = "pg_notify")]
const ANY_QUEUE: &str = "default";

/// Publishes tasks.
///
/// ```no_run
/// use dispatcher_runner::{PublishOptions, Publisher};
///
/// // A function of a Python service, and what it is called with.
/// let publisher = Publisher::socket("/run/app/messages.sock");
/// let sent = publisher.submit("os.mkdir", ["/tmp/new"], (), &PublishOptions::default())?;
/// println!("sent as {}", sent.uuid);
/// # Ok::<(), dispatcher_runner::PublishError>(())
/// ```
#[derive(Debug)]
pub struct Publisher {
    way: Way,
}

/// How messages get there.
#[derive(Debug)]
enum Way {
    Socket(PathBuf),
    #[cfg(feature = "pg_notify")]
    Postgres(postgres::Office),
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What the task is called, by which it can be found and cancelled.
    pub uuid: String,
    /// The channel that it was sent to; `None` over a socket.
    pub channel: Option<String>,
}

/// What a message says besides its task and arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PublishOptions {
    /// What the task is called; a random one if it is not said.
    pub uuid: Option<String>,
    /// The channel, instead of that of the job's queue or the default one.
    pub channel: Option<String>,
    /// Longest run time.
    pub timeout: Option<Duration>,
    /// Waiting time before it may start.
    pub delay: Option<Duration>,
    /// What happens to it beside an unfinished one with the same arguments.
    pub on_duplicate: Option<OnDuplicate>,
    /// An id that goes through everything that belongs together.
    pub guid: Option<String>,
}

/// A message was not sent, or not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Neither `[sources.socket]` nor `[sources.pg_notify]` says where to.
    #[error("the configuration has neither [sources.socket] nor [sources.pg_notify]")]
    NoSection,
    /// Something in the section does not fit.
    #[error("{0}")]
    Section(String),
    /// No channel was named, and there is no default one.
    #[error("no channel was named, and `default_publish_channel` is not set")]
    NoChannel,
    /// A dispatcher's queue is none of the channels.
    #[error("the queue `{queue}` of {dispatcher} is none of the channels {channels:?}")]
    UnknownChannel {
        /// Name of the dispatcher.
        dispatcher: String,
        /// Its queue.
        queue: String,
        /// What is configured.
        channels: Vec<String>,
    },
    /// The arguments are no list, no object, or no JSON.
    #[error("{0}")]
    Arguments(String),
    /// The socket cannot be used.
    #[error("the socket {} cannot be used", path.display())]
    Socket {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// PostgreSQL cannot be used.
    #[error("PostgreSQL cannot be used")]
    Postgres(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Publisher {
    /// Over the socket of a service.
    #[must_use]
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self {
            way: Way::Socket(path.into()),
        }
    }

    /// Over PostgreSQL. The first of `channels` is the default one.
    ///
    /// # Errors
    /// When `conninfo` (key=value or a URL) cannot be read, or a channel cannot have its name.
    #[cfg(feature = "pg_notify")]
    pub fn postgres<C: Into<String>>(
        conninfo: &str,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<Self, PublishError> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        let default = channels.first().cloned();
        let office = postgres::Office::new(conninfo, channels, default)?;
        Ok(Self {
            way: Way::Postgres(office),
        })
    }

    /// As the sources of a service are configured: `[sources.pg_notify]`, or `[sources.socket]`
    /// without it.
    ///
    /// # Errors
    /// When neither is there or something in it does not fit; and when a dispatcher of the program
    /// has a queue that is none of the channels.
    pub fn from_config(config: &Config, registry: &Registry) -> Result<Self, PublishError> {
        let way = Way::configured(config, None)?;
        for definition in registry.iter() {
            let mut options = (definition.options)();
            let mut shared = (definition.dispatcher_options)();
            config.apply(definition.name, &mut options, &mut shared);
            way.channel(&options, definition.name)?;
        }
        Ok(Self { way })
    }

    /// Publishes a job: its dispatcher's name, and its fields by name.
    ///
    /// # Errors
    /// When it cannot be written as JSON, or not be sent.
    pub fn delay<T: Dispatcher>(&self, job: &T) -> Result<Published, PublishError> {
        let payload = json(job)?;
        let (args, kwargs) = match payload {
            fields @ Json::Object(_) => (Json::List(Vec::new()), fields),
            places @ Json::List(_) => (places, Json::empty()),
            Json::Null => (Json::List(Vec::new()), Json::empty()),
            one => (Json::List(vec![one]), Json::empty()),
        };
        self.publish_for::<T>(args, kwargs, &PublishOptions::default())
    }

    /// Publishes a task of a dispatcher with these arguments: a list or tuple, and an object; `()`
    /// for none.
    ///
    /// # Errors
    /// When they are something else, or cannot be sent.
    pub fn apply_async<T: Dispatcher>(
        &self,
        args: impl Serialize,
        kwargs: impl Serialize,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        self.publish_for::<T>(list(args)?, object(kwargs)?, options)
    }

    /// Publishes a task by its name, which the other side must know: of a Python service any
    /// function that it can import.
    ///
    /// # Errors
    /// When the arguments do not fit, or it cannot be sent.
    pub fn submit(
        &self,
        name: &str,
        args: impl Serialize,
        kwargs: impl Serialize,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        let channel = self.way.default_channel(options.channel.as_deref())?;
        self.publish(name, list(args)?, object(kwargs)?, options, channel)
    }

    fn publish_for<T: Dispatcher>(
        &self,
        args: Json,
        kwargs: Json,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        let definition = T::definition();
        let channel = match &options.channel {
            Some(channel) => self.way.default_channel(Some(channel))?,
            None => self.way.channel(&(definition.options)(), definition.name)?,
        };
        self.publish(definition.name, args, kwargs, options, channel)
    }

    fn publish(
        &self,
        name: &str,
        args: Json,
        kwargs: Json,
        options: &PublishOptions,
        channel: Option<String>,
    ) -> Result<Published, PublishError> {
        let uuid = options.uuid.clone().unwrap_or_else(ids::random_uuid);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut message = Json::object([
            ("task", Json::text(name)),
            ("uuid", Json::text(uuid.as_str())),
            ("time_pub", now.unwrap_or_default().as_secs_f64().into()),
        ]);
        let text = |text: &String| Json::text(text.as_str());
        let seconds = |time: Duration| Json::from(time.as_secs_f64());
        let policy = options.on_duplicate.map(|it| Json::text(it.as_str()));
        let said = [
            ("args", Some(args).filter(|it| !it.is_false())),
            ("kwargs", Some(kwargs).filter(|it| !it.is_false())),
            ("timeout", options.timeout.map(seconds)),
            ("delay", options.delay.map(seconds)),
            ("on_duplicate", policy),
            ("guid", options.guid.as_ref().map(text)),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                message.set(key, value);
            }
        }
        self.way.publish(channel.as_deref(), message)?;
        Ok(Published { uuid, channel })
    }
}

impl Way {
    /// The one that a configuration has: of this source, if it is named.
    fn configured(config: &Config, source: Option<&str>) -> Result<Self, PublishError> {
        let wanted = |name: &str| {
            let section = config.source(name)?;
            source
                .is_none_or(|source| source == name)
                .then(|| section.table())
        };
        #[cfg(feature = "pg_notify")]
        if let Some(table) = wanted("pg_notify") {
            return Ok(Self::Postgres(postgres::Office::configured(table)?));
        }
        if let Some(table) = wanted("socket") {
            let path = table.get("path").and_then(|path| path.as_str());
            let missing = || PublishError::Section("[sources.socket] has no `path`".to_owned());
            return Ok(Self::Socket(path.ok_or_else(missing)?.into()));
        }
        Err(PublishError::NoSection)
    }

    /// The channel of a job with these options.
    fn channel(&self, options: &Options, dispatcher: &str) -> Result<Option<String>, PublishError> {
        match self {
            Self::Socket(_) => {
                // The socket has no channels.
                let _ = (options, dispatcher);
                Ok(None)
            }
            #[cfg(feature = "pg_notify")]
            Self::Postgres(_) if options.queue == ANY_QUEUE => self.default_channel(None),
            #[cfg(feature = "pg_notify")]
            Self::Postgres(office) if office.has(&options.queue) => Ok(Some(options.queue.clone())),
            #[cfg(feature = "pg_notify")]
            Self::Postgres(office) => Err(PublishError::UnknownChannel {
                dispatcher: dispatcher.to_owned(),
                queue: options.queue.clone(),
                channels: office.channels().to_vec(),
            }),
        }
    }

    /// The channel that is named, or the default one.
    fn default_channel(&self, named: Option<&str>) -> Result<Option<String>, PublishError> {
        match self {
            Self::Socket(_) => {
                let _ = named;
                Ok(None)
            }
            #[cfg(feature = "pg_notify")]
            Self::Postgres(office) => office.channel(named).map(Some),
        }
    }

    /// Sends a task.
    fn publish(&self, channel: Option<&str>, message: Json) -> Result<(), PublishError> {
        match self {
            Self::Socket(path) => {
                let _ = channel;
                socket::send(path, &message.to_ascii())
            }
            #[cfg(feature = "pg_notify")]
            Self::Postgres(office) => office.publish(channel.unwrap_or_default(), message),
        }
    }

    /// Sends a command that nobody answers.
    fn send(&self, channel: Option<&str>, text: &str) -> Result<(), PublishError> {
        match self {
            Self::Socket(path) => {
                let _ = channel;
                socket::send(path, text)
            }
            #[cfg(feature = "pg_notify")]
            Self::Postgres(office) => office.send(channel.unwrap_or_default(), text),
        }
    }
}

/// A value as it goes over the wire.
fn json(value: impl Serialize) -> Result<Json, PublishError> {
    let text = serde_json::to_string(&value);
    let text = text.map_err(|error| PublishError::Arguments(error.to_string()))?;
    Json::read(&text).map_err(|error| PublishError::Arguments(error.to_string()))
}

fn list(args: impl Serialize) -> Result<Json, PublishError> {
    match json(args)? {
        args @ Json::List(_) => Ok(args),
        Json::Null => Ok(Json::List(Vec::new())),
        Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) | Json::Odd(_) => {
            Err(PublishError::Arguments("`args` is no list".to_owned()))
        }
    }
}

fn object(kwargs: impl Serialize) -> Result<Json, PublishError> {
    match json(kwargs)? {
        kwargs @ Json::Object(_) => Ok(kwargs),
        Json::Null => Ok(Json::empty()),
        Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Odd(_) => {
            Err(PublishError::Arguments("`kwargs` is no object".to_owned()))
        }
    }
}
