//! A program that is told that its files lie on a network file system.
//!
//! Few machines can mount one for a test, so the kernel's answer to `statfs` is changed on its way
//! to the program (ptrace(2)); everything else is real.
#![expect(unsafe_code, reason = "ptrace has no safe form")]

use std::io::{self, Read};
use std::mem::{MaybeUninit, size_of};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Output, Stdio};

/// Runs a program to its end; `statfs` tells its first thread this type of file system. Answers
/// how often it asked.
///
/// It may write as much as a pipe holds.
///
/// # Panics
/// When this machine does not let a process trace its child.
#[expect(
    clippy::zombie_processes,
    reason = "its end is waited for by its process id, as a tracer must"
)]
pub fn output_on(file_system: u32, mut command: Command) -> (Output, u32) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: `ptrace` is a system call and allocates nothing, as is asked of a forked child.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let mut child = command.spawn().expect(
        "a process may trace its child (in a container: --cap-add SYS_PTRACE), and the program \
         can be started",
    );
    let mut traced = Traced {
        pid: child.id().cast_signed(),
        file_system,
        answer_at: None,
        asked: 0,
    };
    let status = traced.run();
    let output = Output {
        status,
        stdout: everything(child.stdout.take()),
        stderr: everything(child.stderr.take()),
    };
    (output, traced.asked)
}

/// What a program that has ended left in a pipe.
fn everything(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pipe = pipe.expect("it is a pipe");
    pipe.read_to_end(&mut bytes).expect("a pipe can be read");
    bytes
}

struct Traced {
    pid: i32,
    file_system: u32,
    /// Where the kernel is writing its answer to `statfs`.
    answer_at: Option<u64>,
    asked: u32,
}

impl Traced {
    /// From the stop at its start to its end.
    fn run(&mut self) -> ExitStatus {
        let started = wait(self.pid);
        assert_eq!(started.stopped_signal(), Some(libc::SIGTRAP), "{started}");
        self.option(libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL);
        let mut signal = 0;
        loop {
            self.go_on(signal);
            let status = wait(self.pid);
            signal = match status.stopped_signal() {
                None => return status,
                Some(stop) if stop == libc::SIGTRAP | 0x80 => {
                    self.at_system_call();
                    0
                }
                Some(libc::SIGTRAP) => 0,
                Some(other) => other,
            };
        }
    }

    fn at_system_call(&mut self) {
        let info = self.system_call();
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: `op` says that this is the valid member.
                let entry = unsafe { info.u.entry };
                let is_statfs = i64::try_from(entry.nr) == Ok(libc::SYS_statfs);
                self.answer_at = is_statfs.then_some(entry.args[1]);
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                // SAFETY: `op` says that this is the valid member.
                let exit = unsafe { info.u.exit };
                if let Some(at) = self.answer_at.take()
                    && exit.sval == 0
                {
                    self.asked += 1;
                    self.write_type(at);
                }
            }
            _ => {}
        }
    }

    /// The type is the first word of `struct statfs`.
    fn write_type(&self, at: u64) {
        let value = i64::from(self.file_system);
        // SAFETY: writes into the stopped child, where the kernel has just written.
        let done = unsafe { libc::ptrace(libc::PTRACE_POKEDATA, self.pid, at, value) };
        assert_ne!(done, -1, "{}", io::Error::last_os_error());
    }

    fn system_call(&self) -> libc::ptrace_syscall_info {
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        let request = libc::PTRACE_GET_SYSCALL_INFO;
        // SAFETY: the kernel writes at most `size` bytes; zeros are a valid value of all of it.
        unsafe {
            let done = libc::ptrace(request, self.pid, size, info.as_mut_ptr());
            assert_ne!(done, -1, "{}", io::Error::last_os_error());
            info.assume_init()
        }
    }

    fn option(&self, options: i32) {
        // SAFETY: changes nothing in this process.
        let done = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, self.pid, 0, options) };
        assert_ne!(done, -1, "{}", io::Error::last_os_error());
    }

    fn go_on(&self, signal: i32) {
        // SAFETY: changes nothing in this process.
        let done = unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.pid, 0, signal) };
        assert_ne!(done, -1, "{}", io::Error::last_os_error());
    }
}

fn wait(pid: i32) -> ExitStatus {
    let mut status = 0;
    // SAFETY: the status lives longer than the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "{}", io::Error::last_os_error());
    ExitStatus::from_raw(status)
}
