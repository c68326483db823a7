//! The source `http`: the routes on a listener of the service's own.
//!
//! Connections are bounded in number, and each in the time that it may take to say something.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Deserializer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::callbacks;
use super::config::{HttpConfig, Limits, Settings};
use super::desk::Desk;
use super::routes::{nowhere, routes};
use crate::client::Gate;
use crate::register_source;
use crate::sources::{Host, Source, SourceError, Stop};

/// Pause after an error that will come again at once: no descriptor is free.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The source `http`: jobs from other applications, see [`HttpConfig`].
#[derive(Debug)]
pub struct Http {
    config: HttpConfig,
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    listener: StdListener,
    address: SocketAddr,
    desk: Desk,
    gate: Gate,
    settings: Settings,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Http {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            config: HttpConfig::deserialize(deserializer)?,
            listening: Mutex::new(None),
        })
    }
}

register_source!(Http);

impl Source for Http {
    const NAME: &'static str = "http";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        let Some(gate) = host.gate() else {
            return Err("only a service can receive jobs".into());
        };
        self.config.take_over(gate.config());
        if !self.config.is_backend.unwrap_or(false) {
            return Ok(());
        }
        let address = self.config.address();
        if !address.ip().is_loopback() && self.config.tls.is_none() {
            return Err(format!(
                "it would listen on {address} without TLS: put a proxy in front of it and say so, \
                 `tls = \"in-front\"`"
            )
            .into());
        }
        let settings = self.config.check(gate.registry())?;
        let listener = StdListener::bind(address)
            .map_err(|error| format!("it cannot listen on {address}: {error}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let desk = Desk::new(gate.clone(), settings.clone());
        self.listening = Mutex::new(Some(Listening {
            listener,
            address,
            desk,
            gate: gate.clone(),
            settings,
        }));
        Ok(())
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        let listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(listening) = listening else {
            tracing::warn!("nothing is received over HTTP: `is_backend` is not set");
            stop.requested().await;
            return Ok(());
        };
        let Listening {
            listener,
            address,
            desk,
            gate,
            settings,
        } = listening;
        tracing::info!(%address, "jobs over HTTP");
        host.report_healthy();
        let listener = TcpListener::from_std(listener)?;
        let router = routes(desk.clone()).fallback(nowhere);
        let limits = self.config.limits.clone();
        let telling = callbacks::tell(gate, settings, host.clone(), stop.clone());
        let telling = tokio::spawn(telling);
        receive(listener, router, &limits, &stop, || desk.drain()).await;
        // What it has taken is told, or due again later.
        let _ = telling.await;
        Ok(())
    }
}

/// Lets people in until it is told to stop, then waits for those who are being answered.
async fn receive(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    stop: &Stop,
    drain: impl FnOnce(),
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut conversations = JoinSet::new();
    while let Some(place) = stop.or(Arc::clone(&places).acquire_owned()).await {
        let Ok(place) = place else { break };
        match stop.or(listener.accept()).await {
            Some(Ok((stream, _))) => {
                let conversation = converse(stream, router.clone(), limits.clone(), stop.clone());
                conversations.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "nobody could be let in");
                sleep(ERROR_PAUSE).await;
            }
            None => break,
        }
        while conversations.try_join_next().is_some() {}
    }
    drop(listener);
    drain();
    while conversations.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, router: Router, limits: Limits, stop: Stop) {
    // An answer is one small write, and is waited for.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout.duration())
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = match stop.or(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a conversation broke off");
    }
}
