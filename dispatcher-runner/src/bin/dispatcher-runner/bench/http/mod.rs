//! What it costs to accept a job over HTTP, beside the same server that answers without storing.
//!
//! Both are asked by turns, by the same client, with messages signed in the same way; both check
//! the signature. None of the jobs is due, so nobody runs them meanwhile.

pub(super) mod blank;
mod crowd;

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use dispatcher_runner::__generic::BenchOptions;

use super::figures::{Load, Samples};
use super::process::Service;
use super::scene::Scene;
use crowd::Crowd;

/// What both sides sign with. It protects nothing.
pub(super) const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Connections at once.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// How often the two servers take turns.
const TURNS: usize = 10;

pub(super) fn measure(
    scene: &Scene,
    options: &BenchOptions,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let (mut report, _) = super::begin(scene, options, out)?;
    let (_answering, blank) = Service::answering(scene.directory())?;
    let (_receiving, real) = Service::receiving(&scene.state())?;
    for connections in CONNECTIONS {
        let mut answered = Turns::of(Crowd::meet(blank, connections)?);
        let mut stored = Turns::of(Crowd::meet(real, connections)?);
        let each = options.jobs.div_ceil(TURNS);
        for _ in 0..TURNS {
            answered.take(each)?;
            stored.take(each)?;
        }
        let (answered, stored) = (answered.load(), stored.load());
        let what = |how: &str| format!("HTTP, {connections} connections, {how}");
        report.load(&what("202 without storing"), &answered, None)?;
        let beside = Some(("without storing", &answered));
        report.load(&what("202 for a stored job"), &stored, beside)?;
    }
    report.end()
}

/// One server's turns.
struct Turns {
    crowd: Crowd,
    times: Vec<Duration>,
    time: Duration,
}

impl Turns {
    fn of(crowd: Crowd) -> Self {
        Self {
            crowd,
            times: Vec::new(),
            time: Duration::ZERO,
        }
    }

    fn take(&mut self, messages: usize) -> Result<(), Box<dyn Error>> {
        self.time += self.crowd.send(messages, &mut self.times)?;
        Ok(())
    }

    fn load(self) -> Load {
        Load {
            samples: Samples::new(self.times),
            time: self.time,
        }
    }
}
