use dispatcher_core::Dispatcher;
use serde as _;

#[derive(Dispatcher)]
#[dispatcher(schedule = "daily")]
struct Job;

fn main() {}
