//! What Dispatcher itself takes.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Dispatch, Ended, JobHandle, SpawnError, spawn_all};
use serde::{Deserialize, Serialize};

use super::figures::{Report, Samples};
use super::insert::DurableInsert;
use super::scene::go_on;

pub(super) type Done = Result<(), Box<dyn Error>>;

/// Jobs are submitted in groups of this size.
const GROUP: usize = 1_000;

/// Jobs that are waited for one by one: more than can run at once.
const LAST: usize = 300;

/// How long a wait goes on without a look at whether the run shall end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Does nothing, forked.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0)]
pub(crate) struct Forked {
    number: usize,
}

/// Does nothing, in a fresh image.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, isolation = "exec")]
pub(crate) struct Execed {
    number: usize,
}

/// Waits for longer than anybody measures.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, delay = "10d")]
struct Filler {
    number: usize,
}

/// Waits as long, in a queue with a limit.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 1_000_000, delay = "10d")]
struct Limited {
    number: usize,
}

/// Tells when it began.
#[derive(Dispatcher, Serialize, Deserialize)]
pub(crate) struct Clock;

impl Process for Forked {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Execed {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Filler {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Limited {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Clock {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        tell_time(cx)
    }
}

pub(crate) trait Numbered: Dispatcher {
    fn number(number: usize) -> Self;
}

impl Numbered for Forked {
    fn number(number: usize) -> Self {
        Self { number }
    }
}

impl Numbered for Execed {
    fn number(number: usize) -> Self {
        Self { number }
    }
}

impl Numbered for Clock {
    fn number(_: usize) -> Self {
        Self
    }
}

/// Opens the store and starts a supervisor: reported apart.
pub(crate) fn first_submission(report: &mut Report<'_>) -> Done {
    let start = Instant::now();
    let job = Forked { number: 0 }.spawn_process()?;
    let submitted = start.elapsed();
    wait(&job)?;
    let times = [("acknowledged", submitted), ("ended", start.elapsed())];
    let what = "first submission (opens the store, starts a supervisor)";
    Ok(report.once(what, times)?)
}

/// From the moment a submission is acknowledged to the first line of the job, one at a time.
pub(crate) fn idle_to_running<T: Numbered>(
    report: &mut Report<'_>,
    what: &str,
    count: usize,
) -> Done {
    let mut times = Vec::new();
    for number in 0..count {
        let job = T::number(number).spawn_process()?;
        let acknowledged = now_ns();
        let began: u64 = wait(&job)?.output()?.ok_or("the job told no time")?;
        times.push(Duration::from_nanos(began.saturating_sub(acknowledged)));
    }
    Ok(report.latency(what, &Samples::new(times))?)
}

/// From the first submission to the last end on record, synced, both cores in use.
pub(crate) fn end_to_end<T: Numbered>(
    report: &mut Report<'_>,
    how: &str,
    count: usize,
    beside: (&str, &Samples),
) -> Done {
    let start = Instant::now();
    let handles = enqueue::<T>(count)?;
    wait_for_last(&handles)?;
    let time = start.elapsed();
    check(&handles)?;
    let what = format!("{count} no-op jobs, {how}, end to end");
    Ok(report.rate(&what, count, time, beside)?)
}

/// Stores so many jobs, in groups.
pub(super) fn enqueue<T: Numbered>(count: usize) -> Result<Vec<JobHandle<T>>, Box<dyn Error>> {
    let mut handles = Vec::with_capacity(count);
    for group in 0..count.div_ceil(GROUP) {
        go_on()?;
        let numbers = group * GROUP..((group + 1) * GROUP).min(count);
        handles.extend(spawn_all(numbers.map(T::number))?);
    }
    Ok(handles)
}

/// First in, first out: when the last ones have ended, so have all others.
pub(super) fn wait_for_last<T: Dispatcher>(handles: &[JobHandle<T>]) -> Done {
    for handle in handles.iter().rev().take(LAST) {
        wait(handle)?;
    }
    Ok(())
}

/// Whether all of them have ended well.
pub(super) fn check<T: Dispatcher>(handles: &[JobHandle<T>]) -> Done {
    for handle in handles {
        match handle.wait_timeout(Duration::ZERO)? {
            Some(ended) if ended.is_success() => {}
            Some(ended) => return Err(format!("{} ended: {:?}", ended.id, ended.outcome).into()),
            None => return Err("a job had not ended when the clock was stopped".into()),
        }
    }
    Ok(())
}

/// Gives the time as the job's output.
pub(super) fn tell_time(cx: &mut Context) -> Result<(), Failure> {
    cx.output(&now_ns())
}

/// Warm client, live supervisor, with and without a queue limit, at a number of queued rows.
pub(crate) fn submission(
    report: &mut Report<'_>,
    rows: usize,
    count: usize,
    insert: &mut DurableInsert,
) -> Done {
    fill(rows)?;
    let mut time = |limit, submit: fn() -> Result<(), SpawnError>| -> Done {
        let (samples, inserts) = Samples::by_turns(count, submit, || insert.step())?;
        let what = format!("spawn_process(), max_queue {limit}, {rows} rows");
        Ok(report.latency_beside(&what, &samples, ("a durable insert", &inserts))?)
    };
    time(0, || Filler { number: 0 }.spawn_process().map(drop))?;
    time(1_000_000, || {
        Limited { number: 0 }.spawn_process().map(drop)
    })
}

fn wait<T: Dispatcher>(job: &JobHandle<T>) -> Result<Ended, Box<dyn Error>> {
    loop {
        go_on()?;
        if let Some(ended) = job.wait_timeout(LOOK_INTERVAL)? {
            return Ok(ended);
        }
    }
}

fn fill(rows: usize) -> Done {
    static FILLED: AtomicUsize = AtomicUsize::new(0);
    let filled = FILLED.swap(rows, Ordering::Relaxed);
    for group in (filled..rows).step_by(GROUP) {
        go_on()?;
        let numbers = group..(group + GROUP).min(rows);
        let jobs = numbers.map(|number| Filler { number });
        spawn_all(jobs)?;
    }
    Ok(())
}

/// The same clock in every process. Somebody may set it; one bad sample changes no median.
fn now_ns() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(wall.unwrap_or_default().as_nanos()).unwrap_or(0)
}
