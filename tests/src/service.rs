//! A service under test, and what it tells from outside.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use crate::{Home, PATIENCE, eventually};

/// A service of a home's program, with its log in `service.log`.
#[derive(Debug)]
pub struct Serving {
    child: Child,
}

impl Serving {
    /// Starts one, and waits until it answers at its control socket.
    ///
    /// # Panics
    /// When it does not begin.
    #[must_use]
    pub fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::start_with(home, arguments, &[])
    }

    /// Starts one with more variables in its environment.
    ///
    /// # Panics
    /// When it does not begin.
    #[must_use]
    pub fn start_with(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = File::create(home.file("service.log")).expect("the directory can be written");
        let mut command = home.command(["serve"]);
        command.env_remove("DISPATCHER_LOG");
        command.args(arguments).envs(variables.iter().copied());
        let child = command.stderr(log).spawn();
        let mut service = Self {
            child: child.expect("the program starts"),
        };
        eventually("the service answers", PATIENCE, || {
            let ended = service.child.try_wait().expect("it is a child");
            assert!(ended.is_none(), "{ended:?}: {}", home.read("service.log"));
            let own = format!("/{}-", service.pid());
            let sockets = control_sockets(home).into_iter();
            sockets
                .map(|it| it.to_string_lossy().into_owned())
                .any(|it| it.contains(&own))
        });
        service
    }

    /// Starts one with this configuration.
    ///
    /// # Panics
    /// When it does not begin.
    #[must_use]
    pub fn configured(home: &Home, config: &str) -> Self {
        let file = home.file("dispatcher.toml");
        fs::write(&file, format!("version = 1\n{config}\n")).expect("it can be written");
        let file = file.to_str().expect("a path in UTF-8");
        Self::start(home, &["--config", file])
    }

    /// Waits until a worker of it serves this job; a claim alone may be given back unstarted.
    pub fn works_on(&self, home: &Home, job: &str) {
        eventually("a worker serves the job", PATIENCE, || {
            let output = home.output(["workers", "--json"], b"");
            let seen: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            let services = seen["services"].as_array()?;
            let mut workers = services
                .iter()
                .filter_map(|it| it["workers"].as_array())
                .flatten();
            let is = workers.any(|it| it["job"]["id"] == job && it["pid"].is_u64());
            is.then_some(())
        });
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self) -> ExitStatus {
        eventually("the service ends", PATIENCE, || {
            let ended = self.child.try_wait();
            ended.expect("it is a child of this process")
        })
    }

    /// The address of metrics and health, as its log tells it.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn admin(&self, home: &Home) -> String {
        let log = home.read("service.log");
        let after = log.split_once("metrics and health");
        let (_, after) = after.unwrap_or_else(|| panic!("no address: {log}"));
        let from = after.find("127.0.0.1:").expect("a loopback address");
        let address = &after[from..];
        let end = address.find(|it: char| !it.is_ascii_digit() && it != '.' && it != ':');
        address[..end.unwrap_or(address.len())].to_owned()
    }
}

/// A service that a failed test leaves must not outlive it.
impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The control sockets below the state of a home.
#[must_use]
pub fn control_sockets(home: &Home) -> Vec<PathBuf> {
    let Ok(supervisors) = fs::read_dir(home.state().join("supervisors")) else {
        return Vec::new();
    };
    let sockets = supervisors
        .flatten()
        .map(|it| it.path().join("control.sock"));
    sockets.filter(|socket| socket.exists()).collect()
}

/// Status and body of a page; none when nobody answers.
#[must_use]
pub fn page(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").ok()?;
    let mut all = String::new();
    stream.read_to_string(&mut all).ok()?;
    let (head, body) = all.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The value of a sample in an exposition, with its labels as they stand there.
#[must_use]
pub fn sample(exposition: &str, name: &str) -> Option<f64> {
    let mut lines = exposition.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}
