//! One session with PostgreSQL: from the first LISTEN to the loss of a connection.
//!
//! Two connections, so that nothing that is said waits for what is heard. Either one's end is that
//! of the session, and lets go of its locks.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};

use super::seen::Seen;
use super::{Delivery, PgNotify, hold};
use crate::dispatcherd::{NOTIFY_BYTES_MAX, split};
use crate::notify::{Conninfo, Heard, Listener, NotifyError, Speaker};
use crate::sources::dispatcherd::{Arrival, Intake};
use crate::sources::{Host, Stop};

/// A channel that is quiet for so long is proved to be heard.
const QUIET: Duration = Duration::from_secs(15);
/// How long a message that was taken may still be found in its table.
const SEEN: Duration = Duration::from_secs(600);
/// Time for that proof.
const PROOF: Duration = Duration::from_secs(5);
/// Messages that are taken at once, at most.
const BATCH_MAX: usize = 500;
/// Time between two tries for the locks of channels that others hold.
const LOCKS: Duration = Duration::from_millis(500);

/// What goes wrong with a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("what is sent to this service itself does not arrive; is there a pooler in between?")]
    Deaf,
}

/// How a session ends well.
pub(super) enum End {
    Stopped,
}

pub(super) struct Session<'a> {
    pub(super) source: &'a PgNotify,
    pub(super) conninfo: &'a Conninfo,
    pub(super) intake: &'a Intake,
    pub(super) seen: &'a Mutex<Seen>,
    pub(super) host: &'a Host,
    pub(super) stop: &'a Stop,
    /// Whether it came to listening.
    pub(super) is_heard: bool,
    /// The server's clock when it was proved the last time that everything is heard.
    pub(super) heard_until: Option<f64>,
}

/// The connections of a session.
struct Lines {
    listener: Listener,
    speaker: Speaker,
    /// Its own channel, for proofs.
    own: String,
    proofs: u64,
    proved_at: Instant,
    /// Whether our publisher leaves its messages in a table here.
    keeps_published: bool,
    /// Channels whose messages this session takes.
    taken: BTreeSet<String>,
    /// Those of them whose messages in the table were not looked at yet.
    behind: Vec<String>,
    /// Until when the session before heard everything.
    heard_before: Option<f64>,
    locks_at: Instant,
}

impl Session<'_> {
    pub(super) async fn run(&mut self) -> Result<End, SessionError> {
        let Some(lines) = self.stop.or(self.connect()).await else {
            return Ok(End::Stopped);
        };
        let mut lines = lines?;
        // Messages that come before the proof are taken like others.
        let mut first = self.prove(&mut lines).await?;
        self.is_heard = true;
        self.catch_up(&mut lines).await?;
        self.host.report_healthy();
        tracing::info!(channels = ?self.source.channels, "messages are taken from PostgreSQL");
        loop {
            let mut heard = std::mem::take(&mut first);
            if heard.is_empty() {
                let quiet = match self.source.delivery {
                    Delivery::Fanout => QUIET,
                    Delivery::Once => LOCKS,
                };
                match self.stop.or(timeout(quiet, lines.listener.next())).await {
                    None => return Ok(End::Stopped),
                    Some(Ok(None)) => return Err(NotifyError::Ended.into()),
                    Some(Ok(Some(message))) => heard.push(message),
                    Some(Err(_)) => {
                        first = self.prove_again(&mut lines).await?;
                        self.lock(&mut lines).await?;
                        self.catch_up(&mut lines).await?;
                        continue;
                    }
                }
            }
            while heard.len() < BATCH_MAX
                && let Some(message) = lines.listener.waiting()
            {
                heard.push(message);
            }
            let is_over = lines.speaker.is_closed();
            if is_over && self.source.delivery == Delivery::Once {
                // Its locks went with it; another service takes these.
                return Err(NotifyError::Ended.into());
            }
            self.lock(&mut lines).await?;
            self.take(&lines, heard).await?;
            self.catch_up(&mut lines).await?;
            if lines.proved_at.elapsed() > QUIET {
                first = self.prove_again(&mut lines).await?;
            }
        }
    }

    /// LISTEN first: what is sent from then on is heard.
    async fn connect(&self) -> Result<Lines, SessionError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let own = format!("dispatcher_{}_{now}", std::process::id());
        let mut channels = self.source.channels.clone();
        channels.push(own.clone());
        let listener = Listener::listen(self.conninfo, &channels).await?;
        let speaker = Speaker::connect(self.conninfo).await?;
        let keeps_published = speaker.keep_published().await?;
        if !keeps_published {
            tracing::info!(
                "this user may not make the schema `dispatcher_wire`: what is published while \
                 nobody listens is not kept"
            );
        }
        let mut lines = Lines {
            listener,
            speaker,
            own,
            proofs: 0,
            proved_at: Instant::now(),
            keeps_published,
            taken: BTreeSet::new(),
            behind: Vec::new(),
            heard_before: self.heard_until,
            locks_at: Instant::now(),
        };
        self.lock(&mut lines).await?;
        Ok(lines)
    }

    /// Takes the locks of channels that nobody holds, from time to time.
    async fn lock(&self, lines: &mut Lines) -> Result<(), SessionError> {
        if lines.taken.len() == self.source.channels.len() || Instant::now() < lines.locks_at {
            return Ok(());
        }
        for channel in &self.source.channels {
            let takes = match self.source.delivery {
                Delivery::Fanout => true,
                Delivery::Once if lines.taken.contains(channel) => true,
                Delivery::Once => lines.speaker.takes(channel).await?,
            };
            if takes && lines.taken.insert(channel.clone()) {
                lines.behind.push(channel.clone());
                tracing::debug!(channel, "messages of this channel are taken here");
            }
        }
        lines.locks_at = Instant::now() + LOCKS;
        Ok(())
    }

    /// Takes what our publisher left for channels that are taken from now on.
    async fn catch_up(&mut self, lines: &mut Lines) -> Result<(), SessionError> {
        let behind = std::mem::take(&mut lines.behind);
        if !lines.keeps_published || behind.is_empty() {
            return Ok(());
        }
        // What is sent to one service was taken by whoever had the lock, or by nobody.
        let heard_until = match self.source.delivery {
            Delivery::Fanout => lines.heard_before,
            Delivery::Once => None,
        };
        let missed = lines.speaker.missed(&behind, heard_until).await?;
        self.take(lines, missed).await
    }

    /// As in the beginning, when what was missed was taken.
    async fn prove_again(&mut self, lines: &mut Lines) -> Result<Vec<Heard>, SessionError> {
        let before = self.prove(lines).await?;
        hold(self.seen).forget(SEEN);
        Ok(before)
    }

    /// Sends itself a message, and waits for it; what comes before it.
    async fn prove(&mut self, lines: &mut Lines) -> Result<Vec<Heard>, SessionError> {
        let now = lines.speaker.seconds().await?;
        lines.proofs += 1;
        let proof = lines.proofs.to_string();
        lines
            .speaker
            .notify(&lines.own, std::slice::from_ref(&proof))
            .await?;
        let mut before = Vec::new();
        let arrival = async {
            loop {
                match lines.listener.next().await {
                    None => return Err(NotifyError::Ended.into()),
                    Some(heard) if heard.channel != lines.own => before.push(heard),
                    Some(heard) if heard.text == proof => return Ok(()),
                    Some(_) => {}
                }
            }
        };
        match timeout(PROOF, arrival).await {
            Ok(Ok(())) => {
                lines.proved_at = Instant::now();
                self.heard_until = Some(now);
                Ok(before)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // They came, whatever else did not.
                self.take(lines, before).await?;
                Err(SessionError::Deaf)
            }
        }
    }

    /// Stores what was heard, and answers.
    async fn take(&self, lines: &Lines, heard: Vec<Heard>) -> Result<(), SessionError> {
        let mine = heard
            .into_iter()
            .filter(|it| lines.taken.contains(&it.channel));
        let arrivals: Vec<Arrival> = mine
            .map(|heard| Arrival {
                text: Ok(heard.text),
                channel: heard.channel,
            })
            .collect();
        if arrivals.is_empty() {
            return Ok(());
        }
        for reply in self.intake.take(vec![arrivals]).await.into_iter().flatten() {
            let pieces = split(&reply.text, &reply.id, NOTIFY_BYTES_MAX);
            lines.speaker.notify(&reply.to, &pieces).await?;
        }
        let fresh = hold(self.seen).fresh();
        if !fresh.is_empty() && lines.keeps_published {
            lines.speaker.note_taken(&fresh).await?;
        }
        Ok(())
    }
}
