//! The signals that ask a supervisor to end, as a descriptor.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dispatcher_core::engine::Shutdown;
use signal_hook::consts::{SIGINT, SIGTERM};

/// TERM and INT of this process.
pub(crate) struct StopSignals {
    pipe: UnixStream,
    seen: u32,
    drain: Duration,
    /// Signals end this process again.
    over: Arc<AtomicBool>,
    /// Keeps the pipe of signals that are left alone from ending.
    _sender: UnixStream,
}

impl StopSignals {
    /// Catches them from [`Self::hold`] on. The first gives what runs this time to end.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn catch(drain: Duration) -> io::Result<Self> {
        let (pipe, sender) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(true));
        for signal in [SIGTERM, SIGINT] {
            // Does nothing while they are held.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&over))?;
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self {
            pipe,
            seen: 0,
            drain,
            over,
            _sender: sender,
        })
    }

    /// None ever comes: the signals are the business of the program around.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn left_alone(drain: Duration) -> io::Result<Self> {
        let (pipe, sender) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        Ok(Self {
            pipe,
            seen: 0,
            drain,
            over: Arc::default(),
            _sender: sender,
        })
    }

    /// From now on they end nothing by themselves.
    pub(crate) fn hold(&self) {
        self.over.store(false, Ordering::SeqCst);
    }

    /// From now on they end this process again.
    pub(crate) fn let_go(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// What was asked since the last call: the first signal drains, the second does not wait.
    pub(crate) fn requested(&mut self) -> Option<Shutdown> {
        let mut bytes = [0; 16];
        let count = self.pipe.read(&mut bytes).ok().filter(|count| *count > 0)?;
        self.seen += u32::try_from(count).unwrap_or(u32::MAX);
        Some(if self.seen == 1 {
            Shutdown::Drain(self.drain)
        } else {
            Shutdown::Now
        })
    }
}

/// A program that goes on without its service can be ended as any other.
impl Drop for StopSignals {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
