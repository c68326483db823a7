//! A program whose service takes in letters that are put into a folder.

use std::path::PathBuf;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

// Registered in the library, which the linker leaves out unless it is named.
use dispatcher_watcher as _;

/// Reads a letter.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 100)]
struct Letter {
    path: PathBuf,
}

impl Process for Letter {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.output(&std::fs::read_to_string(&self.path)?)?;
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
