//! A service of this program's own dispatchers, in a process of its own.
//!
//! It ends with whoever started it, however that ends: its standard input is a pipe that nobody
//! else holds.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dispatcher_runner::{Config, DEFAULT_POOL, PoolConfig};
use rustix::process::{Pid, Signal};

use super::super::scene::go_on;

/// First argument of a copy that is the service; the state and the number of workers follow.
pub(super) const SERVE: &str = "bench-serve";

/// Time for its row to be there.
const START_TIME: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A service that is running.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it over a state that nobody else serves, and waits until it takes work. Its pool has
    /// so many workers.
    pub(crate) fn start(state: &Path, workers: u32) -> Result<Self, Box<dyn Error>> {
        let log = state.with_file_name("service.log");
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(SERVE)
            .arg(state)
            .arg(workers.to_string())
            // Two lines a job are for a person's eyes, not for a figure.
            .env("DISPATCHER_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let mut service = Self {
            child: command.spawn()?,
            log,
        };
        let start = Instant::now();
        while !service.is_open(state)? {
            go_on()?;
            let ended = service.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIME {
                let log = std::fs::read_to_string(&service.log)?;
                return Err(format!("the service did not start: {}", log.trim()).into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(service)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn is_open(&self, state: &Path) -> rusqlite::Result<bool> {
        let connection = rusqlite::Connection::open(state)?;
        let mut open = connection.prepare(include_str!("../sql/bench_supervisors.sql"))?;
        let pids = open.query_map([], |row| row.get::<_, u32>(0))?;
        let pids = pids.collect::<rusqlite::Result<Vec<u32>>>()?;
        Ok(pids.contains(&self.pid()))
    }
}

/// Nothing of it is left.
impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("note: the service of this run was not ended: {error}");
        }
    }
}

/// Serves until standard input ends.
pub(super) fn serve(state: &str, workers: u32) -> Result<(), Box<dyn Error>> {
    dispatcher_runner::init();
    let pool = PoolConfig {
        min_workers: workers,
        max_workers: workers,
        ..PoolConfig::default()
    };
    let config = Config::new("dispatcher-bench")
        .with_store(state)
        .with_pool(DEFAULT_POOL, pool);
    std::thread::spawn(end_with_input);
    Ok(dispatcher_runner::Service::new(config).run()?)
}

fn end_with_input() {
    let mut input = io::stdin().lock();
    while input.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    if let Some(own) = Pid::from_raw(std::process::id().cast_signed()) {
        let _ = rustix::process::kill_process(own, Signal::TERM);
    }
}
