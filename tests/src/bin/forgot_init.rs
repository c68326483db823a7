//! A program whose `main` forgot `init()`.

use std::process::ExitCode;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch as _;
use serde::{Deserialize, Serialize};

/// Never runs.
#[derive(Dispatcher, Serialize, Deserialize)]
struct Ping;

impl Process for Ping {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> ExitCode {
    // A copy of this program that is started as something else would end up here as well.
    eprintln!("main runs");
    match Ping.spawn_process() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\ntry: {}", error.advice());
            ExitCode::FAILURE
        }
    }
}
