use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    alias = "Job",
)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
