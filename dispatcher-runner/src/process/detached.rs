//! Starting a supervisor that belongs to nobody: own session, no parent that must reap it.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use super::scope::Scope;
use super::{NO_ATTEMPT, TAG_VARIABLE, sys};

/// Third argument of a supervisor that shall be shown under the name in the fourth.
const NAMED: &str = "--named";

/// Starts this very program again with `arguments`, and waits until it has detached itself.
/// `lock` becomes its standard input, `log` its standard output and error.
///
/// # Errors
/// When it could not be started, or ended before it had detached itself.
pub(crate) fn start_detached(arguments: [&str; 2], lock: File, log: File) -> io::Result<()> {
    let status = match Scope::of_this_process() {
        Some(scope) => match start_in(&scope, arguments, &lock, &log) {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "no scope of its own; the supervisor ends with this service");
                start(arguments, lock, log)?
            }
        },
        None => start(arguments, lock, log)?,
    };
    detached(status)
}

fn start(arguments: [&str; 2], lock: File, log: File) -> io::Result<ExitStatus> {
    Command::new("/proc/self/exe")
        .arg0(own_name())
        .args(arguments)
        .current_dir("/")
        // A supervisor that a job starts is no part of that job. Without any tag it would be
        // counted to the job and die with it.
        .env(TAG_VARIABLE, NO_ATTEMPT)
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .status()
}

fn start_in(scope: &Scope, arguments: [&str; 2], lock: &File, log: &File) -> io::Result<()> {
    let name = own_name();
    let [role, orders] = arguments.map(OsStr::new);
    let arguments = [role, orders, OsStr::new(NAMED), &name];
    let streams = [lock.try_clone()?, log.try_clone()?, log.try_clone()?];
    detached(scope.run(&arguments, streams)?)
}

fn own_name() -> OsString {
    std::env::args_os().next().unwrap_or_default()
}

fn detached(status: ExitStatus) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it ended at once: {status}; its log says why"
    )))
}

/// Starts this image once more if it was started under another name than its own, which is so
/// where somebody else became it.
///
/// # Errors
/// When it is to be started once more, and cannot.
pub(crate) fn take_own_name() -> io::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let [_, role, orders, named, name] = &arguments[..] else {
        return Ok(());
    };
    if named != NAMED {
        return Ok(());
    }
    let again = Command::new("/proc/self/exe")
        .arg0(name)
        .args([role, orders])
        .exec();
    Err(again)
}

/// Makes this process its own session, without descriptors that whoever started it has forgotten to
/// close, and lets its parent go on. Called first thing after `main`.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn detach() -> io::Result<()> {
    // SAFETY: this process has one thread, so the child's memory is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            rustix::process::setsid()?;
            // A port, say, that would be taken for as long as this process lives.
            sys::close_all(3, RawFd::MAX);
            Ok(())
        }
        // SAFETY: ends the process at once; nothing of it is needed any more.
        _ => unsafe { libc::_exit(0) },
    }
}
