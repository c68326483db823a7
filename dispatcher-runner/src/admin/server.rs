//! The listener: few connections, each short, none of which can hold up the service.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::control::{Board, LOOK_TIMEOUT, Unseen};

/// Connections at once; others wait.
const CONNECTIONS_MAX: usize = 16;
/// Threads that wait for the store.
const THREADS_MAX: usize = 2;
/// Time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a request and its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request; the least that hyper takes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Pause after an error that will come again at once: no descriptor is free.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until the other end of `closed` is gone.
pub(super) fn serve(
    listener: std::net::TcpListener,
    closed: oneshot::Receiver<()>,
    board: Arc<Board>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(THREADS_MAX)
        .thread_name("admin")
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(accept(listener, board));
        let _ = closed.await;
        Ok::<_, io::Error>(())
    })?;
    // Whoever is being answered is hung up on: the service has ended.
    runtime.shutdown_background();
    Ok(())
}

async fn accept(listener: TcpListener, board: Arc<Board>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let board = Arc::clone(&board);
                tokio::spawn(async move {
                    converse(stream, board).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "nobody could be let in at the admin address");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, board: Arc<Board>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&board)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever hangs up, or is too slow, has no answer and needs none.
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
        tracing::debug!(%error, "a conversation at the admin address broke off");
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, board: Arc<Board>) -> Result<Answer, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allow);
        return Ok(answer);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(board).await,
        "/healthz" => match serving(&board).await {
            Ok(_) => text(StatusCode::OK, TEXT, "alive\n"),
            Err(unseen) => not_now(unseen),
        },
        "/readyz" => match serving(&board).await {
            Ok(true) => text(StatusCode::OK, TEXT, "ready\n"),
            Ok(false) => {
                let what = "it ends: nothing new is started\n";
                text(StatusCode::SERVICE_UNAVAILABLE, TEXT, what)
            }
            Err(unseen) => not_now(unseen),
        },
        _ => {
            let what = "there are /metrics, /healthz and /readyz\n";
            text(StatusCode::NOT_FOUND, TEXT, what)
        }
    })
}

/// Whether work is taken. Needs no thread: a store that hangs does not make a service unhealthy.
async fn serving(board: &Board) -> Result<bool, Unseen> {
    let (answer, answers) = oneshot::channel();
    board.ask_to_look(move |look| {
        let _ = answer.send(look.serving);
    });
    match timeout(LOOK_TIMEOUT, answers).await {
        Ok(Ok(serving)) => Ok(serving),
        Ok(Err(_)) => Err(Unseen::Ended),
        Err(_) => Err(Unseen::Hangs),
    }
}

/// The store is waited for, on a thread that may.
async fn metrics(board: Arc<Board>) -> Answer {
    match tokio::task::spawn_blocking(move || board.exposition()).await {
        Ok(Ok(page)) => text(StatusCode::OK, EXPOSITION, page),
        Ok(Err(unseen)) => not_now(unseen),
        Err(error) => {
            tracing::error!(%error, "an answer at the admin address failed");
            let what = "it failed; see the log\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, what)
        }
    }
}

fn not_now(unseen: Unseen) -> Answer {
    let what = format!("{unseen}\n");
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, what)
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
