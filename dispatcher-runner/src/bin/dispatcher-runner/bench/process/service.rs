//! A service of this program's own dispatchers, in a process of its own.
//!
//! It ends with whoever started it, however that ends: its standard input is a pipe that nobody
//! else holds.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
#[cfg(feature = "http")]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dispatcher_runner::{DEFAULT_POOL, PoolConfig};
use rustix::process::{Pid, Signal};

#[cfg(feature = "http")]
use super::super::http::{SECRET, blank};
use super::super::scene::go_on;

/// First argument of a copy that is the service; the state and the number of workers follow.
pub(super) const SERVE: &str = "bench-serve";
/// First argument of a copy that receives jobs over HTTP; the state follows.
#[cfg(feature = "http")]
pub(super) const RECEIVE: &str = "bench-receive";
/// First argument of a copy that only answers over HTTP.
#[cfg(feature = "http")]
pub(super) const ANSWER: &str = "bench-answer";

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
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(SERVE)
            .arg(state)
            .arg(workers.to_string())
            // Two lines a job are for a person's eyes, not for a figure.
            .env("DISPATCHER_LOG", "warn");
        let mut service = Self::spawn(&mut command, state.with_file_name("service.log"))?;
        service.wait_for(|service| Ok(service.is_open(state)?.then_some(())))?;
        Ok(service)
    }

    /// Starts one that receives jobs over HTTP, over a state of its own, and says where.
    #[cfg(feature = "http")]
    pub(crate) fn receiving(state: &Path) -> Result<(Self, SocketAddr), Box<dyn Error>> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(RECEIVE).arg(state);
        Self::listening(&mut command, state.with_file_name("receiving.log"))
    }

    /// Starts what only answers, and says where.
    #[cfg(feature = "http")]
    pub(crate) fn answering(directory: &Path) -> Result<(Self, SocketAddr), Box<dyn Error>> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(ANSWER);
        Self::listening(&mut command, directory.join("answering.log"))
    }

    #[cfg(feature = "http")]
    fn listening(
        command: &mut Command,
        log: PathBuf,
    ) -> Result<(Self, SocketAddr), Box<dyn Error>> {
        command.env("DISPATCHER_LOG", "info");
        let mut service = Self::spawn(command, log)?;
        let address = service.wait_for(|service| {
            let log = std::fs::read_to_string(&service.log)?;
            let told = log.split_once("jobs over HTTP address=");
            let told = told.and_then(|(_, after)| after.split_once(char::is_whitespace));
            Ok(told.map(|(address, _)| address.parse()).transpose()?)
        })?;
        Ok((service, address))
    }

    fn spawn(command: &mut Command, log: PathBuf) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = command.spawn()?;
        Ok(Self { child, log })
    }

    fn wait_for<T>(
        &mut self,
        look: impl Fn(&Self) -> Result<Option<T>, Box<dyn Error>>,
    ) -> Result<T, Box<dyn Error>> {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            go_on()?;
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIME {
                let log = std::fs::read_to_string(&self.log)?;
                return Err(format!("the service did not start: {}", log.trim()).into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
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
    let config = super::super::config_of(state).with_pool(DEFAULT_POOL, pool);
    std::thread::spawn(end_with_input);
    Ok(dispatcher_runner::Service::new(config).run()?)
}

/// Receives jobs over HTTP until standard input ends. Rate and queue have no limit.
#[cfg(feature = "http")]
pub(super) fn receive(state: &str) -> Result<(), Box<dyn Error>> {
    dispatcher_runner::init();
    let mut section = toml::Table::new();
    section.insert("address".into(), "127.0.0.1:0".into());
    section.insert("is_backend".into(), true.into());
    section.insert("secret".into(), SECRET.into());
    let config = super::super::config_of(state).with_source("http", section);
    std::thread::spawn(end_with_input);
    Ok(dispatcher_runner::Service::new(config).run()?)
}

/// Only answers, until standard input ends.
#[cfg(feature = "http")]
pub(super) fn answer() -> Result<(), Box<dyn Error>> {
    std::thread::spawn(end_with_input);
    blank::serve()
}

fn end_with_input() {
    let mut input = io::stdin().lock();
    while input.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    if let Some(own) = Pid::from_raw(std::process::id().cast_signed()) {
        let _ = rustix::process::kill_process(own, Signal::TERM);
    }
}
