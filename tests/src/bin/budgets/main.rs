//! Measures what a user's program pays for Dispatcher before it has run a job: crates, build, size,
//! start, memory.
//!
//! The program is built from nothing in a folder of its own, beside one that has SQLite alone.
//! Nothing here asserts a time; the number of crates is held by `tests/budgets.rs`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod build;
mod idle;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// Starts of which the median is told.
const STARTS: usize = 200;

const HELP: &str = "\
budgets: what a program pays for Dispatcher before it has run a job

usage: budgets [--program PATH]

  --program PATH  a built program with the dispatcher Nothing; without it one is built from
                  nothing, with optimisations, which takes some minutes

Build it with --release.
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match (words.next().as_deref(), words.next()) {
        (None, None) => from_nothing(),
        (Some("--program"), Some(path)) => running_at(&path),
        (Some("--help" | "-h"), None) => {
            print!("{HELP}");
            Ok(())
        }
        (Some(_) | None, _) => Err("that is not understood; try: budgets --help".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn from_nothing() -> Done {
    let folder = tempfile::tempdir()?;
    for tree in dispatcher_tests::TREES {
        let crates = dispatcher_tests::crates_of(tree);
        let (run, all) = (crates.at_run_time, crates.in_the_build);
        row(
            &format!("crates of {}", tree.name),
            format!("{run} at run time, {all} in the build"),
        );
    }
    let alone = build::cold(&build::SQLITE_ALONE, folder.path())?;
    let minimal = build::cold(&build::MINIMAL, folder.path())?;
    for (what, built) in [("SQLite alone", &alone), ("a minimal program", &minimal)] {
        let (time, cpu) = (built.time.as_secs_f64(), built.cpu.as_secs_f64());
        row(
            &format!("cold build of {what}"),
            format!("{cpu:.0} s of CPU, {time:.0} s in all"),
        );
        let (size, stripped) = (mebibytes(built.size), mebibytes(built.stripped));
        row(
            &format!("size of {what}"),
            format!("{size}, {stripped} stripped"),
        );
    }
    let cpu = minimal.cpu.as_secs_f64() / alone.cpu.as_secs_f64();
    let size = minimal.stripped as f64 / alone.stripped as f64;
    row(
        "minimal program : SQLite alone",
        format!("{cpu:.1} x CPU, {size:.1} x size"),
    );
    running(&minimal.program)
}

fn running_at(program: &str) -> Done {
    // It is started from other folders.
    let found = std::fs::canonicalize(program);
    running(&found.map_err(|error| format!("{program}: {error}"))?)
}

fn running(program: &PathBuf) -> Done {
    let bare = starts(&PathBuf::from("true"), &[])?;
    row("start of `true`, median", micros(bare));
    for arguments in [&["--version"][..], &["list"]] {
        let time = starts(program, arguments)?;
        let ratio = time.as_secs_f64() / bare.as_secs_f64();
        let what = format!("start with `{}`, median", arguments.join(" "));
        row(&what, format!("{}, {ratio:.1} x true", micros(time)));
    }
    let idle = idle::measure(program)?;
    row("idle supervisor", format!("{} KiB PSS", idle.supervisor));
    row("idle keeper", format!("{} KiB PSS", idle.keeper));
    let both = idle.supervisor + idle.keeper;
    row(
        "both together",
        format!("{both} KiB PSS ({} of a service's 15 MB)", percent(both)),
    );
    Ok(())
}

/// The median time from the start of a program to its end.
fn starts(program: &PathBuf, arguments: &[&str]) -> Done<Duration> {
    let home = tempfile::tempdir()?;
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", home.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status()?;
        times.push(start.elapsed());
        if !status.success() {
            return Err(format!("{} {arguments:?}: {status}", program.display()).into());
        }
    }
    times.sort_unstable();
    Ok(times[STARTS / 2])
}

fn row(what: &str, value: impl std::fmt::Display) {
    println!("{what:36} {value}");
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn percent(kibibytes: u64) -> String {
    format!("{:.0} %", kibibytes as f64 * 1024.0 / 15e6 * 100.0)
}
