//! A scheduled dispatcher as a cache: every hour it fetches, and its last good output stays
//! readable however often a fetch fails.
//!
//! `hourly_fetch now` fetches at once and waits; `hourly_fetch rates` prints the last good copy,
//! as does Dispatcher's own `hourly_fetch output --latest FetchRates`. The peer is named by
//! `RATES_FROM` (`127.0.0.1:8080`).

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Dispatch, latest_output};
use serde::{Deserialize, Serialize};

/// Fetches the rates of today.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    schedule = "hourly",
    timeout = "1m",
    on_duplicate = "discard",
    retries = 1,
    backoff = "constant(20ms)"
)]
struct FetchRates {
    /// Where they come from.
    from: String,
}

/// What a schedule submits.
impl Default for FetchRates {
    fn default() -> Self {
        let from = std::env::var("RATES_FROM");
        Self {
            from: from.unwrap_or_else(|_| "127.0.0.1:8080".to_owned()),
        }
    }
}

/// Currency and rate.
#[derive(Debug, Serialize, Deserialize)]
struct Rates(BTreeMap<String, f64>);

impl Process for FetchRates {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let answer = get(&self.from)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| Failure::new("no HTTP"))?;
        let line = head.lines().next().unwrap_or_default();
        println!("{} answered {line}", self.from);
        if line.split(' ').nth(1) != Some("200") {
            return Err(Failure::new(format!("the peer answered {line:?}")));
        }
        // Read before it is kept: a copy that does not fit would be no good one.
        let rates: Rates = serde_json::from_str(body)?;
        if rates.0.is_empty() {
            return Err(Failure::new("the peer has no rates"));
        }
        cx.output(&rates)
    }
}

fn get(from: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(from)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "GET /rates HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.take(1024 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["now"] => fetch(),
        ["rates"] => rates(),
        _ => return dispatcher_runner::main(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch() -> Result<ExitCode, Box<dyn Error>> {
    let ended = FetchRates::default().run_process()?;
    if ended.is_success() {
        println!("fetched");
        return Ok(ExitCode::SUCCESS);
    }
    let options = (FetchRates::definition().options)();
    println!(
        "the last copy stays: it {}",
        ended.cause().sentence(&options)
    );
    Ok(ExitCode::FAILURE)
}

fn rates() -> Result<ExitCode, Box<dyn Error>> {
    let Some(Rates(rates)) = latest_output::<FetchRates, Rates>()? else {
        println!("nothing was fetched yet");
        return Ok(ExitCode::FAILURE);
    };
    for (currency, rate) in rates {
        println!("{currency} {rate:.2}");
    }
    Ok(ExitCode::SUCCESS)
}
