//! The source `socket`: messages of the Python package `dispatcherd`, a line each, from a Unix
//! socket; replies go back on the same connection.
//!
//! A line is read after what was before it is stored. The socket is for its own user alone, and
//! takes the place of another one only if nobody answers there.

mod bind;
mod queue;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::task::JoinSet;

use self::bind::Bound;
use self::queue::{Queue, queue};
use super::dispatcherd::{Arrival, Intake};
use super::{Host, Source, SourceError, Stop};
use crate::dispatcherd::{Dropped, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, split};
use crate::register_source;

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// Lines of one connection that are stored together, at most.
const LINES_MAX: usize = 100;

/// The source `socket`.
#[derive(Debug, Deserialize)]
pub struct Socket {
    path: PathBuf,
    node_id: Option<String>,
}

register_source!(Socket);

impl Source for Socket {
    const NAME: &'static str = "socket";

    fn init(&mut self, _: &Host) -> Result<(), SourceError> {
        bind::check(&self.path)?;
        Ok(())
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        let bound = Bound::at(&self.path)?;
        let listener = bound.listener()?;
        tracing::info!(path = %self.path.display(), "messages are taken at the socket");
        let intake = Arc::new(Intake::new(host, self.node_id.as_deref(), |_| true));
        let (queue, taker) = queue();
        let mut connections = JoinSet::new();
        connections.spawn(taker.run(intake));
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                if stop.or(connections.join_next()).await.is_none() {
                    break;
                }
            }
            let Some(accepted) = stop.or(listener.accept()).await else {
                break;
            };
            while connections.try_join_next().is_some() {}
            let (stream, _) = accepted?;
            host.report_healthy();
            let (queue, stop) = (queue.clone(), stop.clone());
            connections.spawn(async move {
                if let Err(error) = converse(stream, &queue, &stop).await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
        drop((bound, queue));
        // Each ends when it has answered; whoever stops the source has set a time for this.
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// Takes lines until the other side has said everything.
async fn converse(stream: UnixStream, queue: &Queue, stop: &Stop) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = Lines {
        reader: BufReader::new(reader),
        line: Vec::new(),
        is_too_long: false,
    };
    while let Some(arrivals) = stop.or(lines.next()).await {
        let arrivals = arrivals?;
        if arrivals.is_empty() {
            break;
        }
        for reply in queue.take(arrivals).await {
            for mut line in split(&reply.text, &reply.id, LINE_BYTES_MAX) {
                line.push('\n');
                writer.write_all(line.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// The lines of a connection.
struct Lines {
    reader: BufReader<OwnedReadHalf>,
    /// The one that is not complete.
    line: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Waits for a line, and takes those that have come with it; none at the end. A line that has
    /// begun is kept when this is dropped.
    async fn next(&mut self) -> std::io::Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        loop {
            let bytes = self.reader.fill_buf().await?;
            if bytes.is_empty() {
                if !self.line.is_empty() || self.is_too_long {
                    arrivals.push(self.complete());
                }
                return Ok(arrivals);
            }
            let mut used = 0;
            let mut complete = Vec::new();
            while complete.len() < LINES_MAX {
                let rest = &bytes[used..];
                let end = rest.iter().position(|byte| *byte == b'\n');
                let part = &rest[..end.unwrap_or(rest.len())];
                if self.line.len() + part.len() > MESSAGE_BYTES_MAX {
                    self.is_too_long = true;
                    self.line.clear();
                }
                if !self.is_too_long {
                    self.line.extend_from_slice(part);
                }
                used += part.len();
                if end.is_none() {
                    break;
                }
                used += 1;
                complete.push((std::mem::take(&mut self.line), self.is_too_long));
                self.is_too_long = false;
            }
            self.reader.consume(used);
            arrivals.extend(complete.into_iter().map(arrival));
            // Empty lines say nothing.
            arrivals.retain(|it| it.text.as_ref().map_or(true, |text| !text.is_empty()));
            if !arrivals.is_empty() {
                return Ok(arrivals);
            }
        }
    }

    fn complete(&mut self) -> Arrival {
        let line = (std::mem::take(&mut self.line), self.is_too_long);
        self.is_too_long = false;
        arrival(line)
    }
}

fn arrival((line, is_too_long): (Vec<u8>, bool)) -> Arrival {
    let text = match is_too_long {
        true => Err(Dropped::TooLong(MESSAGE_BYTES_MAX)),
        false => String::from_utf8(line).map_err(|_| Dropped::NoText),
    };
    Arrival {
        text,
        channel: Socket::NAME.to_owned(),
    }
}
