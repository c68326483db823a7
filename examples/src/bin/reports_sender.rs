//! Application A: has a report made by application B, and waits for it.
//!
//! ```text
//! DISPATCHER_BACKEND_URL=http://127.0.0.1:8642 DISPATCHER_BACKEND_SECRET=… \
//!     DISPATCHER_BACKEND_TOKEN=a-token-for-reading-jobs reports_sender 7 /srv/figures/7
//! ```

use std::process::ExitCode;
use std::time::Duration;

use dispatcher_runner::http::RemoteDispatcher;
use serde_json::json;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [month, figures] = &arguments[..] else {
        return Err("usage: reports_sender MONTH FILE".into());
    };
    let month: u32 = month.parse()?;
    let remote = RemoteDispatcher::from_env()?.blocking();
    let sent = remote.dispatch((
        "reports.make",
        json!({ "month": month, "figures": figures }),
    ));
    let Some(id) = sent.id.as_deref().filter(|_| sent.ok) else {
        let why = sent.error.map(|error| error.to_string());
        eprintln!("not sent: {}", why.unwrap_or_default());
        return Ok(ExitCode::FAILURE);
    };
    println!("sent {id}");
    // B may be restarted meanwhile.
    let status = remote.wait(id, Duration::from_secs(60))?;
    println!("{}", status.state);
    if let Some(report) = &status.output {
        println!("{report}");
    }
    Ok(
        match status.state.is_terminal() && status.output.is_some() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
    )
}
