//! Dispatcher's own part: jobs of a pool, through the interface that everybody has.
//!
//! A service runs inside, with one worker for each processor. Jobs that are to be found by warm
//! workers are sent while gates keep all of these busy.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dispatcher_core::{Context, Dispatcher, Failure, JobState, Process};
use dispatcher_runner::{
    Config, DEFAULT_POOL, Dispatch as _, JobHandle, PoolConfig, Service, spawn_all,
};
use dispatcher_tests::{PATIENCE, eventually};
use serde::{Deserialize, Serialize};

use crate::Done;

/// Jobs are sent in groups of this size where they are not sent one by one.
const GROUP: usize = 1_000;
/// Jobs that make everything warm.
const WARM_UP: usize = 1_000;
/// Jobs that are waited for one by one: more than are under way at once.
const LAST: usize = 300;
/// Longest time of anything here.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "pool")]
struct Nothing {
    number: usize,
}

impl Process for Nothing {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Is not due while anybody measures: peers have nobody who runs what is sent one by one, either.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "pool", delay = "10d")]
struct Later {
    number: usize,
}

impl Process for Later {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Keeps a worker until whoever locked the file lets go of it.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "pool")]
struct Gate {
    file: PathBuf,
}

impl Process for Gate {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        File::open(&self.file)?.lock_shared()?;
        Ok(())
    }
}

/// Prints one line of JSON with the seconds.
pub(crate) fn measure(url: &str, what: &str, count: &str) -> Done {
    let count: usize = count.parse()?;
    let folder = tempfile::tempdir()?;
    let workers = u32::try_from(std::thread::available_parallelism()?.get())?;
    let pool = PoolConfig {
        min_workers: workers,
        max_workers: workers,
        ..PoolConfig::default()
    };
    let config = Config::new("dispatcher-peers")
        .with_store_url(url)?
        // What has ended is counted.
        .with_retention(Duration::from_secs(7 * 24 * 3600), u64::MAX)
        .with_pool(DEFAULT_POOL, pool);
    dispatcher_runner::setup(config.clone())?;
    let service = Service::new(config).start()?;
    if !service.wait_ready() {
        service.wait()?;
        return Err("the service did not become ready".into());
    }
    let time = match what {
        "enqueue" => enqueue(count)?,
        "drain" => drain(folder.path().join("gate"), workers, count)?,
        "end-to-end" => end_to_end(count)?,
        other => return Err(format!("it cannot {other}").into()),
    };
    println!("{{\"seconds\": {}}}", time.as_secs_f64());
    // What was not run goes with its database.
    service.stop_now();
    Ok(service.wait()?)
}

/// One after the other, each on disk before the next.
fn enqueue(count: usize) -> Done<Duration> {
    Later { number: 0 }.spawn_process()?;
    let start = Instant::now();
    for number in 0..count {
        Later { number }.spawn_process()?;
    }
    Ok(start.elapsed())
}

fn drain(file: PathBuf, workers: u32, count: usize) -> Done<Duration> {
    wait_for(&send(WARM_UP)?)?;
    let lock = File::create(&file)?;
    lock.lock()?;
    let gates = (0..workers).map(|_| Gate { file: file.clone() }.spawn_process());
    let gates = gates.collect::<Result<Vec<_>, _>>()?;
    for gate in &gates {
        let running = || gate.status().is_ok_and(|it| it.state == JobState::Running);
        eventually("a gate keeps a worker", PATIENCE, running);
    }
    let jobs = send(count)?;
    let start = Instant::now();
    lock.unlock()?;
    wait_for(&jobs)?;
    Ok(start.elapsed())
}

fn end_to_end(count: usize) -> Done<Duration> {
    wait_for(&send(WARM_UP)?)?;
    let start = Instant::now();
    wait_for(&send(count)?)?;
    Ok(start.elapsed())
}

fn send(count: usize) -> Done<Vec<JobHandle<Nothing>>> {
    let mut jobs = Vec::with_capacity(count);
    for first in (0..count).step_by(GROUP) {
        let numbers = first..(first + GROUP).min(count);
        jobs.extend(spawn_all(numbers.map(|number| Nothing { number }))?);
    }
    Ok(jobs)
}

/// First in, first out: when the last ones have ended, so have all others.
fn wait_for(jobs: &[JobHandle<Nothing>]) -> Done {
    for job in jobs.iter().rev().take(LAST) {
        match job.wait_timeout(LONGEST)? {
            Some(ended) if ended.is_success() => {}
            Some(ended) => return Err(format!("{} ended: {:?}", ended.id, ended.outcome).into()),
            None => return Err("a job did not end".into()),
        }
    }
    Ok(())
}
