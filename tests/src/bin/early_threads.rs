//! A program that starts a thread before `init()`, as an async runtime around `main` does.

use std::process::ExitCode;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
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
    std::thread::spawn(std::thread::park);
    dispatcher_runner::main()
}
