//! What Dispatcher is made of, bare: a fork, an exec, a durable insert.
#![expect(unsafe_code, reason = "a bare fork has no safe form")]

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::figures::Samples;

pub(crate) const FORK: &str = "bench-baseline-fork";
pub(crate) const EXEC: &str = "bench-baseline-exec";
const NOTHING: &str = "bench-baseline-nothing";

/// What a copy of this program was started for, done.
pub(crate) fn role() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next()?;
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    let times = match role.as_str() {
        NOTHING => return Some(ExitCode::SUCCESS),
        FORK => Samples::of(count, fork_and_wait).map(print),
        EXEC => Samples::of(count, exec_and_wait).map(print),
        _ => return None,
    };
    Some(if times.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a baseline in a fresh copy of this program, which has one thread and little memory.
pub(crate) fn in_a_small_process(role: &str, count: usize) -> Result<Samples, Box<dyn Error>> {
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

/// One row a transaction, write-ahead log, synced: what SQLite itself asks for durability.
pub(crate) struct DurableInsert {
    connection: rusqlite::Connection,
    number: usize,
}

impl DurableInsert {
    pub(crate) fn open(directory: &Path) -> rusqlite::Result<Self> {
        let connection = rusqlite::Connection::open(directory.join("baseline.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE jobs (id TEXT PRIMARY KEY, name TEXT, payload TEXT) STRICT;",
        )?;
        Ok(Self {
            connection,
            number: 0,
        })
    }

    pub(crate) fn step(&mut self) -> rusqlite::Result<()> {
        self.number += 1;
        self.connection
            .prepare_cached("INSERT INTO jobs VALUES (?, 'Noop', '{}')")?
            .execute([format!("{:016}", self.number)])
            .map(drop)
    }
}

fn print(samples: Samples) {
    for time in samples.times() {
        println!("{}", time.as_nanos());
    }
}

fn fork_and_wait() -> std::io::Result<()> {
    // SAFETY: this copy of the program has one thread, and its child only ends.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        // SAFETY: ends the child at once.
        0 => unsafe { libc::_exit(0) },
        pid => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        }
    }
}

fn exec_and_wait() -> std::io::Result<()> {
    Command::new("/proc/self/exe")
        .arg(NOTHING)
        .status()
        .map(drop)
}
