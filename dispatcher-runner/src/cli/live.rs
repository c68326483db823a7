//! Follows what an attempt writes: its live files while it runs, its capture once it is recorded.
//!
//! A live file holds the beginning of a stream and only grows, so a position in it is a position
//! in the stream; what was printed from it is not printed again from the capture.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use dispatcher_core::JobId;

use super::error::Stop;
use super::terminal::Terminal;
use crate::process::{LIVE_BYTES_MAX, live_path};
use crate::store::{Capture, Stream};

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// One attempt being followed.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) attempt: u32,
    out: Side,
    err: Side,
}

/// One stream of it.
#[derive(Debug)]
struct Side {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of the stream that were printed.
    printed: u64,
}

/// Where a stream goes.
#[derive(Debug, Clone, Copy)]
enum To {
    Out,
    Err,
}

impl Follower {
    /// Follows an attempt from its beginning.
    pub(crate) fn new(state_directory: &Path, job: JobId, attempt: u32) -> Self {
        let folder = state_directory.join("live");
        let side = |stream: &str| Side {
            path: live_path(&folder, job, attempt, stream),
            file: None,
            printed: 0,
        };
        Self {
            attempt,
            out: side("out"),
            err: side("err"),
        }
    }

    /// Prints what was written since the last call; whether there was anything.
    pub(crate) fn pump(&mut self, terminal: &mut Terminal) -> Result<bool, Stop> {
        let out = self.out.pump(terminal, To::Out)?;
        let err = self.err.pump(terminal, To::Err)?;
        Ok(out || err)
    }

    /// Whether the attempt has a live file now.
    pub(crate) fn is_live(&self) -> bool {
        self.out.path.exists() || self.err.path.exists()
    }

    /// Prints what the live files did not show, from the capture.
    pub(crate) fn finish(
        &mut self,
        capture: Option<&Capture>,
        terminal: &mut Terminal,
    ) -> Result<(), Stop> {
        let Some(capture) = capture else {
            self.pump(terminal)?;
            return Ok(());
        };
        self.out.finish(&capture.stdout, terminal, To::Out)?;
        self.err.finish(&capture.stderr, terminal, To::Err)
    }
}

impl Side {
    fn pump(&mut self, terminal: &mut Terminal, to: To) -> Result<bool, Stop> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let mut any = false;
        let mut piece = vec![0; PIECE];
        loop {
            let read = match file.read(&mut piece) {
                Ok(0) => return Ok(any),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The capture will have it.
                Err(_) => return Ok(any),
            };
            any = true;
            // The notice at the end of a full file is no part of the stream.
            let room = LIVE_BYTES_MAX.saturating_sub(self.printed);
            self.printed += u64::try_from(read).unwrap_or(0).min(room);
            pass(terminal, to, &piece[..read])?;
        }
    }

    fn finish(&mut self, stream: &Stream, terminal: &mut Terminal, to: To) -> Result<(), Stop> {
        let head = stream.head.len() as u64;
        let tail_starts = head + stream.dropped;
        pass(terminal, to, after(&stream.head, self.printed))?;
        let missing = tail_starts.saturating_sub(self.printed.max(head));
        if missing > 0 {
            terminal.note(&format!("[{missing} bytes of the output were not kept]"));
        }
        let skip = self.printed.saturating_sub(tail_starts);
        pass(terminal, to, after(&stream.tail, skip))?;
        self.printed = self.printed.max(tail_starts + stream.tail.len() as u64);
        Ok(())
    }
}

fn after(bytes: &[u8], skip: u64) -> &[u8] {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    bytes.get(skip..).unwrap_or_default()
}

fn pass(terminal: &mut Terminal, to: To, bytes: &[u8]) -> Result<(), Stop> {
    match to {
        To::Out => terminal.pass_out(bytes),
        To::Err => terminal.pass_err(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::buffers;
    use super::*;

    const JOB: [u8; 10] = [7; 10];

    fn stream(head: &str, dropped: u64, tail: &str) -> Stream {
        Stream {
            head: head.into(),
            tail: tail.into(),
            dropped,
        }
    }

    fn printed(live: Option<&str>, stdout: Stream) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let job = JobId::from_bytes(JOB);
        let (mut terminal, out, err) = buffers();
        let mut follower = Follower::new(folder.path(), job, 1);
        assert!(!follower.pump(&mut terminal).unwrap());
        if let Some(text) = live {
            let path = live_path(&folder.path().join("live"), job, 1, "out");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            assert!(follower.is_live());
            assert!(follower.pump(&mut terminal).unwrap());
            assert!(!follower.pump(&mut terminal).unwrap());
        }
        let capture = Capture {
            stdout,
            stderr: Stream::default(),
        };
        follower.finish(Some(&capture), &mut terminal).unwrap();
        (out.text(), err.text())
    }

    #[test]
    fn every_byte_is_printed_once() {
        for (live, stdout) in [
            (None, stream("abcdef", 0, "")),
            (Some("abc"), stream("abcdef", 0, "")),
            (Some("abcdef"), stream("abcdef", 0, "")),
            (None, stream("abc", 0, "def")),
            (Some("ab"), stream("abc", 0, "def")),
            (Some("abcd"), stream("abc", 0, "def")),
            (Some("abcdef"), stream("abc", 0, "def")),
        ] {
            assert_eq!(
                printed(live, stdout.clone()).0,
                "abcdef",
                "{live:?} {stdout:?}"
            );
        }
    }

    #[test]
    fn what_was_dropped_is_said_unless_it_was_seen_live() {
        let (out, err) = printed(None, stream("ab", 2, "ef"));
        assert_eq!(
            (out.as_str(), err.as_str()),
            ("abef", "[2 bytes of the output were not kept]\n")
        );
        let (out, err) = printed(Some("abc"), stream("ab", 2, "ef"));
        assert_eq!(
            (out.as_str(), err.as_str()),
            ("abcef", "[1 bytes of the output were not kept]\n")
        );
        let (out, err) = printed(Some("abcd"), stream("ab", 2, "ef"));
        assert_eq!((out.as_str(), err.as_str()), ("abcdef", ""));
    }
}
