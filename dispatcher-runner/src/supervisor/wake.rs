//! Wake-ups: an empty datagram that says "look at the store".
//!
//! A wake-up carries no data and no authority; losing one costs a poll interval.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

const NAME: &str = "wake";

/// The receiving end, in a supervisor's directory.
pub(crate) struct WakeSocket(UnixDatagram);

impl WakeSocket {
    /// Binds the socket of the supervisor that owns `directory`.
    pub(crate) fn bind(directory: &Path) -> io::Result<Self> {
        let open = File::open(directory)?;
        let socket = UnixDatagram::bind(short(&open))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Takes in everything that has arrived; `true` if anything had.
    pub(crate) fn clear(&self) -> bool {
        let mut woken = false;
        while self.0.recv(&mut [0; 1]).is_ok() {
            woken = true;
        }
        woken
    }
}

impl AsFd for WakeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes the supervisor that owns `directory`; if it cannot be reached, its poll backstop serves.
pub(crate) fn wake(directory: &Path) {
    let Ok(open) = File::open(directory) else {
        return;
    };
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    if socket.set_nonblocking(true).is_ok() {
        // A full queue means that it is about to wake up anyway.
        let _ = socket.send_to(&[0], short(&open));
    }
}

/// A socket's path may have 108 bytes (`unix(7)`); a path through an open directory has few.
fn short(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))
}
