use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    max_queue = -1,
    concurrency = "4",
    retries = 4294967296,
    priority = 2147483648,
    open_files = 0,
    nice = 20,
)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    max_queue = 5 * 2,
    retries = 1.5,
    priority = -2147483649,
    open_files = [1],
    nice = -21,
)]
struct Other;

impl Process for Other {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
