//! Measures Dispatcher beside what it is made of, in one run, and prints ratios.
//!
//! Nothing here asserts a time: machines differ, ratios of one run are what can be compared.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod baseline;
mod figures;
mod jobs;

use std::process::ExitCode;

use dispatcher_runner::Config;

use baseline::DurableInsert;
use figures::{Report, Samples};

/// Rows at which submissions are timed, smallest first.
const ROWS: [usize; 3] = [1_000, 100_000, 1_000_000];

const HELP: &str = "\
bench: what Dispatcher costs, as ratios against its parts in the same run

usage: bench [--rows N] [--jobs N] [--workers N] [--directory DIR]

  --rows N       largest number of queued rows at which submissions are timed (1000000)
  --jobs N       jobs of each end-to-end run (20000)
  --workers N    worker slots of the supervisor (twice the number of CPUs)
  --directory D  where the state lies; the disk is part of the figures (a temporary directory)

Build it with --release.
";

fn main() -> ExitCode {
    dispatcher_runner::init();
    match baseline::role() {
        Some(code) => code,
        None => match Arguments::parse(std::env::args().skip(1)) {
            Ok(Some(arguments)) => run(&arguments),
            Ok(None) => {
                print!("{HELP}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}\ntry: bench --help");
                ExitCode::from(64)
            }
        },
    }
}

struct Arguments {
    rows: usize,
    jobs: usize,
    workers: Option<u32>,
    directory: Option<std::path::PathBuf>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Self {
            rows: 1_000_000,
            jobs: 20_000,
            workers: None,
            directory: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rows" => arguments.rows = number(&value()?)?,
                "--jobs" => arguments.jobs = number(&value()?)?,
                "--workers" => arguments.workers = Some(number(&value()?)?),
                "--directory" => arguments.directory = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(Some(arguments))
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn run(arguments: &Arguments) -> ExitCode {
    let result = measure(arguments);
    if let Err(error) = &result {
        eprintln!("error: {error}");
    }
    if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let parent = arguments
        .directory
        .clone()
        .unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::tempdir_in(parent)?;
    let mut report = Report::start();
    let mut insert = DurableInsert::open(directory.path())?;
    let inserts = Samples::of(400, || insert.step())?;
    let fork = baseline::in_a_small_process(baseline::FORK, 4_000)?;
    let exec = baseline::in_a_small_process(baseline::EXEC, 400)?;
    report.baseline("durable SQLite insert, own transaction", &inserts);
    report.baseline("fork + _exit + wait, serial", &fork);
    report.baseline("exec of this binary + wait, serial", &exec);
    let store = directory.path().join("state.db");
    let mut config = Config::new("dispatcher-bench").with_store(&store);
    if let Some(workers) = arguments.workers {
        config = config.with_workers(workers);
    }
    dispatcher_runner::setup(config)?;
    jobs::first_submission(&mut report)?;
    jobs::idle_to_running(&mut report, 200)?;
    jobs::end_to_end::<jobs::Forked>(&mut report, "forked", arguments.jobs, ("fork", &fork))?;
    jobs::end_to_end::<jobs::Execed>(&mut report, "exec'd", arguments.jobs / 10, ("exec", &exec))?;
    for rows in ROWS.into_iter().filter(|rows| *rows <= arguments.rows) {
        jobs::submission(&mut report, rows, 300, &mut insert)?;
    }
    jobs::end_supervisors(&store)?;
    report.end();
    Ok(())
}
