//! What processes cost without Dispatcher: a fork, an exec; and a service in one of its own.
//!
//! They are measured in a fresh copy of this program, which has one thread and little memory.
#![expect(unsafe_code, reason = "a bare fork has no safe form")]

mod service;

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::figures::Samples;

pub(crate) use service::Service;

/// A way to start a process, and the first argument of a copy of this program that measures it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Baseline {
    Fork,
    Exec,
}

/// First argument of a copy that only ends.
const NOTHING: &str = "bench-nothing";

impl Baseline {
    fn role(self) -> &'static str {
        match self {
            Self::Fork => "bench-fork",
            Self::Exec => "bench-exec",
        }
    }

    fn start_and_wait(self) -> io::Result<()> {
        match self {
            Self::Fork => fork_and_wait(),
            Self::Exec => exec_and_wait(),
        }
    }

    /// Times of `count` processes that do nothing, one after the other.
    pub(crate) fn measure(self, count: usize) -> Result<Samples, Box<dyn Error>> {
        let role = self.role();
        let output = Command::new("/proc/self/exe")
            .args([role, &count.to_string()])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let times = text
            .lines()
            .map(|line| line.parse().map(Duration::from_nanos));
        let times = times.collect::<Result<Vec<_>, _>>()?;
        if times.len() != count {
            return Err(format!("{role} measured {} of {count}", times.len()).into());
        }
        Ok(Samples::new(times))
    }
}

/// What this copy of the program was started for, done; none if it was not.
pub(crate) fn baseline_role() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next()?;
    if role == NOTHING {
        return Some(ExitCode::SUCCESS);
    }
    if role == service::SERVE {
        let (state, workers) = (arguments.next()?, arguments.next()?.parse().ok()?);
        return Some(ended(service::serve(&state, workers)));
    }
    #[cfg(feature = "http")]
    if role == service::RECEIVE {
        return Some(ended(service::receive(&arguments.next()?)));
    }
    #[cfg(feature = "http")]
    if role == service::ANSWER {
        return Some(ended(service::answer()));
    }
    let baselines = [Baseline::Fork, Baseline::Exec];
    let baseline = baselines.into_iter().find(|it| it.role() == role)?;
    let count = arguments.next()?.parse().ok()?;
    Some(ended(measure_and_tell(baseline, count)))
}

fn ended<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_and_tell(baseline: Baseline, count: usize) -> io::Result<()> {
    let samples = Samples::of(count, || baseline.start_and_wait())?;
    let nanos = samples.times().iter().map(|time| time.as_nanos());
    let lines: Vec<String> = nanos.map(|nanos| format!("{nanos}\n")).collect();
    io::Write::write_all(&mut io::stdout(), lines.concat().as_bytes())
}

fn fork_and_wait() -> io::Result<()> {
    // SAFETY: this copy of the program has one thread, and its child only ends.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends the child at once.
        0 => unsafe { libc::_exit(0) },
        pid => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        }
    }
}

fn exec_and_wait() -> io::Result<()> {
    Command::new("/proc/self/exe")
        .arg(NOTHING)
        .status()
        .map(drop)
}
