//! Five jobs from an embedded queue, and what becomes of each: the first thing to run.
//!
//! Everything printed is read back from the store or from `/proc`; nothing is assumed to have
//! happened. With arguments it is a command line (`quickstart jobs`).
#![expect(
    unsafe_code,
    reason = "one job dereferences null and one ignores TERM, to show what becomes of them"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::Permissions;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dispatcher_core::{
    Context, Dispatcher, ExitStatus, Failure, JobState, Options, Process, signal_name,
};
use dispatcher_runner::{Config, Dispatch, JobHandle, SpawnError, StoreFailure};
use serde::{Deserialize, Serialize};

/// Copies a folder, tells how far it is, and answers how many files there were.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 1)]
struct Backup {
    folder: String,
}

impl Process for Backup {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        for (part, file) in ["letters.txt", "photos.tar", "taxes.ods"]
            .iter()
            .enumerate()
        {
            cx.progress(part as f64 / 3.0, &format!("copying {file}"))?;
            sleep(Duration::from_millis(400));
            println!("copied {}/{file}", self.folder);
        }
        cx.output(&serde_json::json!({ "files": 3 }))
    }
}

/// Sends a file to a mirror that answers at the second try only.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(retries = 3, backoff = "constant(300ms)")]
struct Upload {
    file: String,
}

impl Process for Upload {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        if cx.attempt() == 1 {
            return Err(Failure::new("the mirror answered 503"));
        }
        println!("sent {}", self.file);
        Ok(())
    }
}

/// Ignores TERM, like the children that it starts, and never ends by itself.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "1s", grace = "500ms")]
struct Stuck;

impl Process for Stuck {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        // SAFETY: ignoring a signal runs no code of ours; the children inherit it.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .spawn()?;
        let mut elsewhere = Command::new("sh");
        elsewhere.args(["-c", "sleep 600 & wait"]);
        // SAFETY: `setsid` is async-signal-safe, and nothing else is called.
        unsafe {
            elsewhere.pre_exec(|| match libc::setsid() {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        elsewhere.spawn()?;
        cx.progress(0.0, "ignoring TERM")?;
        loop {
            sleep(Duration::from_secs(600));
        }
    }
}

/// Hands a null pointer to a C function.
#[derive(Dispatcher, Serialize, Deserialize)]
struct Crash;

impl Process for Crash {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        println!("what could go wrong?");
        // SAFETY: there is none; this is the bug whose consequences are shown.
        let length = unsafe { libc::strlen(std::hint::black_box(std::ptr::null())) };
        println!("never said: {length}");
        Ok(())
    }
}

fn main() -> ExitCode {
    // First of all: in a copy of this program that is a worker, this never returns.
    dispatcher_runner::init();
    if std::env::args_os().len() > 1 {
        return dispatcher_runner::main();
    }
    match show() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<ExitCode, Box<dyn Error>> {
    let screen = Screen::new();
    let folder = tempfile::Builder::new()
        .prefix("dispatcher-quickstart-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?
        .keep();
    let file = folder.join("state.db");
    dispatcher_runner::setup(Config::new("quickstart").with_store(&file).with_workers(4))?;

    let title = "Jobs, each in a process of its own";
    println!("{}", screen.paint(STRONG, title));
    println!("Their queue is the file {}.\n", file.display());
    let mut jobs = submit(&screen)?;
    let refused = submit_one_too_many(&screen)?;
    while jobs.iter().any(|job| !job.ended) {
        let alive = job_processes();
        for job in jobs.iter_mut().filter(|job| !job.ended) {
            job.look(&screen, &alive)?;
        }
        sleep(Duration::from_millis(15));
    }

    let headings = ["JOB", "STATE", "ATTEMPTS", "RUN TIME", "PROCESS", "PID"];
    println!("\n{}", screen.paint(STRONG, &columns(&headings)));
    for job in &jobs {
        job.row(&screen)?;
    }
    let row = columns(&["Backup", "refused", "0", "-", "-", "-"]);
    println!(
        "{row}\n    It was not stored: {refused}; {}.",
        refused.advice()
    );
    Ok(epilogue(&screen, &jobs, &file))
}

fn submit(screen: &Screen) -> Result<Vec<Followed>, SpawnError> {
    let folder = "home".to_owned();
    let backup = Backup { folder }.spawn_process()?;
    let file = "report.pdf".to_owned();
    let upload = Upload { file }.spawn_process()?;
    let stuck = Stuck.spawn_process()?;
    let crash = Crash.spawn_process()?;
    let jobs = vec![
        Followed::new(backup, "copies three files"),
        Followed::new(upload, "fails once"),
        Followed::new(stuck, "ignores TERM, starts children, never ends"),
        Followed::new(crash, "dereferences a null pointer"),
    ];
    for job in &jobs {
        screen.say(job.name, &format!("job {} {}", job.handle.id(), job.about));
    }
    Ok(jobs)
}

fn submit_one_too_many(screen: &Screen) -> Result<SpawnError, Box<dyn Error>> {
    let folder = "work".to_owned();
    match (Backup { folder }).spawn_process() {
        Err(refused @ SpawnError::QueueFull { .. }) => {
            screen.say("Backup", "a second one is refused, the queue is full");
            Ok(refused)
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("a second Backup was accepted, although its queue holds one".into()),
    }
}

/// What is left of the processes of the jobs, and where to look further.
fn epilogue(screen: &Screen, jobs: &[Followed], file: &Path) -> ExitCode {
    let seen: usize = jobs.iter().map(|job| job.processes.len()).sum();
    let alive = job_processes();
    let left: Vec<_> = jobs.iter().flat_map(|job| job.among(&alive)).collect();
    if !left.is_empty() {
        let text = format!("Still alive: {left:?}. That is a bug.");
        println!("\n{}", screen.paint(RED, &text));
        return ExitCode::FAILURE;
    }
    let text = format!("No process is left of the {seen} that these jobs were seen to have.");
    println!("\n{}", screen.paint(GREEN, &text));
    println!("The supervisor that ran them leaves by itself when it has been idle for 5 s.");
    println!("\nEverything is on record:");
    println!("  export DISPATCHER_DATABASE_URL=sqlite:{}", file.display());
    let program = "cargo run -q -p dispatcher-examples --bin quickstart --";
    println!("  {program} jobs");
    for job in jobs.iter().filter(|job| job.name == Crash::NAME) {
        println!("  {program} show {}", &job.handle.id().as_str()[..6]);
    }
    ExitCode::SUCCESS
}

/// A job that is looked at again and again.
struct Followed {
    name: &'static str,
    about: &'static str,
    handle: JobHandle<()>,
    options: Options,
    /// Attempts whose end was told.
    told: usize,
    /// What was last told of the attempt under way.
    progress: Option<String>,
    /// All that were seen alive.
    processes: BTreeSet<u32>,
    ended: bool,
}

impl Followed {
    fn new<T: Dispatcher>(handle: JobHandle<T>, about: &'static str) -> Self {
        Self {
            name: T::NAME,
            about,
            handle: handle.erased(),
            options: (T::definition().options)(),
            told: 0,
            progress: None,
            processes: BTreeSet::new(),
            ended: false,
        }
    }

    /// Its processes among all that belong to jobs.
    fn among<'a>(&self, alive: &'a [(String, u32)]) -> impl Iterator<Item = u32> + use<'a> {
        let id = self.handle.id();
        alive
            .iter()
            .filter(move |(job, _)| job == id.as_str())
            .map(|(_, pid)| *pid)
    }

    /// Tells what has happened since the last look.
    fn look(&mut self, screen: &Screen, alive: &[(String, u32)]) -> Result<(), StoreFailure> {
        self.count(screen, alive);
        let status = self.handle.status()?;
        if let Some((fraction, text)) = status.progress.filter(|_| !status.state.is_terminal())
            && self.progress.as_ref() != Some(&text)
        {
            let percent = fraction * 100.0;
            screen.say(self.name, &format!("{percent:3.0} %  {text}"));
            self.progress = Some(text);
        }
        let attempts = self.handle.attempts()?;
        for attempt in &attempts[self.told..] {
            let what = attempt.outcome.cause.sentence(&self.options);
            let number = attempt.number;
            screen.say(self.name, &format!("attempt {number} {what}"));
        }
        if attempts.len() > self.told && self.handle.status()?.state == JobState::Queued {
            screen.say(self.name, "waits for its next attempt");
        }
        self.told = attempts.len();
        // Read before the attempts, so that none of an ended job is missed.
        self.ended = status.state.is_terminal();
        Ok(())
    }

    fn count(&mut self, screen: &Screen, alive: &[(String, u32)]) {
        let known = self.processes.len();
        self.processes.extend(self.among(alive));
        let count = self.processes.len();
        // A worker alone is nothing to speak of.
        if self.name == Stuck::NAME && count > known && count > 1 {
            screen.say(self.name, &format!("{count} processes so far"));
        }
    }

    /// One row of the table, and below it what happened in words.
    fn row(&self, screen: &Screen) -> Result<(), StoreFailure> {
        let end = self.handle.wait()?;
        let attempts = self.handle.attempts()?;
        let time: Duration = attempts.iter().map(|attempt| attempt.run_time).sum();
        let last = attempts.last();
        let pid = last.and_then(|attempt| attempt.pid);
        let row = columns(&[
            self.name,
            end.state.as_str(),
            &attempts.len().to_string(),
            &format!("{:.2} s", time.as_secs_f64()),
            &process(end.outcome.exit_status),
            &pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        ]);
        let colour = match end.state {
            JobState::Succeeded => GREEN,
            JobState::Failed | JobState::Cancelled | JobState::Queued | JobState::Running => RED,
        };
        println!("{}", screen.paint(colour, &row));
        println!("    It {}.", end.cause().sentence(&self.options));
        if let Some(output) = &end.output {
            println!("    Its output: {output}");
        }
        let captured = self.handle.captured(attempts.len() as u32)?.stdout;
        let printed = String::from_utf8_lossy(&captured);
        if !printed.is_empty() {
            let lines: Vec<_> = printed.lines().collect();
            println!("    It printed: {}", lines.join(" / "));
        }
        Ok(())
    }
}

/// How a process ended, as the kernel says.
fn process(status: Option<ExitStatus>) -> String {
    match status {
        Some(ExitStatus::Exited(code)) => format!("exit {code}"),
        Some(ExitStatus::Signalled { signal, .. }) => signal_name(signal).into_owned(),
        None => "-".to_owned(),
    }
}

fn columns(cells: &[&str; 6]) -> String {
    let [job, state, attempts, time, process, pid] = cells;
    format!("{job:<10}{state:<13}{attempts:<11}{time:<11}{process:<11}{pid}")
}

/// Every process that carries the tag of a job, with the job's id.
fn job_processes() -> Vec<(String, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let tagged = |pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let tag = variables.find_map(|variable| variable.strip_prefix(b"DISPATCHER_ATTEMPT="))?;
        let (job, _) = std::str::from_utf8(tag).ok()?.split_once('.')?;
        Some((job.to_owned(), pid))
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(tagged)
        .collect()
}

const STRONG: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const DIM: &str = "2";

/// Where it is all told.
struct Screen {
    start: Instant,
    colours: bool,
}

impl Screen {
    fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let start = Instant::now();
        Self { start, colours }
    }

    /// One thing that has just happened.
    fn say(&self, job: &str, what: &str) {
        let time = format!("{:6.2} s", self.start.elapsed().as_secs_f64());
        println!("{}  {job:<8}{what}", self.paint(DIM, &time));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
