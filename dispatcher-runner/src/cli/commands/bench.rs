//! `bench`: what the generic binary measures, as its command line asks for it.
//!
//! The measuring itself belongs to that binary, which has dispatchers for it; this library, and so
//! every application, has none.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::arguments::Arguments;
use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::grammar::BENCH_WORDS;
use crate::cli::{Environment, generic};

/// Measures, and writes figures as it goes.
pub type Bench = fn(&BenchOptions, &mut dyn Write) -> Result<(), Box<dyn Error>>;

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchOptions {
    /// What of it.
    pub subject: BenchSubject,
    /// Largest number of queued rows at which submissions are timed.
    pub rows: usize,
    /// Jobs of each end-to-end run.
    pub jobs: usize,
    /// Worker slots of the supervisor, if not as many as by default.
    pub workers: Option<u32>,
    /// An existing folder, in which the state gets one of its own.
    pub directory: PathBuf,
    /// How figures are written.
    pub form: BenchForm,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchSubject {
    /// Submissions, and jobs from end to end.
    Jobs,
    /// Jobs over HTTP, up to the moment they are accepted.
    #[cfg(feature = "http")]
    Http,
}

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchForm {
    /// A table, line by line.
    Table,
    /// One array of JSON, at the end.
    Json,
}

pub(crate) fn bench(environment: &mut Environment<'_>, arguments: &Arguments) -> Done {
    let Some(bench) = environment.bench else {
        return Err(generic::only_there("bench", &environment.program).into());
    };
    let options = options(environment, arguments)?;
    if cfg!(debug_assertions) {
        environment.terminal.note(
            "note: this build is not optimised, so its figures mean little; use cargo's --release",
        );
    }
    match bench(&options, environment.terminal.out()) {
        Ok(()) => Ok(0),
        Err(error) => Err(stop(&*error, &options)),
    }
}

fn options(environment: &Environment<'_>, arguments: &Arguments) -> Result<BenchOptions, CliError> {
    let temporary = || {
        environment
            .surroundings
            .variable("TMPDIR")
            .map(PathBuf::from)
    };
    let directory = arguments
        .path("directory")
        .or_else(temporary)
        .unwrap_or_else(|| PathBuf::from("/tmp"));
    let form = match arguments.has("json") {
        true => BenchForm::Json,
        false => BenchForm::Table,
    };
    Ok(BenchOptions {
        subject: subject(arguments)?,
        rows: number(arguments, "rows")?.unwrap_or(1_000_000),
        jobs: number(arguments, "jobs")?.unwrap_or(20_000),
        workers: number(arguments, "workers")?,
        directory,
        form,
    })
}

fn subject(arguments: &Arguments) -> Result<BenchSubject, CliError> {
    match arguments.words.first().map(String::as_str) {
        None | Some("jobs") => Ok(BenchSubject::Jobs),
        #[cfg(feature = "http")]
        Some("http") => Ok(BenchSubject::Http),
        #[cfg(not(feature = "http"))]
        Some("http") => Err(CliError::usage(
            "bench cannot measure `http`",
            "this program was built without the feature `http`",
            "`cargo build --release -p dispatcher-runner --features http`",
        )),
        Some(other) => Err(CliError::usage(
            format!("bench cannot measure `{other}`"),
            format!("it measures {}", BENCH_WORDS.join(" or ")),
            "`bench --help`",
        )),
    }
}

fn number<T: FromStr + Default + PartialEq>(
    arguments: &Arguments,
    long: &str,
) -> Result<Option<T>, CliError> {
    let Some(text) = arguments.value(long) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if number != T::default() => Ok(Some(number)),
        Ok(_) | Err(_) => Err(CliError::usage(
            format!("--{long} is no number: {text}"),
            "it counts something: a whole number, 1 or more",
            "`bench --help`",
        )),
    }
}

fn stop(error: &(dyn Error + 'static), options: &BenchOptions) -> Stop {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if kind == Some(io::ErrorKind::BrokenPipe) {
        return Stop::Pipe;
    }
    let directory = options.directory.display();
    Stop::from(CliError::new(
        exit::NEGATIVE,
        "the benchmark could not be finished",
        crate::log::chain(error),
        format!("see that {directory} can be written and has room, or name another --directory"),
    ))
}
