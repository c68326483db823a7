//! The supervisor's ends of one worker: its channel and its captured output.
//!
//! Nothing here blocks: what cannot be written now is kept and written when there is room.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dispatcher_core::JobId;
use dispatcher_core::engine::{Assignment, AttemptId, PoolId, RequestId};
use dispatcher_core::frame::Frame;
use dispatcher_core::message::SupervisorMessage;
use rustix::io::Errno;

use crate::pool::Reply;
use crate::process::{CaptureBuffer, Group, live_path};
use crate::store::{Capture, ProgressNote, Stream};

use super::hearing::{Given, Heard, Hearing};

/// Bytes read at a time.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// How often a descriptor is read before the others get their turn.
pub(super) const READS_AT_ONCE: u32 = 16;
/// How often a dead worker's channel is read: more than a socket can hold.
pub(super) const READS_AT_END: u32 = 4096;
/// Kept of what a worker writes before its hello, and while it has nothing to do.
const CHATTER_BYTES_MAX: usize = 2048;

/// A worker's descriptors, and what it does.
pub(super) struct Link {
    /// Its pool; `None` for one that serves one job.
    pub(super) pool: Option<PoolId>,
    pub(super) slot: u32,
    /// The job that it serves.
    pub(super) doing: Option<Doing>,
    /// The direct request that it serves.
    pub(super) request: Option<RequestId>,
    /// Its reply, until the engine says that it counts.
    pub(super) reply: Option<Reply>,
    /// Removed with the link.
    pub(super) group: Option<Group>,
    /// The payload of a command.
    pub(super) payload_file: Option<Temporary>,
    pub(super) began: Instant,
    pub(super) pid: Option<u32>,
    /// Latest progress that the store does not know yet.
    pub(super) note: Option<ProgressNote>,
    /// Set when the worker is dead: monotonic time at which reading its output ends.
    pub(super) drain_until: Option<Duration>,
    /// What is wrong with it, and when that is believed: its end may come first and say more.
    pub(super) doubt: Option<(Instant, String)>,
    pub(super) greeted: bool,
    channel: Channel,
    hearing: Hearing,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that are written.
    sent: usize,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// First bytes of its channel, while it has not greeted; then what it writes while idle.
    opening: Vec<u8>,
    chatter: Vec<u8>,
}

/// A job in a worker.
pub(super) struct Doing {
    pub(super) attempt: AttemptId,
    pub(super) job: JobId,
    /// Name of its dispatcher.
    pub(super) dispatcher: String,
    pub(super) token: u64,
    /// Which try.
    pub(super) number: u32,
    /// As long as it is the supervisor that keeps it.
    pub(super) memory_limit: Option<u64>,
    /// Looks in a row that found more memory than that.
    pub(super) looks_over_limit: u32,
    stdout: Sink,
    stderr: Sink,
}

/// Where a worker is spoken to and heard.
enum Channel {
    /// Of a worker of ours.
    Socket(Option<UnixStream>),
    /// Standard input and output of a foreign worker.
    Pipes {
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
    },
}

/// A file that is removed when nobody needs it any more.
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A job that never began has none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is kept of one captured stream.
struct Sink {
    /// Made with the first byte: most jobs write nothing.
    buffer: Option<CaptureBuffer>,
    live: PathBuf,
    wrote: bool,
}

/// The worker's ends, handed to the keeper and then closed here: its channel or standard input,
/// standard output, standard error.
pub(super) type WorkerEnds = [OwnedFd; 3];

impl Link {
    /// Of a worker of ours.
    pub(super) fn to_ours(slot: u32, hearing: Hearing) -> io::Result<(Self, WorkerEnds)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let channel = Channel::Socket(Some(ours));
        let link = Self::new(slot, channel, hearing, (Some(stdout), stderr));
        Ok((link, [theirs.into(), stdout_end, stderr_end]))
    }

    /// Of a foreign worker, which speaks on its standard streams.
    pub(super) fn to_foreign(slot: u32, hearing: Hearing) -> io::Result<(Self, WorkerEnds)> {
        let (input_end, input) = io::pipe()?;
        rustix::io::ioctl_fionbio(&input, true)?;
        let (output, output_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let channel = Channel::Pipes {
            input: Some(input.into()),
            output: Some(output),
        };
        let link = Self::new(slot, channel, hearing, (None, stderr));
        Ok((link, [input_end.into(), output_end, stderr_end]))
    }

    fn new(
        slot: u32,
        channel: Channel,
        hearing: Hearing,
        (stdout, stderr): (Option<OwnedFd>, OwnedFd),
    ) -> Self {
        Self {
            pool: None,
            slot,
            doing: None,
            request: None,
            reply: None,
            group: None,
            payload_file: None,
            began: Instant::now(),
            pid: None,
            note: None,
            drain_until: None,
            doubt: None,
            greeted: false,
            channel,
            hearing,
            outgoing: Vec::new(),
            sent: 0,
            stdout,
            stderr: Some(stderr),
            opening: Vec::new(),
            chatter: Vec::new(),
        }
    }

    /// Has what comes from now on belong to a job.
    pub(super) fn begin(&mut self, attempt: AttemptId, assignment: &Assignment, live: &Path) {
        let (job, number) = (assignment.job, assignment.counters.attempt);
        let sink = |stream| Sink {
            buffer: None,
            live: live_path(live, job, number, stream),
            wrote: false,
        };
        self.doing = Some(Doing {
            attempt,
            job,
            dispatcher: assignment.dispatcher.clone(),
            token: assignment.counters.token,
            number,
            memory_limit: assignment.options.memory_limit,
            looks_over_limit: 0,
            stdout: sink("out"),
            stderr: sink("err"),
        });
        self.hearing.given = Given::Job;
        self.chatter.clear();
    }

    /// Has the next answer belong to a direct request.
    pub(super) fn serve(&mut self, request: RequestId) {
        self.request = Some(request);
        self.hearing.given = Given::Request;
    }

    /// Sends a message of ours, now or when there is room.
    pub(super) fn say(&mut self, message: &SupervisorMessage) -> io::Result<()> {
        let payload = serde_json::to_vec(message).map_err(io::Error::other)?;
        self.send(&Frame::control(payload));
        Ok(())
    }

    /// Sends a frame, now or when there is room.
    pub(super) fn send(&mut self, frame: &Frame) {
        frame.encode(&mut self.outgoing);
        self.flush();
    }

    /// Whether it is a worker of ours.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.channel, Channel::Socket(_))
    }

    /// Writes what there is room for. A worker that is gone is noticed by its end, not here.
    pub(super) fn flush(&mut self) {
        while self.sent < self.outgoing.len() {
            let Some(writer) = self.channel.writer() else {
                return;
            };
            match rustix::io::write(writer, &self.outgoing[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => break,
            }
        }
        self.outgoing = Vec::new();
        self.sent = 0;
    }

    /// Reads what the worker has said, at most so many times: whoever talks without a pause must
    /// not keep the driver from everybody else.
    pub(super) fn hear(&mut self, scratch: &mut [u8], reads: u32) -> Vec<Heard> {
        let mut heard = Vec::new();
        for _ in 0..reads {
            let Some(reader) = self.channel.reader() else {
                break;
            };
            match rustix::io::read(reader, &mut *scratch) {
                Ok(0) => self.channel.end(),
                Ok(count) => {
                    let bytes = &scratch[..count];
                    if !self.greeted {
                        keep_head(&mut self.opening, bytes);
                    }
                    self.hearing.take(bytes, &mut heard);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.channel.end(),
            }
            if matches!(heard.last(), Some(Heard::Broken(_))) && self.is_ours() {
                self.channel.end();
            }
        }
        heard
    }

    /// Whether nothing more will be heard, though it lives.
    pub(super) fn is_silent(&self) -> bool {
        self.channel.reader().is_none()
    }

    /// Bytes of a frame that has begun and not ended.
    pub(super) fn half_received(&self) -> Option<usize> {
        self.hearing.half_received()
    }

    /// What it wrote before it ended without its hello.
    pub(super) fn last_words(&self) -> Option<String> {
        let quote = |bytes: &[u8], stream| {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim();
            (!text.is_empty()).then(|| format!("{stream} says: {text:?}"))
        };
        let stdout = quote(&self.opening, "stdout");
        let stderr = quote(&self.chatter, "stderr");
        let words: Vec<_> = [stdout, stderr].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// What it wrote while it had nothing to do.
    pub(super) fn take_chatter(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.chatter);
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Adds to the standard output of the job.
    pub(super) fn keep_as_output(&mut self, bytes: &[u8]) {
        if let Some(doing) = &mut self.doing {
            doing.stdout.keep(bytes);
        }
    }

    /// Reads what is there of both streams.
    pub(super) fn capture(&mut self, scratch: &mut [u8]) {
        let (mut out, mut err) = match &mut self.doing {
            Some(doing) => (Some(&mut doing.stdout), Some(&mut doing.stderr)),
            None => (None, None),
        };
        read_stream(&mut self.stdout, scratch, &mut out, &mut self.chatter);
        read_stream(&mut self.stderr, scratch, &mut err, &mut self.chatter);
    }

    /// Whether both streams have ended.
    pub(super) fn is_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// What of its channel is worth waiting for: (descriptor, for reading, for writing).
    pub(super) fn channel_descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool, bool)> {
        let waiting = self.sent < self.outgoing.len();
        let reader = self.channel.reader();
        let writer = self.channel.writer().filter(|_| waiting);
        let both = self.is_ours() && reader.is_some();
        let channel = reader.map(|fd| (fd, true, both && waiting));
        let input = writer.filter(|_| !both).map(|fd| (fd, false, true));
        channel.into_iter().chain(input)
    }

    /// What it writes to.
    pub(super) fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = [&self.stdout, &self.stderr];
        streams.into_iter().flatten().map(AsFd::as_fd)
    }
}

impl Channel {
    fn reader(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => socket.as_ref().map(AsFd::as_fd),
            Self::Pipes { output, .. } => output.as_ref().map(AsFd::as_fd),
        }
    }

    fn writer(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => socket.as_ref().map(AsFd::as_fd),
            Self::Pipes { input, .. } => input.as_ref().map(AsFd::as_fd),
        }
    }

    /// Nothing more is read.
    fn end(&mut self) {
        match self {
            Self::Socket(socket) => *socket = None,
            Self::Pipes { output, .. } => *output = None,
        }
    }
}

impl Doing {
    /// What was captured.
    pub(super) fn finish(&mut self) -> Capture {
        Capture {
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

/// Bounded: a flood must not keep the driver from everybody else.
fn read_stream(
    stream: &mut Option<OwnedFd>,
    scratch: &mut [u8],
    sink: &mut Option<&mut Sink>,
    chatter: &mut Vec<u8>,
) {
    for _ in 0..READS_AT_ONCE {
        let Some(reader) = &stream else { return };
        match rustix::io::read(reader, &mut *scratch) {
            Ok(0) => *stream = None,
            Ok(count) => match sink {
                Some(sink) => sink.keep(&scratch[..count]),
                None => keep_tail(chatter, &scratch[..count]),
            },
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return,
            Err(_) => *stream = None,
        }
    }
}

fn keep_head(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = CHATTER_BYTES_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

fn keep_tail(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let excess = kept.len().saturating_sub(CHATTER_BYTES_MAX);
    kept.drain(..excess);
}

impl Sink {
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
        self.buffer
            .take()
            .map_or_else(Stream::default, CaptureBuffer::finish)
    }
}

/// The live file goes when the end is on record, so that whoever follows it finds the rest there.
impl Drop for Sink {
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
