//! Application B: makes reports that other applications ask for over HTTP.
//!
//! Its axum server has the routes of Dispatcher beside its own. What it has accepted is stored: the
//! server may be killed and restarted while a report is made.
//!
//! ```text
//! DISPATCHER_BACKEND_SECRET=… reports_server --port 8642 --token a-token-for-reading-jobs
//! ```

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::http::HttpConfig;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Makes the report of one month.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 100, timeout = "1m", alias = "reports.make")]
struct MakeReport {
    month: u32,
    /// The figures come from elsewhere, and may be late.
    figures: PathBuf,
}

impl Process for MakeReport {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let figures = loop {
            match std::fs::read_to_string(&self.figures) {
                Ok(figures) => break figures,
                Err(_) if !cx.cancelled() => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error.into()),
            }
        };
        let total: i64 = figures
            .lines()
            .filter_map(|line| line.parse::<i64>().ok())
            .sum();
        cx.output(&serde_json::json!({ "month": self.month, "total": total }))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    dispatcher_runner::init();
    let (mut port, mut token) = (8642_u16, String::new());
    let mut arguments = std::env::args().skip(1);
    while let (Some(flag), Some(value)) = (arguments.next(), arguments.next()) {
        match flag.as_str() {
            "--port" => port = value.parse()?,
            "--token" => token = value,
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    // The secret is in the environment, as DISPATCHER_BACKEND_SECRET.
    let config = HttpConfig::without_keys().with_read_token(token);
    let app = Router::new()
        .route("/", get(|| async { "reports\n" }))
        .merge(dispatcher_runner::http::router(config)?);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, app).await
    })?;
    Ok(())
}
