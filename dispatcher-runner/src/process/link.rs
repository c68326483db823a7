//! A worker's end of its control channel.
//!
//! The channel and the slot lock belong to this process alone: a child that the job forks closes
//! both before it runs, so that it can neither speak for the job nor keep the slot.
#![expect(
    unsafe_code,
    reason = "socket calls, a signal handler and a fork handler"
)]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_core::message::{PoolOrders, Start, SupervisorMessage, WorkerMessage};
use dispatcher_core::{Link, LinkError};

use super::sys::{self, OnExec};

/// Largest frame accepted from the supervisor: a payload of full size, every byte escaped.
const START_BYTES_MAX: usize = 2 * dispatcher_core::limits::PAYLOAD_BYTES_MAX + 1024 * 1024;

const NONE: RawFd = -1;

static CONTROL: AtomicI32 = AtomicI32::new(NONE);
static LOCK: AtomicI32 = AtomicI32::new(NONE);
static TERM_SEEN: AtomicBool = AtomicBool::new(false);

/// Bytes read at once: a whole start message as a rule, and one page of memory.
const READ_BYTES: usize = 4096;

/// Makes sure that no child of this process keeps what [`adopt`] takes; once, before it.
pub(super) fn prepare() {
    // SAFETY: the handler only closes descriptors and stores atomics.
    unsafe { pthread_atfork(None, None, Some(forget_after_fork)) };
}

/// Takes the worker's two private descriptors.
pub(super) fn adopt(control: RawFd, lock: RawFd) {
    CONTROL.store(control, Ordering::Relaxed);
    LOCK.store(lock, Ordering::Relaxed);
}

/// Has the slot's lock outlive the start of another image, out of its way.
pub(super) fn keep_lock_over_exec(place: RawFd) -> io::Result<()> {
    let lock = LOCK.load(Ordering::Relaxed);
    if lock == NONE {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is this module's own, and stays open.
    let lock = unsafe { BorrowedFd::borrow_raw(lock) };
    sys::place(lock, place, OnExec::Keep)
}

/// Sends one message, waiting for room.
pub(super) fn send(message: &WorkerMessage) -> io::Result<()> {
    send_frame(&Frame::control(serde_json::to_vec(message)?))
}

/// Sends messages at once, waiting for room: whoever listens is woken for all of them together.
pub(super) fn send_all(messages: &[WorkerMessage]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for message in messages {
        Frame::control(serde_json::to_vec(message)?).encode(&mut bytes);
    }
    send_bytes(&bytes)
}

/// Sends one frame, waiting for room.
pub(super) fn send_frame(frame: &Frame) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    send_bytes(&bytes)
}

fn send_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let fd = CONTROL.load(Ordering::Relaxed);
        // SAFETY: the slice is valid for its length.
        let sent = unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) };
        match usize::try_from(sent) {
            Ok(count) => rest = &rest[count..],
            Err(_) => interrupted_or(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoStart {
    /// The supervisor is gone.
    #[error("the supervisor left before it said what to run")]
    Gone,
    /// The channel failed.
    #[error("the control channel failed")]
    Io(#[from] io::Error),
    /// The bytes were no frame.
    #[error(transparent)]
    Frame(#[from] dispatcher_core::frame::FrameError),
    /// The frame was no message.
    #[error("the supervisor said something unknown")]
    Message(#[from] serde_json::Error),
    /// Cancelled before it began.
    #[error("the job was cancelled before it began")]
    Cancelled,
}

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Run this job.
    Start(Box<Start>),
    /// Be a worker of a pool.
    Serve(PoolOrders),
    /// Answer this direct request.
    Task(Frame),
    /// End.
    End,
}

/// A job's way to its supervisor.
#[derive(Debug)]
pub(super) struct WorkerLink {
    decoder: Decoder,
    state: Listening,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    /// The job has not asked yet: TERM ends it.
    NotAsked,
    Asked,
    /// Nothing more will be heard.
    Over {
        cancelled: bool,
    },
}

/// Whether a read may wait.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Yes,
    No,
}

impl WorkerLink {
    pub(super) fn new() -> Self {
        Self {
            decoder: Decoder::new(START_BYTES_MAX),
            state: Listening::NotAsked,
        }
    }

    /// Accepts frames of up to so many bytes from now on.
    pub(super) fn widen(&mut self, frame_bytes_max: u64) {
        let max = usize::try_from(frame_bytes_max).unwrap_or(usize::MAX);
        self.decoder.accept(max.max(START_BYTES_MAX));
    }

    /// Waits for what is to be done.
    pub(super) fn order(&mut self) -> Result<Order, NoStart> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                if !frame.is_control() {
                    return Ok(Order::Task(frame));
                }
                if frame.is_stop() {
                    return Ok(Order::End);
                }
                match serde_json::from_slice(&frame.payload)? {
                    SupervisorMessage::Start(start) => return Ok(Order::Start(start)),
                    SupervisorMessage::Serve(orders) => return Ok(Order::Serve(orders)),
                    SupervisorMessage::Cancel => return Err(NoStart::Cancelled),
                }
            }
            if self.read(Wait::Yes)? == 0 {
                return Err(NoStart::Gone);
            }
        }
    }

    /// Whether a cancel frame has come. A channel that ended means that nobody wants the result.
    fn heard_cancel(&mut self) -> bool {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => match serde_json::from_slice(&frame.payload) {
                    Ok(SupervisorMessage::Cancel) => return true,
                    Ok(SupervisorMessage::Start(_) | SupervisorMessage::Serve(_)) | Err(_) => {}
                },
                Ok(None) => match self.read(Wait::No) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
                },
                Err(_) => {
                    self.state = Listening::Over { cancelled: false };
                    return false;
                }
            }
        }
    }

    fn read(&mut self, wait: Wait) -> io::Result<usize> {
        let flags = match wait {
            Wait::Yes => 0,
            Wait::No => libc::MSG_DONTWAIT,
        };
        let mut buffer = [0_u8; READ_BYTES];
        loop {
            let fd = CONTROL.load(Ordering::Relaxed);
            // SAFETY: the buffer is valid for its length.
            let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
            match usize::try_from(count) {
                Ok(count) => {
                    self.decoder.push(&buffer[..count]);
                    return Ok(count);
                }
                Err(_) => interrupted_or(io::Error::last_os_error())?,
            }
        }
    }
}

impl Link for WorkerLink {
    fn send(&mut self, message: WorkerMessage) -> Result<(), LinkError> {
        send(&message).map_err(|error| LinkError(Some(error)))
    }

    #[cfg(feature = "tokio")]
    fn driver(&self) -> dispatcher_core::Driver {
        super::runtime::drive
    }

    fn cancelled(&mut self) -> bool {
        if self.state == Listening::NotAsked {
            catch_term();
            self.state = Listening::Asked;
        }
        if self.state == Listening::Asked && self.heard_cancel() {
            self.state = Listening::Over { cancelled: true };
        }
        self.state == Listening::Over { cancelled: true } || TERM_SEEN.load(Ordering::Relaxed)
    }
}

/// The link of a worker that goes on after a job.
#[derive(Debug, Clone)]
pub(super) struct SharedLink(Arc<Mutex<WorkerLink>>);

impl SharedLink {
    pub(super) fn new(link: WorkerLink) -> Self {
        Self(Arc::new(Mutex::new(link)))
    }

    pub(super) fn order(&self) -> Result<Order, NoStart> {
        self.lock().order()
    }

    /// The next frame that is for whoever serves direct requests, if it has come.
    pub(super) fn arrived(&self) -> io::Result<Option<Frame>> {
        let mut link = self.lock();
        loop {
            if let Some(frame) = link.decoder.next().map_err(io::Error::other)? {
                if !frame.is_control() || frame.is_stop() {
                    return Ok(Some(frame));
                }
                continue;
            }
            match link.read(Wait::No) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets what the job asked for. `false` when the worker was told to stop meanwhile.
    pub(super) fn put_back(&self) -> bool {
        let state = std::mem::replace(&mut self.lock().state, Listening::NotAsked);
        if state != Listening::NotAsked {
            default_term();
        }
        let over = matches!(state, Listening::Over { .. });
        !over && !TERM_SEEN.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, WorkerLink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for SharedLink {
    fn send(&mut self, message: WorkerMessage) -> Result<(), LinkError> {
        self.lock().send(message)
    }

    #[cfg(feature = "tokio")]
    fn driver(&self) -> dispatcher_core::Driver {
        super::runtime::drive
    }

    fn cancelled(&mut self) -> bool {
        self.lock().cancelled()
    }
}

fn interrupted_or(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted {
        Ok(())
    } else {
        Err(error)
    }
}

fn catch_term() {
    let handler: extern "C" fn(libc::c_int) = note_term;
    // SAFETY: all-zero bytes are a valid sigaction; the handler only stores an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut());
    }
}

fn default_term() {
    // SAFETY: all-zero bytes are a valid sigaction, with the default action.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn note_term(_signal: libc::c_int) {
    TERM_SEEN.store(true, Ordering::Relaxed);
}

extern "C" fn forget_after_fork() {
    for place in [&CONTROL, &LOCK] {
        let fd = place.swap(NONE, Ordering::Relaxed);
        if fd != NONE {
            // SAFETY: the descriptor is this module's own, and nobody uses it from now on.
            unsafe { libc::close(fd) };
        }
    }
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> libc::c_int;
}
