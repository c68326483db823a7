use dispatcher_core::Dispatcher;
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
struct Job;

fn main() {}
