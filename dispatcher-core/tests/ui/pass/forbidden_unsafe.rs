#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, unused)]
//! A crate with strict lints.

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

/// A job.
#[derive(Debug, Default, Dispatcher, Serialize, Deserialize)]
#[dispatcher(schedule = "hourly", jitter = 5)]
pub struct Job;

impl Process for Job {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {
    assert!(Job::definition().default_payload.is_some());
}
