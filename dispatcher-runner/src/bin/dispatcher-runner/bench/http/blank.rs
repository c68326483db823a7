//! A server that is made like the one of the source `http`, checks signatures and stores nothing.
//!
//! It answers what a job would be answered, to the byte but for the id, so that the rest of the
//! way, from the head of a request to the end of its answer, is the same.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::any;
use dispatcher_runner::http::Secret;
use http_body_util::{BodyExt as _, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::SECRET;

/// The limits of the source, as by default.
const BODY_BYTES: usize = 2_359_296;
const HEAD_BYTES: usize = 16 * 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const TOLERANCE_SECS: u64 = 300;

const ANSWER: &str = r#"{"duplicate":false,"id":"0000000000000000","job":"Filler","queue":"default","status":"queued","status_url":"/v1/jobs/0000000000000000"}"#;

/// Serves on any free port, and tells it as the source does.
pub(in super::super) fn serve() -> Result<(), Box<dyn Error>> {
    let secret = Arc::new(Secret::parse(SECRET)?);
    let router = Router::new().route("/v1/{*rest}", any(answer));
    let router = router.with_state(secret);
    // One thread, as all sources of a service share one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        eprintln!("jobs over HTTP address={} ", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(converse(stream, router.clone()));
        }
    })
}

async fn converse(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = connection.await;
}

async fn answer(State(secret): State<Arc<Secret>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = timeout(READ_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await;
    let Ok(Ok(body)) = body else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    if signed(&secret, &parts.headers, &body.to_bytes()).is_none() {
        return plain(StatusCode::UNAUTHORIZED);
    }
    let mut answer = Response::new(Body::from(ANSWER));
    *answer.status_mut() = StatusCode::ACCEPTED;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (LOCATION, "/v1/jobs/0000000000000000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Something if the message is of now and was signed with the secret.
fn signed(secret: &Secret, headers: &HeaderMap, body: &Bytes) -> Option<()> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let time = header("webhook-timestamp")?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let signature = secret.sign(header("webhook-id")?, time, body);
    let holds = now.abs_diff(time) <= TOLERANCE_SECS && header("webhook-signature")? == signature;
    holds.then_some(())
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
