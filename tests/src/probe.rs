//! Asks the source `probe` of a service under test: direct requests to pools, and jobs.
//!
//! One connection asks one thing after the other; what is to happen at once needs several.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Home, PATIENCE, eventually};

/// The section that switches the source on.
#[must_use]
pub fn probe_section(home: &Home) -> String {
    let socket = home.file("probe.sock");
    format!("[sources.probe]\nsocket = {:?}\n", socket)
}

/// A connection to the source.
#[derive(Debug)]
pub struct Probe {
    stream: BufReader<UnixStream>,
}

impl Probe {
    /// Connects as soon as the source listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn connect(home: &Home) -> Self {
        Self::connect_in(home.path())
    }

    /// The same of a home that has this directory.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn connect_in(directory: &Path) -> Self {
        let socket = directory.join("probe.sock");
        eventually("the source listens", PATIENCE, || {
            Self::try_connect(&socket)
        })
    }

    fn try_connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(2 * PATIENCE)).ok()?;
        let stream = BufReader::new(stream);
        Some(Self { stream })
    }

    /// Asks, and waits for the answer; none when the source is gone.
    pub fn try_ask(&mut self, question: &Value) -> Option<Value> {
        self.tell(question)?;
        self.hear()
    }

    /// Asks, and does not wait.
    pub fn tell(&mut self, question: &Value) -> Option<()> {
        let line = format!("{question}\n");
        self.stream.get_mut().write_all(line.as_bytes()).ok()
    }

    /// The next answer; none when the source is gone.
    pub fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Sends a body to a pool; what came of it.
    ///
    /// # Panics
    /// When the source is gone.
    pub fn exec(&mut self, pool: &str, body: &str) -> Value {
        let answer = self.try_ask(&exec(pool, body));
        answer.unwrap_or_else(|| panic!("no answer to {body}"))
    }

    /// The body of a reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn reply(&mut self, pool: &str, body: &str) -> String {
        let answer = self.exec(pool, body);
        let reply = answer["reply"]["body"].as_str();
        reply
            .unwrap_or_else(|| panic!("no reply to {body}: {answer}"))
            .to_owned()
    }

    /// Why there is no reply: the error's kind, cause and text.
    ///
    /// # Panics
    /// When there is one.
    pub fn refusal(&mut self, pool: &str, body: &str) -> (String, String, String) {
        let answer = self.exec(pool, body);
        refusal(&answer)
    }

    /// Stores a job; none when the source is gone before it said so.
    ///
    /// # Panics
    /// When the job is refused.
    pub fn dispatch(&mut self, name: &str, payload: &Value) -> Option<String> {
        let question = json!({"dispatch": {"name": name, "payload": payload}});
        let answer = self.try_ask(&question)?;
        let id = answer["job"].as_str();
        Some(id.unwrap_or_else(|| panic!("{answer}")).to_owned())
    }
}

/// A direct request as a question.
#[must_use]
pub fn exec(pool: &str, body: &str) -> Value {
    json!({"exec": {"pool": pool, "body": body}})
}

/// The error's kind, cause and text.
///
/// # Panics
/// When the answer is no error.
#[must_use]
pub fn refusal(answer: &Value) -> (String, String, String) {
    let error = &answer["error"];
    assert!(error.is_object(), "no error: {answer}");
    let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (part("kind"), part("cause"), part("text"))
}
