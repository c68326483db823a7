use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    on_duplicate = "queue-one",
    on_lost = "retry",
    isolation = Process,
    leftovers = true,
    schedule = "daily",
    missed = "ones",
    overlap,
)]
#[derive(Default)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(isolation = crate::POOL, on_lost = 5 + 5)]
struct Other;

impl Process for Other {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
