use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    name = "two words",
    timout = 5,
    grace = "soon",
    retries = 1,
    retries = 2,
    timezone = "UTC",
    max_queue = 1,
    concurrency = 2,
    env = ["A=1", 5]
)]
struct Job {
    #[dispatcher(secrets)]
    password: String,
}

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {
    let _name = Job::NAME;
}
