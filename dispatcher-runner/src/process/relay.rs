//! The standard streams of a program that is a foreign host's worker.
//!
//! After [`take_standard_streams`] descriptors 0 and 1 are not the protocol any more: whatever user
//! code or its children print goes to stderr, and can end nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::sys::{self, OnExec};

/// Moves standard input and output to private descriptors, which children do not inherit, and
/// leaves `/dev/null` and standard error in their places.
pub(crate) fn take_standard_streams() -> io::Result<(File, File)> {
    let output = sys::duplicate_above(io::stdout().as_fd(), sys::FIRST_FREE)?;
    sys::place(io::stderr().as_fd(), 1, OnExec::Keep)?;
    let input = sys::take_stdin()?;
    Ok((input.into(), output.into()))
}

/// Whether a read would not wait: there are bytes, or the other side is gone.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [sys::interest(fd, libc::POLLIN)];
    sys::poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents != 0)
}
