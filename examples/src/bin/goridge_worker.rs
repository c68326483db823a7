//! A worker of any Goridge host (RoadRunner, or a pool of Dispatcher): what `php worker.php` is in
//! PHP, in Rust.
//!
//! The host starts this program with `RR_RELAY=pipes` and says in `RR_MODE` what it is for; the
//! first that can serve that gets the process. Printing does no harm: it goes to the host's log.
//! Started by hand, the program is Dispatcher's command line.

use std::process::ExitCode;

use dispatcher_core::frame::Frame;
use dispatcher_runner::register_serve;
use dispatcher_runner::worker::{Environment, Kernel, Payload, Serve, ServeError, Wanted, Worker};
use serde::Deserialize;

/// Answers the ticks of a ticker: context `{"lastTick": <unix seconds or null>}`, body `{"tick": n}`.
#[derive(Default)]
struct Ticker;

#[derive(Deserialize)]
struct Tick {
    tick: u64,
}

impl Serve for Ticker {
    fn can_serve(&self, environment: &Environment) -> bool {
        environment.mode == "ticker"
    }

    fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
        // Runs after each answer, so that the next tick finds nothing of the last one.
        worker.finalizer(|last| {
            if last {
                println!("no more ticks");
            }
            std::env::set_current_dir("/")
        });
        while let Some(payload) = worker.wait_payload()? {
            match serde_json::from_slice::<Tick>(&payload.body) {
                Ok(Tick { tick }) => {
                    println!("tick {tick}");
                    worker.respond("OK")?;
                }
                // A soft error: this tick failed, the worker lives on.
                Err(error) => worker.error(format!("no tick: {error}"))?,
            }
        }
        Ok(())
    }
}

/// Sends everything back as it came; a text of several lines in a stream, line by line.
#[derive(Default)]
struct Echo;

impl Serve for Echo {
    fn can_serve(&self, environment: &Environment) -> bool {
        environment.mode == "echo"
    }

    fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
        while let Some(payload) = worker.wait_payload()? {
            match payload.flags & Frame::RAW != 0 {
                true => lines(worker, &payload)?,
                false => worker.respond_payload(&payload)?,
            }
        }
        Ok(())
    }
}

fn lines(worker: &mut Worker, payload: &Payload) -> Result<(), ServeError> {
    let mut stream = worker.stream()?;
    for line in payload.body.split_inclusive(|byte| *byte == b'\n') {
        if stream.send(line)? == Wanted::Enough {
            break;
        }
    }
    Ok(stream.finish("")?)
}

register_serve!(Ticker);
register_serve!(Echo);

fn main() -> ExitCode {
    dispatcher_runner::init();
    if Environment::of_process().has_host() {
        return Kernel::linked().run();
    }
    dispatcher_runner::main()
}
