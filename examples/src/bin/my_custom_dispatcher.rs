//! The smallest dispatcher, in a program that is nothing but its command line.

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

/// Greets somebody.
#[derive(Dispatcher, Serialize, Deserialize)]
struct MyCustomDispatcher {
    /// Who is greeted.
    name: String,
}

impl Process for MyCustomDispatcher {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        println!("Hello, {}!", self.name);
        cx.output(&self.name.len())
    }
}

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
