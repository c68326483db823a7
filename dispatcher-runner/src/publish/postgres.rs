//! Messages over PostgreSQL, by a thread of its own: whoever publishes need not be async, and may
//! be.
//!
//! A connection that was found closed is replaced before anything is sent; one that fails while it
//! sends is told, since nobody knows what was heard.

use std::fmt;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::PublishError;
use super::control::Replies;
use crate::dispatcherd::{Json, NOTIFY_BYTES_MAX, PUBLISHED_ID, split};
use crate::ids;
use crate::notify::{Conninfo, Listener, NotifyError, Speaker, channel_fits};

/// Where messages are handed in.
pub(super) struct Office {
    orders: UnboundedSender<Order>,
    channels: Vec<String>,
    default: Option<String>,
}

/// Something to do, and who waits until it is done.
struct Order {
    channel: String,
    text: String,
    aim: Aim,
    told: std_mpsc::Sender<Result<Option<Replies>, NotifyError>>,
}

/// What becomes of a message.
enum Aim {
    /// Who listens hears it.
    Tell,
    /// It is kept by this name for listeners that are away.
    Keep(String),
    /// Replies to it are waited for.
    Ask(Request),
}

/// Replies that are wanted.
struct Request {
    reply_to: String,
    replies: Replies,
    end: Instant,
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PublishError {
    PublishError::Postgres(error.into())
}

impl Office {
    pub(super) fn new(
        conninfo: &str,
        channels: Vec<String>,
        default: Option<String>,
    ) -> Result<Self, PublishError> {
        let conninfo = Conninfo::read(conninfo);
        let conninfo = conninfo.map_err(|error| PublishError::Section(error.to_string()))?;
        if let Some(channel) = channels.iter().chain(&default).find(|it| !channel_fits(it)) {
            let what = format!("a channel has 1 to 63 bytes, not {channel:?}");
            return Err(PublishError::Section(what));
        }
        let (orders, received) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unusable)?;
        std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || runtime.block_on(serve(&conninfo, received)))
            .map_err(unusable)?;
        Ok(Self {
            orders,
            channels,
            default,
        })
    }

    /// As `[sources.pg_notify]` says it.
    pub(super) fn configured(table: &toml::Table) -> Result<Self, PublishError> {
        let text = |key| table.get(key).and_then(|it| it.as_str());
        let section = |what: &str| PublishError::Section(format!("[sources.pg_notify] {what}"));
        let conninfo = text("conninfo").ok_or_else(|| section("has no `conninfo`"))?;
        let channels = table.get("channels").and_then(|it| it.as_array());
        let channels = channels.ok_or_else(|| section("has no `channels`"))?;
        let channels: Option<Vec<String>> = channels
            .iter()
            .map(|channel| channel.as_str().map(str::to_owned))
            .collect();
        let channels = channels.ok_or_else(|| section("has a channel that is no text"))?;
        let only = match &channels[..] {
            [only] => Some(only.clone()),
            [] | [_, _, ..] => None,
        };
        let default = text("default_publish_channel").map(str::to_owned).or(only);
        Self::new(conninfo, channels, default)
    }

    pub(super) fn channels(&self) -> &[String] {
        &self.channels
    }

    pub(super) fn has(&self, channel: &str) -> bool {
        self.channels.iter().any(|it| it == channel)
    }

    /// The channel that is named, or the default one.
    pub(super) fn channel(&self, named: Option<&str>) -> Result<String, PublishError> {
        match named {
            Some(channel) if channel_fits(channel) => Ok(channel.to_owned()),
            Some(channel) => {
                let what = format!("a channel has 1 to 63 bytes, not {channel:?}");
                Err(PublishError::Section(what))
            }
            None => self.default.clone().ok_or(PublishError::NoChannel),
        }
    }

    /// Sends a message, and waits until PostgreSQL has it.
    pub(super) fn send(&self, channel: &str, text: &str) -> Result<(), PublishError> {
        self.order(channel.to_owned(), text.to_owned(), Aim::Tell)
            .map(drop)
    }

    /// Sends a message that is kept for who is away, and waits until PostgreSQL has it.
    pub(super) fn publish(&self, channel: &str, mut message: Json) -> Result<(), PublishError> {
        let id = ids::random_uuid();
        message.set(PUBLISHED_ID, Json::text(id.as_str()));
        self.order(channel.to_owned(), message.to_ascii(), Aim::Keep(id))
            .map(drop)
    }

    /// Sends a message when replies to it are heard, and waits for them.
    pub(super) fn request(
        &self,
        channel: String,
        text: String,
        reply_to: String,
        replies: Replies,
        within: Duration,
    ) -> Result<Option<Replies>, PublishError> {
        let request = Request {
            reply_to,
            replies,
            end: Instant::now() + within,
        };
        self.order(channel, text, Aim::Ask(request))
    }

    fn order(
        &self,
        channel: String,
        text: String,
        aim: Aim,
    ) -> Result<Option<Replies>, PublishError> {
        let (told, answers) = std_mpsc::channel();
        let order = Order {
            channel,
            text,
            aim,
            told,
        };
        drop(self.orders.send(order));
        let done = answers.recv().unwrap_or(Err(NotifyError::Ended));
        done.map_err(unusable)
    }
}

/// Does what is ordered, one after the other, until nobody can order any more.
async fn serve(conninfo: &Conninfo, mut orders: UnboundedReceiver<Order>) {
    let mut speaker = None;
    while let Some(mut order) = orders.recv().await {
        let done = obey(conninfo, &mut speaker, &mut order).await;
        if done.is_err() {
            speaker = None;
        }
        let replies = match order.aim {
            Aim::Tell | Aim::Keep(_) => None,
            Aim::Ask(request) => Some(request.replies),
        };
        drop(order.told.send(done.map(|()| replies)));
    }
}

async fn obey(
    conninfo: &Conninfo,
    speaker: &mut Option<Speaker>,
    order: &mut Order,
) -> Result<(), NotifyError> {
    let usable = match speaker.take() {
        Some(speaker) if !speaker.is_closed() => speaker,
        Some(_) | None => Speaker::connect(conninfo).await?,
    };
    let speaker = speaker.insert(usable);
    let texts = split(&order.text, &ids::random_hex(), NOTIFY_BYTES_MAX);
    let request = match &mut order.aim {
        Aim::Tell => return speaker.notify(&order.channel, &texts).await,
        Aim::Keep(id) => {
            return speaker
                .publish(id, &order.channel, &order.text, &texts)
                .await;
        }
        Aim::Ask(request) => request,
    };
    let reply_to = std::slice::from_ref(&request.reply_to);
    let mut listener = Listener::listen(conninfo, reply_to).await?;
    speaker.notify(&order.channel, &texts).await?;
    while !request.replies.are_complete() {
        match timeout_at(request.end, listener.next()).await {
            Err(_) => break,
            Ok(None) => return Err(NotifyError::Ended),
            Ok(Some(heard)) => request.replies.take(&heard.text),
        }
    }
    Ok(())
}
