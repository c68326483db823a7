//! The source `pg_notify`: messages of the Python package `dispatcherd` from channels of
//! PostgreSQL; replies go to the channels that are asked for.
//!
//! It listens until it is told to stop, whatever becomes of connections. What is sent while nobody
//! listens is gone, since PostgreSQL keeps nothing; but our publisher leaves what it sends in a
//! table, which is read at the beginning of each session. That a channel is really heard is proved
//! by a message of its own, at the beginning of each session and every now and then.

mod seen;
mod session;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use self::seen::Seen;
use self::session::{End, Session};
use super::dispatcherd::Intake;
use super::{Host, Source, SourceError, Stop};
use crate::notify::{Conninfo, channel_fits};
use crate::{log, register_source};

/// Waiting time before another connection: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Counter of sessions that were lost, as metrics name it.
const RECONNECTS: &str = "reconnects";

/// The source `pg_notify`.
#[derive(Deserialize)]
pub struct PgNotify {
    conninfo: String,
    channels: Vec<String>,
    default_publish_channel: Option<String>,
    #[serde(default)]
    delivery: Delivery,
    node_id: Option<String>,
}

/// Who takes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Every service that listens.
    #[default]
    Fanout,
    /// One of them: who holds the lock of the channel.
    Once,
}

/// Without `conninfo`, which may hold a password.
impl fmt::Debug for PgNotify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgNotify")
            .field("channels", &self.channels)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

register_source!(PgNotify);

impl Source for PgNotify {
    const NAME: &'static str = "pg_notify";

    fn init(&mut self, _: &Host) -> Result<(), SourceError> {
        Conninfo::read(&self.conninfo)?;
        if self.channels.is_empty() {
            return Err("`channels` names none".into());
        }
        let named = self.channels.iter().chain(&self.default_publish_channel);
        for channel in named {
            if !channel_fits(channel) {
                return Err(format!("a channel has 1 to 63 bytes, not {channel:?}").into());
            }
        }
        if let Some(channel) = &self.default_publish_channel
            && !self.channels.contains(channel)
        {
            return Err(
                format!("`default_publish_channel` {channel:?} is none of `channels`").into(),
            );
        }
        self.channels.sort_unstable();
        self.channels.dedup();
        Ok(())
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        let conninfo = Conninfo::read(&self.conninfo)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let names = Arc::clone(&seen);
        let intake = Intake::new(host, self.node_id.as_deref(), move |task| {
            hold(&names).is_new(task)
        });
        let mut wait = AGAIN.0;
        let mut heard_until = None;
        while !stop.is_requested() {
            let mut session = Session {
                source: self,
                conninfo: &conninfo,
                intake: &intake,
                seen: &seen,
                host,
                stop: &stop,
                is_heard: false,
                heard_until,
            };
            let error = match session.run().await {
                Ok(End::Stopped) => break,
                Err(error) => error,
            };
            heard_until = session.heard_until;
            if session.is_heard {
                wait = AGAIN.0;
                host.count(RECONNECTS);
            }
            let error = log::chain(&error);
            tracing::warn!(source = Self::NAME, error, again_in = ?wait, "channels are not heard");
            host.report_unhealthy(error);
            if stop.or(sleep(wait)).await.is_none() {
                break;
            }
            wait = (wait * 2).min(AGAIN.1);
        }
        Ok(())
    }
}

fn hold(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Every change is whole before the lock is let go of.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
