//! One request over a connection of its own, with TLS where the URL says so.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::RemoteError;
use super::target::Target;

/// Longest answer that is read: an output of 1 MiB, with room to spare.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sends requests. Every copy shares what it knows about TLS.
#[derive(Clone, Default)]
pub(in crate::http) struct Transport {
    tls: Arc<OnceLock<Result<TlsConnector, String>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(in crate::http) struct Sent {
    pub(in crate::http) status: u16,
    pub(in crate::http) body: Bytes,
    pub(in crate::http) retry_after: Option<Duration>,
    pub(in crate::http) replayed: bool,
}

impl Transport {
    pub(in crate::http) async fn send(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<Sent, RemoteError> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|error| network(&error))?;
        // A message is one small write, and its answer is waited for.
        let _ = stream.set_nodelay(true);
        if !target.is_tls {
            return converse(stream, request).await;
        }
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|error| RemoteError::Unsent(error.to_string()))?;
        let connector = self.tls.get_or_init(connector).as_ref();
        let connector = connector.map_err(|why| RemoteError::Unsent(why.clone()))?;
        let stream = connector.connect(name, stream).await;
        converse(stream.map_err(|error| network(&error))?, request).await
    }
}

/// Trusts whom this machine trusts.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority: install ca-certificates".into());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Sent, RemoteError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| network(&error))?;
    // Ends with the request, or with this future.
    let connection = Ends(tokio::spawn(connection));
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| network(&error))?;
    let sent = read(answer).await;
    drop(connection);
    sent
}

/// A task that ends with its owner.
struct Ends<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<Sent, RemoteError> {
    let header = |name: &str| answer.headers().get(name).and_then(|it| it.to_str().ok());
    let retry_after = header(RETRY_AFTER.as_str()).and_then(|it| it.parse().ok());
    let replayed = header("idempotent-replayed") == Some("true");
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let body = body
        .await
        .map_err(|error| RemoteError::Network(error.to_string()))?;
    Ok(Sent {
        status,
        body: body.to_bytes(),
        retry_after: retry_after.map(Duration::from_secs),
        replayed,
    })
}

fn network(error: &(dyn std::error::Error + 'static)) -> RemoteError {
    RemoteError::Network(crate::log::chain(error))
}
