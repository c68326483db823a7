use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
struct Job<'a> {
    text: &'a str,
}

impl Process for Job<'_> {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
