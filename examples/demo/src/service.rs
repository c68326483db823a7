//! The service of the demo: jobs that arrive by NOTIFY, and some that it sends itself.

use std::time::{Duration, Instant};

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

/// Works for a while.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(alias = "demo.work", max_queue = 0, concurrency = 4)]
struct Work {
    number: u64,
    #[serde(default)]
    ms: u64,
}

impl Process for Work {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_millis(self.ms);
        while Instant::now() < end && !cx.cancelled() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        println!("{} is done", self.number);
        Ok(())
    }
}

/// Says that the service is there, every second.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(alias = "demo.heartbeat", max_queue = 0)]
struct Heartbeat;

impl Process for Heartbeat {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        println!("it beats");
        Ok(())
    }
}

/// Runs once in a minute, over all services of the state.
#[derive(Default, Dispatcher, Serialize, Deserialize)]
#[dispatcher(schedule = "* * * * *")]
struct Minutely {}

impl Process for Minutely {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        println!("a minute has passed");
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
