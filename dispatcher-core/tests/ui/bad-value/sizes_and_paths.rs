use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    memory_limit = "512M",
    working_directory = "tmp",
)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    memory_limit = "1.5GiB",
    working_directory = 5,
)]
struct Other;

impl Process for Other {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    memory_limit = 0,
    working_directory = ["/"],
)]
struct Third;

impl Process for Third {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
