//! A program with a service inside that does what it is told, a word a line.
//!
//! It takes no signal and reads no configuration but the variable of its state.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Config, Dispatch as _, RunningService, Service};
use serde::{Deserialize, Serialize};

/// Says that it has begun, and waits for a file.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(concurrency = 4)]
struct Gate {
    file: String,
}

impl Process for Gate {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        let file = std::path::Path::new(&self.file);
        std::fs::write(file.with_extension("begun"), "")?;
        dispatcher_tests::eventually("the gate opens", dispatcher_tests::PATIENCE, || {
            file.exists()
        });
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_environment("guest")?.with_workers(2);
    dispatcher_runner::setup(config.clone())?;
    let mut service = Some(Service::new(config.clone()).start()?);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match (word, &service) {
            ("ready", Some(service)) => service.wait_ready().to_string(),
            ("is-ready", Some(service)) => service.is_ready().to_string(),
            ("stop", Some(service)) => {
                service.stop();
                done()
            }
            ("stop-now", Some(service)) => {
                service.stop_now();
                done()
            }
            ("submit", _) => {
                let file = rest.to_owned();
                Gate { file }.spawn_process()?.id().to_string()
            }
            ("wait", Some(_)) => match service.take().map(RunningService::wait) {
                Some(Err(error)) => error.to_string(),
                Some(Ok(())) | None => "ended".to_owned(),
            },
            ("drop", Some(_)) => {
                drop(service.take());
                done()
            }
            ("start", None) => {
                service = Some(Service::new(config.clone()).start()?);
                done()
            }
            _ => format!("{line} is no word now"),
        };
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn done() -> String {
    "done".to_owned()
}
