//! Reloading a service after each change of its configuration, but never more often than needed.
//!
//! With `queue_one` a reload that has not begun stands for all changes made before it begins: the
//! last change is always followed by a reload, and at most one reload waits.
//!
//! `service_reload change <file> <times>` changes a configuration so many times in a row, and
//! submits a reload after each change.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Dispatch, JobHandle};
use serde::{Deserialize, Serialize};

/// Makes the service read its configuration again.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "1m", on_duplicate = "queue_one")]
struct ReloadService {
    /// The configuration.
    file: PathBuf,
}

impl Process for ReloadService {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        // Read first: a change made from here on is for the reload that waits.
        let text = std::fs::read_to_string(&self.file)?;
        println!("loading {}", text.trim());
        sleep(Duration::from_millis(200));
        std::fs::write(loaded(&self.file), text)?;
        Ok(())
    }
}

/// What the service uses.
fn loaded(file: &Path) -> PathBuf {
    file.with_extension("loaded")
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, file, times] = &arguments[..] else {
        return dispatcher_runner::main();
    };
    if command != "change" {
        return dispatcher_runner::main();
    }
    match change(Path::new(file), times) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn change(file: &Path, times: &str) -> Result<(), Box<dyn Error>> {
    let times: u32 = times.parse()?;
    let file = std::path::absolute(file)?;
    let mut handles: Vec<JobHandle<ReloadService>> = Vec::new();
    let mut dropped = 0;
    for version in 1..=times {
        std::fs::write(&file, format!("version {version}\n"))?;
        let file = file.clone();
        let handle = ReloadService { file }.spawn_process()?;
        match handle.is_duplicate() {
            true => dropped += 1,
            false => handles.push(handle),
        }
    }
    for handle in &handles {
        handle.wait()?;
    }
    println!(
        "{times} changes, {} reloads, {dropped} not needed",
        handles.len()
    );
    print!("in use: {}", std::fs::read_to_string(loaded(&file))?);
    Ok(())
}
