//! A program with the command line as its `main`, for what happens seldom.
//!
//! Words that are no command submit by value, so that a test can compare both ways.

use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch as _;
use serde::{Deserialize, Serialize};

/// Waits where it is sent; one of it is enough.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, delay = "1h", on_duplicate = "discard")]
struct Only;

impl Process for Only {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["only-by-value"] => match Only.dispatch().delay(Duration::from_secs(3600)).spawn() {
            Ok(job) => {
                eprintln!("{} {}", job.id(), job.is_duplicate());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        _ => dispatcher_runner::main(),
    }
}
