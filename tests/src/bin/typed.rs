//! Dispatchers whose payloads have schemas, as the description of an API shows them.

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a report looks.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Look {
    Plain,
    Coloured,
}

/// Makes a report.
#[derive(Dispatcher, Serialize, Deserialize, JsonSchema)]
#[dispatcher(schema, max_queue = 0, concurrency = 0, alias = "reports.make")]
#[serde(deny_unknown_fields)]
struct Report {
    /// What it is called.
    title: String,
    pages: f64,
    look: Look,
    tags: Vec<String>,
    note: Option<String>,
}

impl Process for Report {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.output(&self.title)
    }
}

/// Sweeps the floor.
#[derive(Dispatcher, Serialize, Deserialize, JsonSchema)]
#[dispatcher(schema, max_queue = 0, concurrency = 0)]
#[serde(deny_unknown_fields)]
struct Sweep {
    wet: bool,
}

impl Process for Sweep {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
