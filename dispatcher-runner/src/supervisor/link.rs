//! The supervisor's ends of one worker: control channel and captured output.
//!
//! Nothing here blocks: what cannot be written now is kept and written when there is room.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dispatcher_core::JobId;
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{Start, SupervisorMessage};

use crate::process::{CaptureBuffer, Group, live_path};
use crate::store::{Capture, ProgressNote, Stream};

use super::hearing::{Heard, Hearing};

/// Bytes read at a time.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// How often a descriptor is read before the others get their turn.
pub(super) const READS_AT_ONCE: u32 = 16;
/// How often a dead worker's channel is read: more than a socket can hold.
pub(super) const READS_AT_END: u32 = 4096;

/// A worker's descriptors, and what belongs to its attempt.
pub(super) struct Link {
    pub(super) job: JobId,
    pub(super) token: u64,
    pub(super) attempt: u32,
    pub(super) slot: u32,
    /// As long as it is the supervisor that keeps it.
    pub(super) memory_limit: Option<u64>,
    /// Removed with the link.
    pub(super) group: Option<Group>,
    pub(super) began: Instant,
    /// Looks in a row that found more memory than that.
    pub(super) looks_over_limit: u32,
    pub(super) pid: Option<u32>,
    /// Latest progress that the store does not know yet.
    pub(super) note: Option<ProgressNote>,
    /// Set when the worker is dead: monotonic time at which reading its output ends.
    pub(super) drain_until: Option<Duration>,
    control: Option<UnixStream>,
    hearing: Hearing,
    outgoing: Vec<u8>,
    stdout: Pipe,
    stderr: Pipe,
    captured: Option<Capture>,
}

/// One captured stream.
struct Pipe {
    reader: Option<OwnedFd>,
    /// Made with the first byte: most jobs write nothing.
    buffer: Option<CaptureBuffer>,
    live: PathBuf,
    wrote: bool,
}

/// The worker's ends, handed to the keeper and then closed here.
pub(super) struct WorkerEnds {
    pub(super) control: UnixStream,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Link {
    /// Opens a link for an attempt whose start message is already on its way.
    pub(super) fn open(
        start: Start,
        token: u64,
        slot: u32,
        live: &Path,
    ) -> io::Result<(Self, WorkerEnds)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let mut link = Self {
            job: start.job,
            token,
            attempt: start.attempt,
            slot,
            memory_limit: start.options.memory_limit,
            group: None,
            began: Instant::now(),
            looks_over_limit: 0,
            pid: None,
            note: None,
            drain_until: None,
            control: Some(ours),
            hearing: Hearing::new(),
            outgoing: Vec::new(),
            stdout: Pipe::new(stdout, live_path(live, start.job, start.attempt, "out")),
            stderr: Pipe::new(stderr, live_path(live, start.job, start.attempt, "err")),
            captured: None,
        };
        link.say(&SupervisorMessage::Start(Box::new(start)))?;
        Ok((
            link,
            WorkerEnds {
                control: theirs,
                stdout: stdout_end,
                stderr: stderr_end,
            },
        ))
    }

    /// Sends a message, now or when there is room.
    pub(super) fn say(&mut self, message: &SupervisorMessage) -> io::Result<()> {
        let payload = serde_json::to_vec(message).map_err(io::Error::other)?;
        Frame::control(payload).encode(&mut self.outgoing);
        self.flush();
        Ok(())
    }

    /// Writes what there is room for. A worker that is gone is noticed by its end, not here.
    pub(super) fn flush(&mut self) {
        let Some(control) = &mut self.control else {
            return;
        };
        while !self.outgoing.is_empty() {
            match control.write(&self.outgoing) {
                Ok(written) => {
                    self.outgoing.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// Reads what the worker has said, at most so many times: whoever talks without a pause must
    /// not keep the driver from everybody else.
    pub(super) fn hear(&mut self, scratch: &mut [u8], reads: u32) -> Vec<Heard> {
        let mut heard = Vec::new();
        for _ in 0..reads {
            let Some(control) = &mut self.control else {
                break;
            };
            match control.read(scratch) {
                Ok(0) => self.control = None,
                Ok(count) => self.hearing.take(&scratch[..count], &mut heard),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.control = None,
            }
            if matches!(heard.last(), Some(Heard::Broken(_))) {
                self.control = None;
            }
        }
        heard
    }

    /// Reads what is there of both streams.
    pub(super) fn capture(&mut self, scratch: &mut [u8]) {
        self.stdout.read(scratch);
        self.stderr.read(scratch);
    }

    /// Whether both streams have ended.
    pub(super) fn is_drained(&self) -> bool {
        self.stdout.reader.is_none() && self.stderr.reader.is_none()
    }

    /// What was captured. Asked again when the store has to be told again.
    pub(super) fn finish_capture(&mut self) -> Capture {
        let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
        let captured = self.captured.get_or_insert_with(|| Capture {
            stdout: stdout.finish(),
            stderr: stderr.finish(),
        });
        captured.clone()
    }

    /// What is worth waiting for: (descriptor, also for writing).
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let control = self
            .control
            .as_ref()
            .map(|control| (control.as_fd(), !self.outgoing.is_empty()));
        let stdout = self
            .stdout
            .reader
            .as_ref()
            .map(|reader| (reader.as_fd(), false));
        let stderr = self
            .stderr
            .reader
            .as_ref()
            .map(|reader| (reader.as_fd(), false));
        [control, stdout, stderr].into_iter().flatten()
    }
}

impl Pipe {
    fn new(reader: OwnedFd, live: PathBuf) -> Self {
        Self {
            reader: Some(reader),
            buffer: None,
            live,
            wrote: false,
        }
    }

    fn read(&mut self, scratch: &mut [u8]) {
        // Bounded: a flood must not keep the driver from everybody else.
        for _ in 0..READS_AT_ONCE {
            let Some(reader) = &self.reader else { return };
            match rustix::io::read(reader, &mut *scratch) {
                Ok(0) => self.reader = None,
                Ok(count) => self.keep(&scratch[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.reader = None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.wrote = true;
        let live = &self.live;
        let buffer = self.buffer.get_or_insert_with(|| {
            // Without the file the output cannot be followed, but it is still kept.
            CaptureBuffer::new(File::create(live).ok())
        });
        buffer.push(bytes);
    }

    fn finish(&mut self) -> Stream {
        self.reader = None;
        self.buffer
            .take()
            .map_or_else(Stream::default, CaptureBuffer::finish)
    }
}

/// The live file goes when the end is on record, so that whoever follows it finds the rest there.
impl Drop for Pipe {
    fn drop(&mut self) {
        if self.wrote {
            let _ = std::fs::remove_file(&self.live);
        }
    }
}

/// A pipe whose reading end does not block.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader.into(), writer.into()))
}
