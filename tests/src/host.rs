//! Hosts that share a database: each is a folder of its own below a home, with its state, its
//! service's log and, if it needs one, its configuration.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::{Database, Home, PATIENCE, eventually, kill, terminate};

/// The program on a host.
#[must_use]
pub fn on_host(home: &Home, host: &str, url: &str, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command
        .env("DISPATCHER_DATABASE_URL", url)
        .env("XDG_STATE_HOME", home.file(host));
    command
}

/// Writes the configuration of a host.
///
/// # Panics
/// When it cannot be written.
pub fn configure_host(home: &Home, host: &str, config: &str) {
    let text = format!("version = 1\n{config}\n");
    fs::write(config_of(home, host), text).expect("it can be written");
}

fn config_of(home: &Home, host: &str) -> PathBuf {
    home.file(&format!("{host}.toml"))
}

/// A service on a host, with its log in `<host>.log`.
#[derive(Debug)]
pub struct HostService {
    child: Child,
    log: PathBuf,
}

impl HostService {
    /// Starts one that may stand still for a minute.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(home: &Home, host: &str, url: &str) -> Self {
        Self::start_with(home, host, url, "60s")
    }

    /// Starts one with this lease.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_with(home: &Home, host: &str, url: &str, lease: &str) -> Self {
        let log = home.file(&format!("{host}.log"));
        let mut command = on_host(home, host, url, &["serve"]);
        command.env("DISPATCHER_STORE_LEASE", lease);
        command.env_remove("DISPATCHER_LOG");
        let config = config_of(home, host);
        if config.exists() {
            command.arg("--config").arg(config);
        }
        let append = File::options().create(true).append(true).open(&log);
        command.stderr(append.expect("the directory can be written"));
        let child = command.spawn().expect("the program starts");
        Self { child, log }
    }

    /// Waits until its row is open.
    #[must_use]
    pub fn open(self, database: &Database<'_>) -> Self {
        let rows = format!(
            "SELECT count(*) FROM dispatcher.supervisors WHERE pid = {}",
            self.pid()
        );
        eventually("the service is open", PATIENCE, || {
            let asked = database.try_psql(&rows);
            asked.status.success() && asked.stdout.starts_with(b"1")
        });
        self
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// When nobody can say.
    pub fn is_alive(&mut self) -> bool {
        let ended = self.child.try_wait().expect("it is a child");
        ended.is_none()
    }

    /// What it and those before it on the host have logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Panics
    /// When it says that something went wrong.
    pub fn end(mut self) {
        terminate(self.child.id());
        let status = self.child.wait().expect("it is a child");
        assert!(status.success(), "{status:?}: {}", self.log());
    }
}

impl Drop for HostService {
    fn drop(&mut self) {
        kill(self.pid());
        let _ = self.child.wait();
    }
}
