use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::Serialize;

#[derive(Dispatcher, Serialize)]
struct Job {
    text: String,
}

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
