//! Peers on the loopback that do what a test tells them: answer, refuse, hang up.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a peer does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status line without its version, further headers, body.
    Answer(&'static str, &'static str, String),
    /// Reads the request, and closes.
    HangUp,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer("200 OK", "", body.to_owned())
    }

    pub(crate) fn status(line: &'static str) -> Self {
        Self::Answer(line, "", String::new())
    }
}

/// A peer that answers in the order of its replies; the last one counts for all further requests.
pub(crate) struct Peer {
    pub(crate) address: String,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    replies: VecDeque<Reply>,
    bodies: Vec<String>,
}

impl Peer {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared = Arc::new(Mutex::new(Shared {
            replies: replies.into_iter().collect(),
            bodies: Vec::new(),
        }));
        let serving = Arc::clone(&shared);
        // It ends with the test's process.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // Whoever hangs up on us is told nothing.
                let _ = serve(connection, &serving);
            }
        });
        Self { address, shared }
    }

    /// An address where nobody listens.
    pub(crate) fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
        listener.local_addr().expect("it is bound").to_string()
    }

    /// From now on it does this.
    pub(crate) fn goes_on_with(&self, reply: Reply) {
        self.shared.lock().expect("no test panics here").replies = VecDeque::from([reply]);
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let shared = self.shared.lock().expect("no test panics here");
        shared.bodies.clone()
    }
}

fn serve(connection: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let reply = {
        let mut shared = shared.lock().expect("no test panics here");
        let body = String::from_utf8_lossy(&body).into_owned();
        shared.bodies.push(body);
        match shared.replies.len() {
            0 => Reply::HangUp,
            1 => shared.replies[0].clone(),
            _ => shared.replies.pop_front().expect("more than one"),
        }
    };
    let mut connection = connection;
    match reply {
        Reply::HangUp => Ok(()),
        Reply::Answer(line, headers, body) => write!(
            connection,
            "HTTP/1.1 {line}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        ),
    }
}
