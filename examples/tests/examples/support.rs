//! Programs with a state of their own, and a client for their HTTP.
//!
//! Nothing sleeps for a fixed time: what is waited for is asked for until a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of the examples, with a state that nobody else has.
pub(crate) struct Program {
    path: &'static str,
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Program {
    pub(crate) fn new(path: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the state");
        Self {
            path,
            folder,
            variables: Vec::new(),
        }
    }

    /// With a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// A folder for whatever the example writes.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.folder.path().join("work");
        std::fs::create_dir_all(&folder).expect("a folder for its files");
        folder
    }

    /// Where its state lies.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        let url = format!(
            "sqlite:{}",
            self.folder.path().join("state/state.db").display()
        );
        command
            .args(arguments)
            .env("DISPATCHER_DATABASE_URL", url)
            .env("TMPDIR", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env_remove("DISPATCHER_CONFIG")
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        output.expect("the example can be started")
    }

    /// Runs to a good end; its standard output.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(output.stdout)
    }

    /// Runs to a good end; its standard output as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(arguments);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Starts it as a server; the address that it prints.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be started");
        let stdout = child.stdout.take().expect("it was piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it prints its address");
        let address = line
            .trim()
            .rsplit('/')
            .next()
            .expect("an address")
            .to_owned();
        Server { child, address }
    }
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("examples print text")
}

/// A server that is killed with the test.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request; an error when nobody answers.
pub(crate) fn http(address: &str, request: &str, body: &str) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        connection,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut all = String::new();
    connection.read_to_string(&mut all)?;
    let broken = || std::io::Error::other(format!("no HTTP: {all:?}"));
    let (headers, body) = all.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = headers.split(' ').nth(1).and_then(|it| it.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        headers: headers.to_owned(),
        body: body.to_owned(),
    })
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there, a zombie not counted.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    std::fs::read_to_string(stat)
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(") ")
                .map(|(_, rest)| !rest.starts_with(['Z', 'X']))
        })
        .unwrap_or(false)
}
