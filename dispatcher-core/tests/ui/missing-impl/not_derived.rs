use dispatcher_core::{Context, Dispatcher, Failure, Process};

struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn submit(_job: impl Dispatcher) {}

fn main() {
    submit(Job);
}
