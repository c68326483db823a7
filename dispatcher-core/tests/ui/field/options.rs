use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
struct Job {
    #[dispatcher(secrets)]
    a: u8,
    #[dispatcher(timeout = 5)]
    b: u8,
    #[dispatcher(secret = true)]
    c: u8,
    #[dispatcher(secret, secret)]
    d: u8,
    #[dispatcher(colour)]
    e: u8,
    #[dispatcher]
    f: u8,
    #[dispatcher(hidden)]
    #[serde(skip)]
    g: u8,
}

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
