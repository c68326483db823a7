//! What a service with a warm pool takes.
//!
//! The workers are warm because they have just run jobs, and nothing of what is measured has
//! begun: gates keep every worker busy while jobs are enqueued, and open all at once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dispatcher_core::{Context, Dispatcher, Failure, JobState, Process};
use dispatcher_runner::{Dispatch, JobHandle};
use serde::{Deserialize, Serialize};

use super::figures::{Report, Samples};
use super::jobs::{self, Done, Numbered};
use super::memory::Memory;
use super::process::Service;
use super::scene::go_on;

const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Does nothing, in a worker of the pool.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "pool")]
pub(crate) struct Pooled {
    number: usize,
}

/// Tells when it began, in a worker of the pool.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(isolation = "pool")]
pub(crate) struct PooledClock;

/// Keeps a worker of the pool until whoever locked the file lets go of it.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "pool")]
struct Gate {
    file: PathBuf,
}

impl Process for Pooled {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for PooledClock {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        jobs::tell_time(cx)
    }
}

impl Process for Gate {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        File::open(&self.file)?.lock_shared()?;
        Ok(())
    }
}

impl Numbered for Pooled {
    fn number(number: usize) -> Self {
        Self { number }
    }
}

impl Numbered for PooledClock {
    fn number(_: usize) -> Self {
        Self
    }
}

/// Everything that is told of a service over this state, which nobody else serves now.
pub(crate) fn service(
    report: &mut Report<'_>,
    state: &Path,
    workers: u32,
    (count, beside): (usize, (&str, &Samples)),
) -> Done {
    let service = Service::start(state, workers)?;
    let what = "idle -> running, warm pool";
    jobs::idle_to_running::<PooledClock>(report, what, 200)?;
    throughput(report, state, workers, (count, beside))?;
    let memory = Memory::of_service(service.pid())?;
    report.memory("idle service: supervisor and keeper, PSS", memory.service)?;
    let what = format!("idle service: its {workers} warm workers, PSS");
    report.memory(&what, memory.workers).map_err(Into::into)
}

/// From the moment the workers are let go to the last end on record, synced.
fn throughput(
    report: &mut Report<'_>,
    state: &Path,
    workers: u32,
    (count, beside): (usize, (&str, &Samples)),
) -> Done {
    let file = state.with_file_name("gate");
    let lock = File::create(&file)?;
    lock.lock()?;
    let gates = (0..workers).map(|_| Gate { file: file.clone() }.spawn_process());
    let gates = gates.collect::<Result<Vec<_>, _>>()?;
    gates.iter().try_for_each(wait_running)?;
    let handles = jobs::enqueue::<Pooled>(count)?;
    let start = Instant::now();
    lock.unlock()?;
    jobs::wait_for_last(&handles)?;
    let time = start.elapsed();
    jobs::check(&handles)?;
    let what = format!("{count} no-op jobs, warm pool of {workers}");
    Ok(report.rate(&what, count, time, beside)?)
}

fn wait_running(gate: &JobHandle<Gate>) -> Done {
    loop {
        go_on()?;
        match gate.status()?.state {
            JobState::Running => return Ok(()),
            JobState::Queued => std::thread::sleep(LOOK_INTERVAL),
            state @ (JobState::Succeeded | JobState::Failed | JobState::Cancelled) => {
                return Err(format!("a gate is {state} before it was opened").into());
            }
        }
    }
}
