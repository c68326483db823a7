//! Settings applied over HTTP, step by step and in the background: Dispatcher in an application
//! that has an async runtime of its own.
//!
//! `init()` comes before the runtime starts threads, so `main` is an ordinary function; calls that
//! touch the store block and run on threads that may.
//!
//! `apply_server [--port N] --folder PATH` listens on the loopback only; port 0 is any free one,
//! and the address is printed. `POST /apply` takes `{"settings": {…}}`; `GET /apply` tells whether
//! the last ones are in force.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use dispatcher_core::{Context, Dispatcher, Failure, JobState, Options, Process};
use dispatcher_runner::{Dispatch as _, JobHandle, Mode, SpawnError, Started, StoreFailure};
use serde::Deserialize;
use serde_json::{Value, json};

/// Puts settings in force, in several steps.
#[derive(Dispatcher, serde::Serialize, Deserialize)]
#[dispatcher(timeout = "1m", max_queue = 2)]
struct Apply {
    /// Where they are kept.
    file: PathBuf,
    /// The settings.
    settings: BTreeMap<String, String>,
    /// Programs without which they cannot be applied.
    requires: Vec<String>,
    /// What each step takes, as a real one would.
    step_ms: u64,
}

impl Process for Apply {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let part = self.file.with_extension("part");
        for (step, what) in ["check", "write", "switch"].into_iter().enumerate() {
            cx.progress(step as f64 / 3.0, what)?;
            println!("{what}");
            sleep(Duration::from_millis(self.step_ms));
            match what {
                "check" => self.check()?,
                "write" => std::fs::write(&part, serde_json::to_vec_pretty(&self.settings)?)?,
                _ => std::fs::rename(&part, &self.file)?,
            }
        }
        cx.output(&self.settings.len())
    }

    /// What one job needs depends on its value.
    fn options(&self, options: &mut Options) {
        options.required_commands.extend(self.requires.clone());
    }
}

impl Apply {
    fn check(&self) -> Result<(), Failure> {
        match self.settings.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(Failure::discard(format!("the setting {name} is empty"))),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let served = Arguments::of_process().and_then(|arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_io()
            .build()?;
        runtime.block_on(serve(arguments))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
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

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let application = Router::new()
        .route("/apply", post(apply).get(applied))
        .with_state(arguments.folder.join("settings.json"));
    axum::serve(listener, application).await?;
    Ok(())
}

/// Body of `POST /apply`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    settings: BTreeMap<String, String>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    step_ms: u64,
}

/// Parameters of `POST /apply`.
#[derive(Deserialize)]
struct How {
    /// `false` waits for the end.
    #[serde(rename = "async", default = "yes")]
    background: bool,
}

fn yes() -> bool {
    true
}

async fn apply(
    State(file): State<PathBuf>,
    Query(how): Query<How>,
    Json(wanted): Json<Wanted>,
) -> Response {
    let job = Apply {
        file,
        settings: wanted.settings,
        requires: wanted.requires,
        step_ms: wanted.step_ms,
    };
    let mode = match how.background {
        true => Mode::Background,
        false => Mode::Wait,
    };
    match blocking(move || job.dispatch().start(mode)).await {
        Ok(Started::Background(handle)) => {
            (StatusCode::ACCEPTED, Json(json!({ "id": handle.id() }))).into_response()
        }
        Ok(Started::Ended(ended)) => {
            let status = match ended.is_success() {
                true => StatusCode::OK,
                false => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let outcome = json!({
                "id": ended.id,
                "state": ended.state,
                "cause": ended.cause().sentence(&Options::default()),
            });
            (status, Json(outcome)).into_response()
        }
        Err(refused) => refusal(&refused),
    }
}

fn refusal(error: &SpawnError) -> Response {
    let body = Json(json!({ "error": error.to_string(), "advice": error.advice() }));
    match error {
        SpawnError::QueueFull { retry_after, .. } => {
            let seconds = retry_after.as_secs().max(1).to_string();
            let headers = [(header::RETRY_AFTER, seconds)];
            (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
        }
        SpawnError::MissingRequirement { .. } => {
            (StatusCode::FAILED_DEPENDENCY, body).into_response()
        }
        SpawnError::PayloadTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, body).into_response(),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, body).into_response(),
    }
}

async fn applied() -> Response {
    match blocking(state).await {
        Ok(state) => Json(state).into_response(),
        Err(error) => {
            let body = Json(json!({ "error": error.to_string(), "advice": error.advice() }));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}

/// Asks the store, so that the answer survives a restart of this server.
fn state() -> Result<Value, StoreFailure> {
    let last: Option<JobHandle<Apply>> = dispatcher_runner::latest_job()?;
    let Some(job) = last else {
        return Ok(json!({ "applied": false, "job": null }));
    };
    let status = job.status()?;
    Ok(json!({
        "applied": status.state == JobState::Succeeded,
        "job": {
            "id": status.id,
            "state": status.state,
            "progress": status.progress.map(|(fraction, text)| json!([fraction, text])),
        },
    }))
}

/// Runs something that blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}
