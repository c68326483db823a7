//! Messages over the socket of a service, a connection each.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::PublishError;
use super::control::Replies;
use crate::dispatcherd::{LINE_BYTES_MAX, split};
use crate::ids;

/// Time for a service to read what is sent.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn send(path: &Path, text: &str) -> Result<(), PublishError> {
    say(path, text).map(drop).map_err(failed(path))
}

pub(super) fn request(
    path: &Path,
    text: &str,
    replies: &mut Replies,
    within: Duration,
) -> Result<(), PublishError> {
    let end = Instant::now() + within;
    let mut stream = say(path, text).map_err(failed(path))?;
    let (mut heard, mut bytes) = (Vec::new(), [0; 8192]);
    while !replies.are_complete() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left)).map_err(failed(path))?;
        let read = match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => break,
                io::ErrorKind::Interrupted => continue,
                _ => return Err(failed(path)(error)),
            },
        };
        heard.extend_from_slice(&bytes[..read]);
        while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            replies.take(&String::from_utf8_lossy(&line));
        }
    }
    Ok(())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| PublishError::Socket {
        path: path.clone(),
        source,
    }
}

fn say(path: &Path, text: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let id = ids::random_hex();
    let mut lines = split(text, &id, LINE_BYTES_MAX).join("\n");
    lines.push('\n');
    stream.write_all(lines.as_bytes())?;
    Ok(stream)
}
