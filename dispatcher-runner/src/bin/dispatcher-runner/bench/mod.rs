//! Measures Dispatcher beside what it is made of, in one run, and tells ratios.
//!
//! Nothing here asserts a time: machines differ, ratios of one run are what can be compared. What
//! was made for the run is gone after it, also when it was interrupted.

mod figures;
#[cfg(feature = "http")]
mod http;
mod insert;
mod jobs;
mod memory;
mod process;
mod scene;
mod warm;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use dispatcher_runner::__generic::{BenchOptions, BenchSubject};
use dispatcher_runner::Config;

use figures::{Report, Samples};
use insert::DurableInsert;
use process::Baseline;
use scene::Scene;

pub(crate) use process::baseline_role;

/// Rows at which submissions are timed, smallest first, as far as they are asked for.
const ROWS: [usize; 3] = [1_000, 100_000, 1_000_000];

/// Longer than any run.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// A pooled job takes so much less that fewer would end between two looks.
const POOLED: usize = 2;

pub(crate) fn run(options: &BenchOptions, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let scene = Scene::set(&options.directory)?;
    let measured = match options.subject {
        BenchSubject::Jobs => measure(&scene, options, out),
        #[cfg(feature = "http")]
        BenchSubject::Http => http::measure(&scene, options, out),
    };
    drop(scene);
    scene::end_as_asked();
    measured
}

fn measure(
    scene: &Scene,
    options: &BenchOptions,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let (mut report, mut insert) = begin(scene, options, out)?;
    let fork = Baseline::Fork.measure(4_000)?;
    let exec = Baseline::Exec.measure(400)?;
    report.baseline("fork + _exit + wait, serial", &fork)?;
    report.baseline("exec of this binary + wait, serial", &exec)?;
    let mut config = config_of(scene.state());
    if let Some(workers) = options.workers {
        config = config.with_workers(workers);
    }
    dispatcher_runner::setup(config)?;
    jobs::first_submission(&mut report)?;
    jobs::idle_to_running::<jobs::Clock>(&mut report, "idle -> running", 200)?;
    jobs::end_to_end::<jobs::Forked>(&mut report, "forked", options.jobs, ("fork", &fork))?;
    // An exec costs ten times as much.
    let execs = options.jobs.div_ceil(10);
    jobs::end_to_end::<jobs::Execed>(&mut report, "exec'd", execs, ("exec", &exec))?;
    // Nobody but the service takes what comes next.
    scene.end_supervisors()?;
    let pooled = options.jobs * POOLED;
    let workers = options.workers.unwrap_or_else(processors);
    warm::service(
        &mut report,
        &scene.state(),
        workers,
        (pooled, ("fork", &fork)),
    )?;
    let smaller = ROWS.into_iter().filter(|rows| *rows < options.rows);
    for rows in smaller.chain([options.rows]) {
        jobs::submission(&mut report, rows, 300, &mut insert)?;
    }
    report.end()
}

/// A report that has the durable insert, which every subject stands beside.
fn begin<'o>(
    scene: &Scene,
    options: &BenchOptions,
    out: &'o mut dyn Write,
) -> Result<(Report<'o>, DurableInsert), Box<dyn Error>> {
    let mut report = Report::start(options.form, out)?;
    let mut insert = DurableInsert::open(scene.directory())?;
    let inserts = Samples::of(400, || insert.step())?;
    report.baseline("durable SQLite insert, own transaction", &inserts)?;
    Ok((report, insert))
}

/// For a state whose jobs all stay on record: they are counted and looked at after their ends.
fn config_of(state: impl Into<PathBuf>) -> Config {
    Config::new("dispatcher-bench")
        .with_store(state)
        .with_retention(RETENTION, u64::MAX)
}

fn processors() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}
