//! Work of every kind for a service under test: processes, commands, workers of the program and of
//! another language, direct requests. Each job holds a lock, so that one that runs twice is seen.

use std::path::Path;

use dispatcher_tests::{Home, Probe, probe_section, storm_sections};
use serde_json::{Value, json};

/// How a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Process,
    Command,
    OwnPool,
    ForeignPool,
}

pub(crate) const WORKS: [Work; 4] = [
    Work::Process,
    Work::Command,
    Work::OwnPool,
    Work::ForeignPool,
];

impl Work {
    fn dispatcher(self) -> &'static str {
        match self {
            Self::Process => "Storm",
            Self::Command => "Run",
            Self::OwnPool => "PooledStorm",
            Self::ForeignPool => "Ask",
        }
    }

    fn payload(self, home: &Path, ms: u32) -> Value {
        match self {
            Self::Process | Self::OwnPool => json!({ "ms": ms }),
            Self::Command => json!(f64::from(ms) / 1000.0),
            Self::ForeignPool => json!(format!("alone {} {ms}", home.display())),
        }
    }
}

/// The configuration of a service that does all of it; keys are for both pools.
pub(crate) fn config(home: &Home, keys: &str) -> String {
    format!(
        "[service]\nworkers = 4\ndrain_timeout = \"50s\"\n{}{}",
        storm_sections(home, keys),
        probe_section(home)
    )
}

/// Stores a job that takes this long; none when the service is gone before it said that it has.
pub(crate) fn send(home: &Path, probe: &mut Probe, work: Work, ms: u32) -> Option<String> {
    probe.dispatch(work.dispatcher(), &work.payload(home, ms))
}
