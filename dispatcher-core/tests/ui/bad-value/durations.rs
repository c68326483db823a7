use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timeout = "5",
    grace = "5 minutes",
    expires = 0,
    jitter = true,
    schedule = "daily",
    delay = -5,
    cpu_limit = 1.5,
)]
#[derive(Default)]
struct Words;

impl Process for Words {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timeout = 5m,
    grace = 5u8,
    expires = "1h1d",
    delay = MINUTE,
    cpu_limit = "99999d",
)]
struct Units;

impl Process for Units {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
