//! Something that cannot be undone, with time to think: it waits, and can be cancelled until it
//! starts.
//!
//! `delayed_removal remove <folder> <seconds>` has a folder removed after so many seconds and
//! prints the job's id; `delayed_removal cancel <id>` is Dispatcher's own command. A second
//! request for the same folder does not begin the wait anew.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch;
use serde::{Deserialize, Serialize};

/// Removes a folder with everything in it.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timeout = "10m",
    delay = "1m",
    max_queue = 100,
    on_duplicate = "discard",
    retries = 3
)]
struct RemoveFolder {
    /// The folder.
    folder: PathBuf,
}

impl Process for RemoveFolder {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        // Out of the way in one step: nobody sees half a folder, and a further attempt goes on
        // with what the last one left.
        let going = self.folder.with_extension("going");
        if self.folder.exists() {
            std::fs::rename(&self.folder, &going)?;
        } else if !going.exists() {
            return Err(Failure::discard(format!(
                "there is no {}",
                self.folder.display()
            )));
        }
        cx.progress(0.5, "out of the way")?;
        std::fs::remove_dir_all(&going)?;
        println!("removed {}", self.folder.display());
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [command, folder, seconds] if command == "remove" => match remove(folder, seconds) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        _ => dispatcher_runner::main(),
    }
}

fn remove(folder: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let delay = Duration::from_secs(seconds.parse()?);
    let folder = std::path::absolute(folder)?;
    let handle = RemoveFolder { folder }.dispatch().delay(delay).spawn()?;
    if handle.is_duplicate() {
        eprintln!("it is on its way already");
    }
    println!("{}", handle.id());
    Ok(())
}
