//! The smallest program that a user would write, whose price `budgets` measures.

use std::process::ExitCode;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

/// Does nothing.
#[derive(Dispatcher, Serialize, Deserialize)]
struct Nothing;

impl Process for Nothing {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::main()
}
