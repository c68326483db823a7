//! One session with PostgreSQL: from the first LISTEN to the loss of a connection.
//!
//! Two connections, so that nothing that is said waits for what is heard. Either one's end is that
//! of the session, and lets go of its locks.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};

use super::{Delivery, PgNotify};
use crate::dispatcherd::{NOTIFY_BYTES_MAX, split};
use crate::notify::{Conninfo, Heard, Listener, NotifyError, Speaker};
use crate::sources::dispatcherd::{Arrival, Intake};
use crate::sources::{Host, Stop};

/// A channel that is quiet for so long is proved to be heard.
const QUIET: Duration = Duration::from_secs(15);
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
    pub(super) host: &'a Host,
    pub(super) stop: &'a Stop,
    /// Whether it came to listening.
    pub(super) is_heard: bool,
}

/// The connections of a session.
struct Lines {
    listener: Listener,
    speaker: Speaker,
    /// Its own channel, for proofs.
    own: String,
    proofs: u64,
    /// Channels whose messages this session takes.
    taken: BTreeSet<String>,
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
                        first = self.prove(&mut lines).await?;
                        self.lock(&mut lines).await?;
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
        let mut lines = Lines {
            listener,
            speaker,
            own,
            proofs: 0,
            taken: BTreeSet::new(),
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
                tracing::debug!(channel, "messages of this channel are taken here");
            }
        }
        lines.locks_at = Instant::now() + LOCKS;
        Ok(())
    }

    /// Sends itself a message, and waits for it; what comes before it.
    async fn prove(&self, lines: &mut Lines) -> Result<Vec<Heard>, SessionError> {
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
            Ok(arrived) => arrived.map(|()| before),
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
        Ok(())
    }
}
