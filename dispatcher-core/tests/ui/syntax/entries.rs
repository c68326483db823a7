use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = 5,, retries = 1)]
#[dispatcher("name")]
#[dispatcher(name: "job")]
#[dispatcher(grace "5s")]
#[dispatcher(queue == "a")]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
