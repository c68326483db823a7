//! Metrics and health over HTTP, on the loopback only.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | everything that is counted, as Prometheus reads it (text 0.0.4) |
//! | `/healthz` | 200 while the supervisor answers, 503 otherwise |
//! | `/readyz` | 200 while it takes work, however busy it is; 503 before that and once it drains |
//!
//! Nobody is asked who they are, so nothing here changes anything, and nothing of a job is told but
//! its dispatcher's name.

mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::control::Board;

/// A bound listener, and the way to end it.
pub(crate) struct Admin {
    listener: TcpListener,
    closed: oneshot::Receiver<()>,
}

/// Dropping it ends the listener.
pub(crate) struct Closer(
    #[expect(dead_code, reason = "its end is the message")] oneshot::Sender<()>,
);

impl Admin {
    /// Takes the address; nobody is answered yet.
    ///
    /// # Errors
    /// When it is no loopback address, or somebody else has it.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<(Self, Closer)> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "metrics and health are told to this machine only: it is no loopback address",
            ));
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (closer, closed) = oneshot::channel();
        Ok((Self { listener, closed }, Closer(closer)))
    }

    /// The address, with the port that it was given.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the closer is dropped.
    ///
    /// # Errors
    /// When there is no event loop to be had.
    pub(crate) fn serve(self, board: Arc<Board>) -> io::Result<()> {
        server::serve(self.listener, self.closed, board)
    }
}
