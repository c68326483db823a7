//! One document pushed to several peers, each by a job of its own: a peer that is slow, refuses or
//! is not there holds none of the others up.
//!
//! `push_peers push <file> <address>…` sends a file by HTTP to each address (`127.0.0.1:8080`),
//! waits for all of them and tells what became of each.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use serde::{Deserialize, Serialize};

/// Sends a document to one peer.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timeout = "30s",
    max_queue = 0,
    concurrency = 8,
    retries = 4,
    backoff = "exponential(50ms, 1m)",
    on_duplicate = "serial"
)]
struct Push {
    /// Address and port.
    peer: String,
    /// What is sent; read when it is sent, so that a retry sends the newest.
    file: PathBuf,
}

/// What a peer answered that took it.
#[derive(Debug, Serialize, Deserialize)]
struct Pushed {
    bytes: usize,
    attempts: u32,
}

impl Process for Push {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let body = std::fs::read(&self.file)?;
        println!(
            "attempt {}: {} bytes to {}",
            cx.attempt(),
            body.len(),
            self.peer
        );
        let answer = post(&self.peer, &body)?;
        println!("{}", answer.lines().next().unwrap_or_default());
        match status(&answer) {
            Some(200..300) => cx.output(&Pushed {
                bytes: body.len(),
                attempts: cx.attempt(),
            }),
            // It says itself when to come again.
            Some(429 | 503) => Err(match retry_after(&answer) {
                Some(time) => Failure::retry_after(time),
                None => Failure::new("the peer is busy"),
            }),
            // What it does not want now it will not want later.
            Some(code @ 400..500) => Err(Failure::discard(format!("the peer answered {code}"))),
            Some(code) => Err(Failure::new(format!("the peer answered {code}"))),
            None => Err(Failure::new("the peer answered no HTTP")),
        }
    }
}

fn post(peer: &str, body: &[u8]) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(peer)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    connection.set_write_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "POST /document HTTP/1.1\r\nHost: {peer}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    connection.write_all(body)?;
    let mut answer = Vec::new();
    connection.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status(answer: &str) -> Option<u16> {
    let line = answer.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.parse().ok()
}

fn retry_after(answer: &str) -> Option<Duration> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let seconds = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("retry-after")
            .then(|| value.trim().parse().ok())?
    })?;
    Some(Duration::from_secs(seconds))
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, file, peers @ ..] = &arguments[..] else {
        return dispatcher_runner::main();
    };
    if command != "push" {
        return dispatcher_runner::main();
    }
    match push(file, peers) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn push(file: &str, peers: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let file = std::path::absolute(file)?;
    let jobs = peers.iter().map(|peer| Push {
        peer: peer.clone(),
        file: file.clone(),
    });
    let handles = dispatcher_runner::spawn_all(jobs)?;
    let mut code = ExitCode::SUCCESS;
    for (peer, handle) in peers.iter().zip(handles) {
        let ended = handle.wait()?;
        match ended.output::<Pushed>()? {
            Some(pushed) => println!(
                "{peer}: {} bytes, attempt {}",
                pushed.bytes, pushed.attempts
            ),
            None => {
                let options = (Push::definition().options)();
                println!("{peer}: {}", ended.cause().sentence(&options));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
