//! Senders of signed messages, each on a connection that stays, all of them on one thread.
//!
//! Each sends its next message when it has heard the answer to the last; every answer is looked at.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dispatcher_runner::http::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::scene::go_on;
use super::SECRET;

/// Longest wait for anybody's answer.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Senders to one server.
pub(super) struct Crowd {
    secret: Secret,
    host: SocketAddr,
    senders: Vec<Sender>,
    sent: usize,
}

struct Sender {
    stream: TcpStream,
    /// Of the answer that is coming.
    heard: Vec<u8>,
    /// Since when an answer is waited for.
    since: Option<Instant>,
}

impl Crowd {
    pub(super) fn meet(host: SocketAddr, count: usize) -> Result<Self, Box<dyn Error>> {
        let senders = (0..count).map(|_| {
            let stream = TcpStream::connect(host)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Sender {
                stream,
                heard: Vec::new(),
                since: None,
            })
        });
        Ok(Self {
            secret: Secret::parse(SECRET)?,
            host,
            senders: senders.collect::<io::Result<_>>()?,
            sent: 0,
        })
    }

    /// Sends so many messages, and adds the time of each answer to `times`; says how long all of
    /// it took.
    pub(super) fn send(
        &mut self,
        count: usize,
        times: &mut Vec<Duration>,
    ) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        let mut waiting = count;
        let mut heard = 0;
        for at in 0..self.senders.len().min(count) {
            self.say(at)?;
            waiting -= 1;
        }
        while heard < count {
            go_on()?;
            for at in self.ready()? {
                let Some(time) = self.senders[at].listen()? else {
                    continue;
                };
                times.push(time);
                heard += 1;
                if waiting > 0 {
                    self.say(at)?;
                    waiting -= 1;
                }
            }
        }
        Ok(start.elapsed())
    }

    /// Who has something to hear.
    fn ready(&self) -> Result<Vec<usize>, Box<dyn Error>> {
        let streams = self.senders.iter();
        let mut polled: Vec<_> = streams
            .map(|sender| PollFd::new(&sender.stream, PollFlags::IN))
            .collect();
        match poll(&mut polled, Some(&PATIENCE)) {
            Ok(0) => return Err("a message was not answered".into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ready = polled.iter().enumerate();
        let ready = ready.filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|(at, _)| at).collect())
    }

    fn say(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        self.sent += 1;
        let id = format!("bench_{}_{}", self.senders.len(), self.sent);
        let body = format!(r#"{{"job":"Filler","payload":{{"number":{}}}}}"#, self.sent);
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let signature = self.secret.sign(&id, time, body.as_bytes());
        let message = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {time}\r\n\
             webhook-signature: {signature}\r\n\r\n{body}",
            self.host,
            body.len(),
        );
        let sender = &mut self.senders[at];
        sender.since = Some(Instant::now());
        // It is small, and what was sent before it has been read.
        Ok(sender.stream.write_all(message.as_bytes())?)
    }
}

impl Sender {
    /// Reads what has come; the time that the answer took, once all of it is there.
    fn listen(&mut self) -> Result<Option<Duration>, Box<dyn Error>> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => self.heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(status) = status(&self.heard)? else {
            return Ok(None);
        };
        if status != "202" {
            let heard = String::from_utf8_lossy(&self.heard);
            return Err(format!("a message was answered: {heard}").into());
        }
        self.heard.clear();
        Ok(self.since.take().map(|since| since.elapsed()))
    }
}

/// The status of an answer, if it is complete.
fn status(heard: &[u8]) -> Result<Option<&str>, Box<dyn Error>> {
    if heard.len() > ANSWER_BYTES_MAX {
        return Err("an answer is longer than any".into());
    }
    let text = std::str::from_utf8(heard)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if body.len() < length => Ok(None),
        Some(_) => Ok(status),
        None => Err("an answer has no length".into()),
    }
}
