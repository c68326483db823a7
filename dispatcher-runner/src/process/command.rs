//! A worker becomes the command that its job is.
//!
//! Everything that a worker gets before its code runs (surroundings, limits, requirements) a command
//! gets too. The slot's lock goes along: it proves the command dead.
#![expect(
    unsafe_code,
    reason = "changes the environment while there is one thread"
)]

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use dispatcher_core::message::{CommandLine, PAYLOAD_VARIABLE, PayloadWay, Start, WorkResult};
use rustix::fs::{MemfdFlags, memfd_create};

use super::sys::{self, BrokenPipe, OnExec};
use super::{link, spawn};

/// Variables by which a command knows its job.
const JOB_VARIABLE: &str = "DISPATCHER_JOB";
const NAME_VARIABLE: &str = "DISPATCHER_NAME";

/// Never returns where that works.
pub(super) fn become_command(command: &CommandLine, start: &Start) -> WorkResult {
    let Err(error) = try_to_become(command, start);
    // Whatever has no number is about an argument that the system cannot take.
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
    WorkResult::NotStarted { errno }
}

fn try_to_become(
    command: &CommandLine,
    start: &Start,
) -> Result<std::convert::Infallible, io::Error> {
    let [program, arguments @ ..] = &command.argv[..] else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let job = start.job.to_string();
    let own = [
        (JOB_VARIABLE, job.as_str()),
        (NAME_VARIABLE, &start.dispatcher),
    ];
    let given = command.env.iter();
    let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        // SAFETY: this process has one thread; user code has not run.
        unsafe { std::env::set_var(name, value) };
    }
    match &command.payload {
        PayloadWay::None => {}
        PayloadWay::Environment => {
            // SAFETY: as above.
            unsafe { std::env::set_var(PAYLOAD_VARIABLE, &start.payload) };
        }
        PayloadWay::Stdin => {
            let mut file = File::from(memfd_create("payload", MemfdFlags::CLOEXEC)?);
            file.write_all(start.payload.as_bytes())?;
            file.rewind()?;
            sys::place(file.as_fd(), 0, OnExec::Keep)?;
        }
        PayloadWay::File(path) => {
            let mut options = File::options();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(start.payload.as_bytes())?;
        }
    }
    link::keep_lock_over_exec(spawn::command_lock_place())?;
    sys::stop_ignoring_signals(BrokenPipe::Default);
    Err(Command::new(program).args(arguments).exec())
}
