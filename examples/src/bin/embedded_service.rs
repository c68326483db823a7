//! A web server that runs its own background jobs: the service is a part of it.
//!
//! `init()` comes before any thread; the service has a thread of its own, and signals are the
//! server's. On SIGTERM requests end first, then jobs: whoever was told "accepted" is served.
//!
//! `embedded_service [--port N] --folder PATH` listens on the loopback only; port 0 is any free
//! one, and the address is printed. `POST /welcome` takes `{"to": "…"}`; `GET /ready` tells
//! whether jobs are run.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Config, Dispatch as _, RunningService, Service};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Welcomes somebody.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "1m", max_queue = 100, concurrency = 2)]
struct Welcome {
    /// Whom.
    to: String,
    /// Where welcomes are written; a real one would send mail.
    file: PathBuf,
    /// What it takes, as a real one would.
    step_ms: u64,
}

impl Process for Welcome {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        println!("writing to {}", self.to);
        std::thread::sleep(Duration::from_millis(self.step_ms));
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(&self.file)?;
        writeln!(file, "welcome, {}", self.to)?;
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::of_process()?;
    let config = Config::from_environment("embedded_service")?.with_workers(2);
    // What the server sends goes where the service looks.
    dispatcher_runner::setup(config.clone())?;
    let service = Arc::new(Service::new(config).start()?);
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .build()?
        .block_on(answer_requests(arguments, Arc::clone(&service)));
    // No request is left, so nothing new can come; what runs may finish. What still waits stays
    // in the state and is run after the next start.
    service.stop();
    let service = Arc::into_inner(service).ok_or("a request still holds the service")?;
    service.wait()?;
    served
}

async fn answer_requests(
    arguments: Arguments,
    service: Arc<RunningService>,
) -> Result<(), Box<dyn Error>> {
    let mut told = signal(SignalKind::terminate())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let application = Router::new()
        .route("/welcome", post(welcome))
        .with_state(arguments.folder.join("welcomes"))
        .route("/ready", get(ready))
        .with_state(service);
    axum::serve(listener, application)
        .with_graceful_shutdown(async move {
            told.recv().await;
        })
        .await?;
    Ok(())
}

/// Body of `POST /welcome`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    to: String,
    #[serde(default)]
    step_ms: u64,
}

async fn welcome(State(file): State<PathBuf>, Json(wanted): Json<Wanted>) -> Response {
    let job = Welcome {
        to: wanted.to,
        file,
        step_ms: wanted.step_ms,
    };
    // It is stored durably, which blocks.
    let sent = tokio::task::spawn_blocking(move || job.spawn_process()).await;
    match sent {
        Ok(Ok(job)) => (StatusCode::ACCEPTED, Json(json!({ "id": job.id() }))).into_response(),
        Ok(Err(refused)) => {
            let body = json!({ "error": refused.to_string(), "advice": refused.advice() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

async fn ready(State(service): State<Arc<RunningService>>) -> StatusCode {
    match service.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

struct Arguments {
    port: u16,
    folder: PathBuf,
}

impl Arguments {
    fn of_process() -> Result<Self, Box<dyn Error>> {
        let (mut port, mut folder) = (8080, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--port" => port = value.parse()?,
                "--folder" => folder = Some(std::path::absolute(value)?),
                _ => return Err(format!("there is no option {word}").into()),
            }
        }
        let folder = folder.ok_or("--folder is missing")?;
        Ok(Self { port, folder })
    }
}
