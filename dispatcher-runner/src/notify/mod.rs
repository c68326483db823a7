//! Connections to PostgreSQL that hear notifications, and those that make them.
//!
//! What is heard is held here until it is taken, so that the server's own queue stays short; what
//! cannot be held any more waits in the connection.

mod conninfo;
mod published;
mod quote;

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client};

pub(crate) use conninfo::Conninfo;
pub(crate) use quote::channel_fits;
use quote::quoted;

use crate::tls::connector;

/// Time for a connection, and for each statement on it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Notifications that are held until they are taken.
const HEARD_MAX: usize = 10_000;

/// PostgreSQL cannot be reached, or does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifyError {
    #[error("`conninfo` cannot be read: {0}")]
    Conninfo(String),
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    #[error("PostgreSQL does not answer within {PATIENCE:?}")]
    Late,
    #[error("PostgreSQL refuses")]
    Postgres(#[source] tokio_postgres::Error),
    #[error("the connection to PostgreSQL has ended")]
    Ended,
}

impl From<tokio_postgres::Error> for NotifyError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.is_closed() {
            true => Self::Ended,
            false => Self::Postgres(error),
        }
    }
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) channel: String,
    pub(crate) text: String,
}

/// A connection. It ends with this value.
pub(crate) struct Speaker {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that hears notifications.
pub(crate) struct Listener {
    /// It ends with its client.
    _speaker: Speaker,
    heard: Receiver<Heard>,
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, NotifyError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(NotifyError::Late),
    }
}

/// Connects; notifications go to the receiver.
async fn connect(conninfo: &Conninfo) -> Result<(Speaker, Receiver<Heard>), NotifyError> {
    let tls = connector(conninfo.trust()).map_err(NotifyError::Tls)?;
    let (client, mut connection) = in_time(conninfo.config().connect(tls)).await?;
    let (sender, heard) = mpsc::channel(HEARD_MAX);
    let driver = tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(said)) => {
                    let heard = Heard {
                        channel: said.channel().to_owned(),
                        text: said.payload().to_owned(),
                    };
                    // Nobody wants to hear it any more.
                    if sender.send(heard).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection to PostgreSQL ended");
                    return;
                }
            }
        }
    });
    Ok((Speaker { client, driver }, heard))
}

impl Speaker {
    pub(crate) async fn connect(conninfo: &Conninfo) -> Result<Self, NotifyError> {
        Ok(connect(conninfo).await?.0)
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Notifies of texts, in their order.
    pub(crate) async fn notify(&self, channel: &str, texts: &[String]) -> Result<(), NotifyError> {
        for text in texts {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                [(&channel, Type::TEXT), (&text, Type::TEXT)];
            let told = self
                .client
                .query_typed(include_str!("sql/notify.sql"), &parameters);
            in_time(told).await?;
        }
        Ok(())
    }

    /// Whether this session is the one that takes what is sent to a channel; it becomes so if no
    /// other one is.
    pub(crate) async fn takes(&self, channel: &str) -> Result<bool, NotifyError> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&channel, Type::TEXT)];
        let statement = include_str!("sql/take_channel.sql");
        let rows = in_time(self.client.query_typed(statement, &parameters)).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}

impl Listener {
    /// Listens to channels; what is sent to them from now on is heard.
    pub(crate) async fn listen(
        conninfo: &Conninfo,
        channels: &[String],
    ) -> Result<Self, NotifyError> {
        let (speaker, heard) = connect(conninfo).await?;
        for channel in channels {
            let listen = format!("LISTEN {}", quoted(channel));
            in_time(speaker.client.batch_execute(&listen)).await?;
        }
        Ok(Self {
            _speaker: speaker,
            heard,
        })
    }

    /// The next notification; none when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// One that has come already.
    pub(crate) fn waiting(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}
