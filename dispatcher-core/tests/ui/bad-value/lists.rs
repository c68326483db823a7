use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    required_packages = 5,
    required_commands = ["ssh", 5, "", "ssh"],
    package_includes = [["a"]],
    env = "PATH",
)]
struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    env = ["PATH=/bin", "HOME"],
)]
struct Other;

impl Process for Other {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
