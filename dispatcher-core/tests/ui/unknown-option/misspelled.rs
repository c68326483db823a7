use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timout = 300,
    max-queue,
    Retries = 3,
    memory = "1GiB",
)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {
    let _name = Job::NAME;
    let _documentation = Job::definition().documentation;
}
