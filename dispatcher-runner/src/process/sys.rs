//! The system calls that the standard library does not have, each behind a safe function.
//!
//! Nothing here decides anything. A process id is checked to be above 1 before it is signalled.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use dispatcher_core::{ExitStatus, Usage};

/// Below it are the standard streams and two descriptors with a fixed place in workers.
pub(super) const FIRST_FREE: RawFd = 5;

/// Which child to look at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Child {
    Any,
    Pid(i32),
}

/// A child that has ended and was not reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) pid: i32,
    pub(super) status: ExitStatus,
    pub(super) usage: Usage,
}

pub(super) fn own_pid() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::getpid() }
}

/// The process group of a process, if there is such a process.
pub(super) fn group_of(pid: i32) -> Option<i32> {
    // SAFETY: integers only.
    let group = unsafe { libc::getpgid(pid) };
    (group > 0).then_some(group)
}

pub(super) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    assert!(pid > 1, "invariant: no process of ours has id {pid}");
    // SAFETY: integers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

pub(super) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    assert!(group > 1, "invariant: no group of ours has id {group}");
    // SAFETY: integers only.
    check(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// Puts a child (0: oneself) at the head of a group of its own.
pub(super) fn make_group(pid: i32) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::setpgid(pid, pid) }).map(drop)
}

pub(super) fn make_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }).map(drop)
}

pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

pub(super) fn set_umask(mask: libc::mode_t) {
    // SAFETY: an integer; cannot fail.
    unsafe { libc::umask(mask) };
}

/// Finds a child that has ended, and leaves it unreaped so that its id stays taken.
pub(super) fn look(child: Child) -> Option<Ended> {
    let (kind, id) = match child {
        Child::Any => (libc::P_ALL, 0),
        Child::Pid(pid) => (libc::P_PID, pid),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // The library's waitid has no place for the usage; the kernel's has.
    // SAFETY: both pointers are valid for writing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            kind,
            id,
            info.as_mut_ptr(),
            flags,
            usage.as_mut_ptr(),
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: zeroed at first, and all-zero bytes are valid for both.
    let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
    // SAFETY: the kernel filled in the fields of SIGCHLD, or left them zero.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return None;
    }
    let status = match info.si_code {
        libc::CLD_EXITED => ExitStatus::Exited(value),
        code => ExitStatus::Signalled {
            signal: value,
            core: code == libc::CLD_DUMPED,
        },
    };
    Some(Ended {
        pid,
        status,
        usage: usage_of(&usage),
    })
}

/// Reaps a child if it has ended; says whether it had.
pub(super) fn reap(pid: i32) -> bool {
    // SAFETY: the null pointer asks for no status.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) == pid }
}

/// Makes SIGCHLD readable as a descriptor and holds back what would end the keeper too early: a
/// stop of its whole control group or terminal is the supervisor's to answer.
pub(super) fn keeper_signals() -> io::Result<OwnedFd> {
    let mut held = empty_set();
    let mut read = empty_set();
    // SAFETY: both sets are initialised, the numbers valid.
    unsafe {
        libc::sigaddset(&raw mut read, libc::SIGCHLD);
        for signal in [
            libc::SIGCHLD,
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGTSTP,
        ] {
            libc::sigaddset(&raw mut held, signal);
        }
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const held,
            ptr::null_mut(),
        ))?;
        owned(libc::signalfd(
            -1,
            &raw const read,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))
    }
}

/// Forgets the signals read so far; the children are looked at anyway.
pub(super) fn drain(fd: BorrowedFd<'_>) {
    let mut buffer = [0_u8; 1024];
    while matches!(read(fd, &mut buffer), Ok(count) if count == buffer.len()) {}
}

pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for its length.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes a few bytes to a file that is there, with as little of the library as possible: in a
/// forked child every page of code that is touched for the first time costs as much as a call.
pub(super) fn write_to(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the path is terminated, the bytes are valid for their length, and the descriptor is
    // nobody else's.
    let written = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        libc::close(fd);
        written
    };
    match usize::try_from(written) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Lets every signal through, as a new program expects.
pub(super) fn unblock_signals() {
    let none = empty_set();
    // SAFETY: the set is initialised.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
}

/// Whether an ignored signal is one that the language runtime ignores on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokenPipe {
    Ignore,
    Default,
}

/// Undoes ignored signals that were inherited. Handlers are left: they are this program's own.
pub(super) fn stop_ignoring_signals(pipe: BrokenPipe) {
    for signal in 1..=64 {
        if signal == libc::SIGPIPE && pipe == BrokenPipe::Ignore {
            continue;
        }
        // SAFETY: an all-zero sigaction is valid: the default action, no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { zeroed() };
        // SAFETY: the pointer is valid for writing; a bad number is refused.
        let known = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            action.sa_sigaction = libc::SIG_DFL;
            // SAFETY: the action is valid.
            unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        }
    }
}

/// A timer that becomes readable at an instant of `CLOCK_BOOTTIME`, suspension counted.
pub(super) fn boottime_timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: integers only.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) })
}

/// Sets the timer; `None` stops it.
pub(super) fn set_timer(timer: BorrowedFd<'_>, at_ms: Option<u64>) -> io::Result<()> {
    // Zero would stop the timer; an instant long past is as good.
    let at_ms = at_ms.map_or(0, |ms| ms.max(1));
    // SAFETY: all-zero bytes are a valid itimerspec.
    let mut spec: libc::itimerspec = unsafe { zeroed() };
    spec.it_value.tv_sec = libc::time_t::try_from(at_ms / 1000).unwrap_or(libc::time_t::MAX);
    spec.it_value.tv_nsec = libc::c_long::try_from(at_ms % 1000).unwrap_or(0) * 1_000_000;
    // SAFETY: the pointer is valid for reading.
    check(unsafe {
        libc::timerfd_settime(
            timer.as_raw_fd(),
            libc::TFD_TIMER_ABSTIME,
            &raw const spec,
            ptr::null_mut(),
        )
    })
    .map(drop)
}

/// Waits until a descriptor is ready. An interrupted wait is no error.
pub(super) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map_or(-1, |timeout| {
        // Rounded up, so that a wait never ends just before its time.
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    let count = fds.len() as libc::nfds_t;
    // SAFETY: the slice is valid for its length.
    match check(unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) }) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// An entry for [`poll`].
pub(super) fn interest(fd: BorrowedFd<'_>, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// Moves standard input to a private descriptor and leaves `/dev/null` in its place.
pub(super) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = duplicate_above(io::stdin().as_fd(), FIRST_FREE)?;
    let null = File::open("/dev/null")?;
    // SAFETY: integers only; standard input belongs to nobody yet.
    check(unsafe { libc::dup2(null.as_raw_fd(), 0) })?;
    Ok(taken)
}

/// A copy of a descriptor, close-on-exec, numbered `from` or above.
pub(super) fn duplicate_above(fd: BorrowedFd<'_>, from: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, from) })
}

/// Whether a descriptor outlives `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnExec {
    Close,
    Keep,
}

/// Puts a copy of a descriptor at a number, whatever was there.
pub(super) fn place(fd: BorrowedFd<'_>, at: RawFd, on_exec: OnExec) -> io::Result<()> {
    let flag = match on_exec {
        OnExec::Close => libc::O_CLOEXEC,
        OnExec::Keep => 0,
    };
    if fd.as_raw_fd() == at {
        let flag = if flag == 0 { 0 } else { libc::FD_CLOEXEC };
        // SAFETY: integers only.
        return check(unsafe { libc::fcntl(at, libc::F_SETFD, flag) }).map(drop);
    }
    // SAFETY: integers only; used where the numbers belong to nobody.
    check(unsafe { libc::dup3(fd.as_raw_fd(), at, flag) }).map(drop)
}

/// Makes an inherited descriptor private to this process image.
pub(super) fn close_on_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Closes every descriptor from `first` to `last`, whoever opened it. Only where nobody uses them:
/// in a new worker, and in a keeper that has just begun.
pub(super) fn close_all(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        return;
    }
    close_each(first, last);
}

/// For kernels before 5.9, where a limit of a billion descriptors is no reason to try them all.
fn close_each(first: RawFd, last: RawFd) {
    let listed = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.collect::<Vec<RawFd>>()
    });
    let open = listed.unwrap_or_else(|_| (first..=last.min(descriptors_max())).collect());
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: integers only.
        unsafe { libc::close(fd) };
    }
}

/// Highest number that a new descriptor may get.
pub(super) fn descriptors_max() -> RawFd {
    let limit = limit(libc::RLIMIT_NOFILE).map_or(1024, |limit| limit.rlim_cur);
    RawFd::try_from(limit.saturating_sub(1)).unwrap_or(RawFd::MAX)
}

/// Lowers a limit to `soft` and `hard`; what the system does not allow is lowered further.
pub(super) fn lower_limit(resource: Resource, soft: u64, hard: u64) {
    let kind = match resource {
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Core => libc::RLIMIT_CORE,
    };
    let allowed = limit(kind).map_or(libc::RLIM_INFINITY, |limit| limit.rlim_max);
    let wanted = libc::rlimit {
        rlim_cur: soft.min(allowed),
        rlim_max: hard.min(allowed),
    };
    // SAFETY: the pointer is valid for reading.
    unsafe { libc::setrlimit(kind, &raw const wanted) };
}

/// What [`lower_limit`] knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    /// Seconds.
    Cpu,
    OpenFiles,
    /// Bytes.
    Core,
}

#[cfg(target_env = "gnu")]
type ResourceNumber = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type ResourceNumber = libc::c_int;

fn limit(kind: ResourceNumber) -> Option<libc::rlimit> {
    // SAFETY: all-zero bytes are a valid rlimit, and the pointer is valid for writing.
    unsafe {
        let mut found: libc::rlimit = zeroed();
        (libc::getrlimit(kind, &raw mut found) == 0).then_some(found)
    }
}

pub(super) fn set_niceness(nice: i32) -> io::Result<()> {
    // SAFETY: integers only; 0 is this process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Writes out what C libraries of the job have buffered.
pub(super) fn flush_c_streams() {
    // SAFETY: the null pointer means every stream.
    unsafe { libc::fflush(ptr::null_mut()) };
}

/// A pipe, both ends close-on-exec, the reading one non-blocking.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let reader = OwnedFd::from(reader);
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((reader, OwnedFd::from(writer)))
}

/// A file in memory.
pub(super) fn memory_file() -> io::Result<File> {
    // SAFETY: the name is terminated.
    owned(unsafe { libc::memfd_create(c"dispatcher".as_ptr(), libc::MFD_CLOEXEC) }).map(File::from)
}

/// A non-negative result, or what the system says.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A new descriptor that a system call returned.
pub(super) fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: callers pass what a call that makes descriptors has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the descriptor is a Unix socket of the given type.
pub(super) fn is_unix_socket(fd: impl AsFd, kind: libc::c_int) -> bool {
    let option = |name| {
        let mut value: libc::c_int = 0;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the pointers are valid and the length says so.
        let result = unsafe {
            libc::getsockopt(
                fd.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                name,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        (result == 0).then_some(value)
    };
    option(libc::SO_DOMAIN) == Some(libc::AF_UNIX) && option(libc::SO_TYPE) == Some(kind)
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all-zero bytes are the empty set here, and sigemptyset makes sure.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&raw mut set);
        set
    }
}

/// What this process and its ended children have used.
pub(super) fn own_usage() -> Usage {
    let of = |who| {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is valid; all-zero bytes are a valid rusage.
        let usage = unsafe {
            libc::getrusage(who, usage.as_mut_ptr());
            usage.assume_init()
        };
        usage_of(&usage)
    };
    let (own, children) = (of(libc::RUSAGE_SELF), of(libc::RUSAGE_CHILDREN));
    Usage {
        user_us: own.user_us + children.user_us,
        system_us: own.system_us + children.system_us,
        max_rss_kib: own.max_rss_kib.max(children.max_rss_kib),
        major_faults: own.major_faults + children.major_faults,
        minor_faults: own.minor_faults + children.minor_faults,
        context_switches: own.context_switches + children.context_switches,
        blocks_read: own.blocks_read + children.blocks_read,
        blocks_written: own.blocks_written + children.blocks_written,
        tree_peak_kib: None,
    }
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let us = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    Usage {
        user_us: us(usage.ru_utime),
        system_us: us(usage.ru_stime),
        max_rss_kib: count(usage.ru_maxrss),
        major_faults: count(usage.ru_majflt),
        minor_faults: count(usage.ru_minflt),
        context_switches: count(usage.ru_nvcsw) + count(usage.ru_nivcsw),
        blocks_read: count(usage.ru_inblock),
        blocks_written: count(usage.ru_oublock),
        tree_peak_kib: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_closed_one_by_one_where_the_kernel_knows_no_ranges() {
        let null = File::open("/dev/null").unwrap();
        let far = 1_000.min(descriptors_max() - 1);
        let is_open = |fd: RawFd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
        place(null.as_fd(), far, OnExec::Close).unwrap();
        close_each(far + 1, RawFd::MAX);
        assert!(is_open(far));
        close_each(far, far);
        assert!(!is_open(far) && is_open(null.as_raw_fd()));
    }
}
