//! What an attempt has written so far: its live files while it runs, its capture once it is on
//! record.
//!
//! A live file holds the beginning of a stream and only grows, so a position in it is a position in
//! the stream; what was read from it is not read again from the capture.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use dispatcher_core::JobId;

use super::{Gate, SpawnError};
use crate::process::{LIVE_BYTES_MAX, live_path};
use crate::store::Stream;

/// Bytes of a stream that are read at a time.
const PIECE: usize = 64 * 1024;

/// One attempt that is followed.
#[derive(Debug)]
pub(crate) struct LiveLog {
    job: JobId,
    attempt: u32,
    sides: [Side; 2],
    is_over: bool,
}

#[derive(Debug)]
struct Side {
    name: &'static str,
    path: PathBuf,
    /// Bytes of the stream that were read.
    read: u64,
    /// The beginning of a letter whose rest was not written yet.
    cut: Vec<u8>,
}

/// Whether an attempt still writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    Over,
}

/// A piece of a stream, with the name of that.
pub(crate) type Piece = (&'static str, String);

impl LiveLog {
    pub(super) fn new(folder: &std::path::Path, job: JobId, attempt: u32) -> Self {
        let side = |name, stream: &str| Side {
            name,
            path: live_path(folder, job, attempt, stream),
            read: 0,
            cut: Vec::new(),
        };
        Self {
            job,
            attempt,
            sides: [side("stdout", "out"), side("stderr", "err")],
            is_over: false,
        }
    }

    /// What was written since the last call; of an attempt that is over, everything that is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn read(&mut self, gate: &Gate, stage: Stage) -> Result<Vec<Piece>, SpawnError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let mut pieces = Vec::new();
        for side in &mut self.sides {
            side.read_file(&mut pieces);
        }
        if stage == Stage::Over {
            self.is_over = true;
            let capture = gate.capture(self.job, self.attempt)?;
            let [out, err] = &mut self.sides;
            out.read_capture(&capture.stdout, &mut pieces);
            err.read_capture(&capture.stderr, &mut pieces);
        }
        Ok(pieces)
    }
}

impl Side {
    /// A file that cannot be read is none: the capture will have it.
    fn read_file(&mut self, pieces: &mut Vec<Piece>) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if file.seek(SeekFrom::Start(self.read)).is_err() {
            return;
        }
        // The notice at the end of a full file is no part of the stream.
        let room = LIVE_BYTES_MAX.saturating_sub(self.read).min(PIECE as u64);
        let mut bytes = Vec::new();
        if file.take(room).read_to_end(&mut bytes).is_ok() {
            self.pass(&bytes, pieces);
        }
    }

    fn read_capture(&mut self, stream: &Stream, pieces: &mut Vec<Piece>) {
        let head = stream.head.len() as u64;
        let tail_starts = head + stream.dropped;
        self.pass(after(&stream.head, self.read), pieces);
        let missing = tail_starts.saturating_sub(self.read.max(head));
        if missing > 0 {
            pieces.push((self.name, format!("\n[{missing} bytes were not kept]\n")));
        }
        let skip = self.read.saturating_sub(tail_starts);
        self.pass(after(&stream.tail, skip), pieces);
        if !self.cut.is_empty() {
            let rest = std::mem::take(&mut self.cut);
            pieces.push((self.name, String::from_utf8_lossy(&rest).into_owned()));
        }
    }

    fn pass(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) {
        if bytes.is_empty() {
            return;
        }
        self.read += bytes.len() as u64;
        self.cut.extend_from_slice(bytes);
        let whole = whole_letters(&self.cut);
        let rest = self.cut.split_off(whole);
        let text = std::mem::replace(&mut self.cut, rest);
        if !text.is_empty() {
            pieces.push((self.name, String::from_utf8_lossy(&text).into_owned()));
        }
    }
}

/// How many bytes there are before a letter that is cut off.
fn whole_letters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // At the end only three bytes can be the beginning of a letter.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => {
            let tail = bytes.len().saturating_sub(3);
            let starts = (tail..bytes.len()).rev();
            let cut = starts.into_iter().find(|at| bytes[*at] >= 0xC0);
            match cut {
                Some(at)
                    if std::str::from_utf8(&bytes[at..])
                        .is_err_and(|it| it.error_len().is_none()) =>
                {
                    at
                }
                Some(_) | None => bytes.len(),
            }
        }
    }
}

fn after(bytes: &[u8], skip: u64) -> &[u8] {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    bytes.get(skip..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_not_cut() {
        let euro = "€".as_bytes();
        assert_eq!(whole_letters(b"abc"), 3);
        assert_eq!(whole_letters(&[b"a", &euro[..1]].concat()), 1);
        assert_eq!(whole_letters(&[b"a", &euro[..2]].concat()), 1);
        assert_eq!(whole_letters(&[b"a", euro].concat()), 4);
        assert_eq!(
            whole_letters(b"\xff\xfe"),
            2,
            "what is no letter is not waited for"
        );
        assert_eq!(whole_letters(&[b"\xff", &euro[..2]].concat()), 1);
    }
}
