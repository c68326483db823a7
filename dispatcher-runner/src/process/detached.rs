//! Starting a supervisor that belongs to nobody: own session, no parent that must reap it.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{NO_ATTEMPT, TAG_VARIABLE};

/// Starts this very program again with `arguments`, and waits until it has detached itself.
/// `lock` becomes its standard input, `log` its standard output and error.
///
/// # Errors
/// When it could not be started, or ended before it had detached itself.
pub(crate) fn start_detached(arguments: &[&str], lock: File, log: File) -> io::Result<()> {
    let name = std::env::args_os().next().unwrap_or_default();
    let status = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .current_dir("/")
        // A supervisor that a job starts is no part of that job. Without any tag it would be
        // counted to the job and die with it.
        .env(TAG_VARIABLE, NO_ATTEMPT)
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it ended at once: {status}; its log says why"
    )))
}

/// Makes this process its own session, and lets its parent go on. Called first thing after `main`.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn detach() -> io::Result<()> {
    // SAFETY: this process has one thread, so the child's memory is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            rustix::process::setsid()?;
            Ok(())
        }
        // SAFETY: ends the process at once; nothing of it is needed any more.
        _ => unsafe { libc::_exit(0) },
    }
}
