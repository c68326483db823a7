//! How a keeper makes a worker: by forking itself, or by starting an image.
//!
//! The keeper has one thread, so a forked child may do whatever a program may. A child never
//! returns into the keeper's loop. It sees the standard streams, and two descriptors with a fixed
//! place: 3, and 4.
#![expect(unsafe_code, reason = "fork, exec, and what lies between them")]

use std::convert::Infallible;
use std::ffi::{CString, NulError};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use super::sys::{self, BrokenPipe, FIRST_FREE, OnExec, Resource};
use super::tag::{TAG_VARIABLE, Tag};
use super::title::{self, Title};
use super::{Identity, Limits, worker};

/// Control channel of a forked worker; slot lock of one that was started afresh.
pub(super) const PLACE_A: RawFd = 3;
/// Slot lock of a forked worker; failure pipe until the new image begins.
const PLACE_B: RawFd = 4;
/// Slot lock of a command, out of the way of scripts that use small numbers; lower if need be.
const COMMAND_LOCK: RawFd = 977;
/// How much more likely than the keeper a worker is to be chosen when memory is short.
const OOM_SCORE_STEP: i32 = 500;

/// Makes workers.
#[derive(Debug)]
pub(super) struct Spawner {
    name: String,
    title: Title,
    null: OwnedFd,
    /// Keep the fixed places taken, so that no descriptor received for a worker lies there.
    _places: [OwnedFd; 2],
    oom_score_adj: i32,
}

/// Control or stdin, stdout, stderr, slot lock.
pub(super) type Descriptors = [OwnedFd; 4];

/// A child that is about to become another image; the pipe tells whether it could.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) pid: i32,
    pub(super) failure: OwnedFd,
}

/// A program to be started.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) working_directory: Option<String>,
}

enum Side {
    Keeper { pid: i32 },
    Child,
}

impl Spawner {
    /// Descriptors 3 and 4 must be free, and none below them.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
        let copy = null.try_clone()?;
        let private = sys::duplicate_above(null.as_fd(), FIRST_FREE)?;
        let places = [null, copy];
        assert_eq!(
            places.each_ref().map(AsRawFd::as_raw_fd),
            [PLACE_A, PLACE_B],
            "invariant: the fixed places of workers are taken in their keeper"
        );
        let title = Title::find();
        let shown = format!("{name} {}", super::role::KEEPER_ROLE);
        // SAFETY: the keeper has one thread.
        unsafe { title.show(&shown) };
        // The kernel took the name from /proc/self/exe.
        title::name_process(&title::process_name(
            name.rsplit('/').next().unwrap_or(name),
        ));
        Ok(Self {
            name: name.to_owned(),
            title,
            null: private,
            _places: places,
            oom_score_adj: std::fs::read_to_string("/proc/self/oom_score_adj")
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        })
    }

    /// Forks a worker; in the child this never returns.
    pub(super) fn fork(
        &self,
        tag: &Tag,
        title: &str,
        limits: &Limits,
        fds: &Descriptors,
    ) -> io::Result<i32> {
        let marks = Marks {
            tag: tag.to_string(),
            title,
            name: title::process_name(title.split(' ').nth(2).unwrap_or(title)),
        };
        let limits = self.prepared(limits);
        match fork()? {
            Side::Keeper { pid } => Ok(pid),
            Side::Child => self.serve(&marks, &limits, fds),
        }
    }

    /// Starts this program afresh as a worker.
    pub(super) fn exec(
        &self,
        tag: &Tag,
        dispatcher: &str,
        limits: &Limits,
        fds: &Descriptors,
    ) -> io::Result<Starting> {
        let job = tag.job.as_str();
        let argv = [&self.name, "notifydispatcher", dispatcher, "--job", job];
        let argv = c_strings(argv.into_iter())?;
        let tag = tag.to_string();
        let limits = self.prepared(limits);
        start(|| {
            self.settle(fds, (PLACE_A, OnExec::Keep), &limits)?;
            // SAFETY: the child has one thread.
            unsafe { self.title.tag(&tag) };
            let argv = pointers(&argv);
            // SAFETY: both are terminated, the array by a null pointer.
            unsafe { libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr()) };
            Err(io::Error::last_os_error())
        })
    }

    /// Starts another program.
    pub(super) fn command(
        &self,
        tag: &Tag,
        program: &Program,
        limits: &Limits,
        fds: &Descriptors,
    ) -> io::Result<Starting> {
        let argv = c_strings(program.argv.iter().map(String::as_str))?;
        let Some(file) = argv.first() else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        let mut env = vec![format!("{TAG_VARIABLE}={tag}")];
        let others = program.env.iter().filter(|(name, _)| name != TAG_VARIABLE);
        env.extend(others.map(|(name, value)| format!("{name}={value}")));
        let env = c_strings(env.iter().map(String::as_str))?;
        let lock_place = command_lock_place();
        let limits = self.prepared(limits);
        start(|| {
            self.settle(fds, (lock_place, OnExec::Keep), &limits)?;
            if let Some(directory) = &program.working_directory {
                std::env::set_current_dir(directory)?;
            }
            let (argv, env) = (pointers(&argv), pointers(&env));
            // SAFETY: the child has one thread; everything is terminated and lives until exec.
            unsafe {
                // Set, so that the search uses the PATH of the new environment.
                libc::environ = env.as_ptr().cast_mut().cast();
                libc::execvp(file.as_ptr(), argv.as_ptr());
            }
            Err(io::Error::last_os_error())
        })
    }

    /// The whole life of a forked worker.
    fn serve(&self, marks: &Marks<'_>, limits: &PreparedLimits, fds: &Descriptors) -> ! {
        let [control, stdout, stderr, lock] = fds.each_ref().map(AsFd::as_fd);
        sys::unblock_signals();
        let placed = sys::place(self.null.as_fd(), 0, OnExec::Keep)
            .and_then(|()| sys::place(stdout, 1, OnExec::Keep))
            .and_then(|()| sys::place(stderr, 2, OnExec::Keep))
            .and_then(|()| sys::place(control, PLACE_A, OnExec::Close))
            .and_then(|()| sys::place(lock, PLACE_B, OnExec::Close));
        if placed.is_err() {
            exit_now(126);
        }
        sys::close_all(FIRST_FREE, RawFd::MAX);
        // SAFETY: the child has one thread.
        unsafe {
            self.title.tag(&marks.tag);
            self.title.show(marks.title);
        }
        title::name_process(&marks.name);
        if let Err(error) = limits.set() {
            let _ = writeln!(io::stderr(), "dispatcher: {error}");
            exit_now(126);
        }
        worker::serve_fork(PLACE_A, PLACE_B)
    }

    /// Puts descriptors and limits in place for another image.
    fn settle(
        &self,
        fds: &Descriptors,
        (lock_place, on_exec): (RawFd, OnExec),
        limits: &PreparedLimits,
    ) -> io::Result<()> {
        let [stdin, stdout, stderr, lock] = fds.each_ref().map(AsFd::as_fd);
        sys::place(stdin, 0, OnExec::Keep)?;
        sys::place(stdout, 1, OnExec::Keep)?;
        sys::place(stderr, 2, OnExec::Keep)?;
        sys::place(self.null.as_fd(), PLACE_A, OnExec::Close)?;
        sys::place(lock, lock_place, on_exec)?;
        sys::close_all(FIRST_FREE, lock_place - 1);
        sys::close_all(FIRST_FREE.max(lock_place + 1), RawFd::MAX);
        sys::stop_ignoring_signals(BrokenPipe::Default);
        sys::unblock_signals();
        limits.set()
    }

    fn prepared(&self, limits: &Limits) -> PreparedLimits {
        let step = self.oom_score_adj.saturating_add(OOM_SCORE_STEP);
        let score = limits.oom_score_adj.unwrap_or(step).clamp(-1000, 1000);
        let entrance = limits.group.as_ref();
        PreparedLimits {
            limits: limits.clone(),
            oom_score_adj: score.to_string(),
            // A path of the kernel has no NUL.
            entrance: entrance.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()),
        }
    }
}

/// Where a command finds its slot's lock.
pub(super) fn command_lock_place() -> RawFd {
    COMMAND_LOCK.min(sys::descriptors_max()).max(FIRST_FREE)
}

/// How a worker is shown; made before the fork, where it costs a worker no memory of its own.
struct Marks<'a> {
    tag: String,
    title: &'a str,
    name: [u8; 16],
}

/// Limits of a worker; made before the fork.
struct PreparedLimits {
    limits: Limits,
    oom_score_adj: String,
    entrance: Option<CString>,
}

impl PreparedLimits {
    /// Fails only where the worker would be somebody else than it should.
    fn set(&self) -> io::Result<()> {
        let limits = &self.limits;
        if let Some(entrance) = &self.entrance
            && let Err(error) = sys::write_to(entrance, b"0")
        {
            let _ = writeln!(io::stderr(), "dispatcher: memory is sampled only: {error}");
        }
        // A score below the keeper's needs privileges; without them the keeper's stays.
        let _ = sys::write_to(c"/proc/self/oom_score_adj", self.oom_score_adj.as_bytes());
        if let Some(cpu) = limits.cpu {
            let seconds = u64::try_from(cpu.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
            let seconds = seconds.max(1);
            // SIGXCPU at the limit, SIGKILL a second later.
            sys::lower_limit(Resource::Cpu, seconds, seconds.saturating_add(1));
        }
        if let Some(files) = limits.open_files {
            sys::lower_limit(Resource::OpenFiles, files, files);
        }
        if let Some(core) = limits.core {
            sys::lower_limit(Resource::Core, core, core);
        }
        if let Some(nice) = limits.nice
            && let Err(error) = sys::set_niceness(nice)
        {
            let _ = writeln!(io::stderr(), "dispatcher: niceness {nice}: {error}");
        }
        // Last: whatever was set before may need the keeper's rights.
        let taken = limits.identity.as_ref().map_or(Ok(()), Identity::take);
        taken.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("it cannot become another user: {error}"),
            )
        })
    }
}

/// What the failure pipe of a starting child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Pending,
    Done,
    Failed { errno: i32 },
}

/// Reads the failure pipe; never waits.
pub(super) fn read_start(failure: BorrowedFd<'_>) -> Start {
    let mut bytes = [0; 4];
    match sys::read(failure, &mut bytes) {
        Ok(4) => Start::Failed {
            errno: i32::from_le_bytes(bytes),
        },
        Ok(_) => Start::Done,
        Err(_) => Start::Pending,
    }
}

/// Ends this process at once: nothing of the keeper's that was copied is run.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}

fn start(exec: impl FnOnce() -> io::Result<Infallible>) -> io::Result<Starting> {
    let (reader, writer) = sys::pipe()?;
    match fork()? {
        Side::Keeper { pid } => Ok(Starting {
            pid,
            failure: reader,
        }),
        Side::Child => {
            // Out of the way first: everything from FIRST_FREE on is closed.
            let result = sys::place(writer.as_fd(), PLACE_B, OnExec::Close).and_then(|()| exec());
            let Err(error) = result;
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            // SAFETY: PLACE_B is the failure pipe, or still /dev/null if placing failed.
            let mut pipe = unsafe { File::from(OwnedFd::from_raw_fd(PLACE_B)) };
            let _: io::Result<()> = pipe.write_all(&errno.to_le_bytes());
            exit_now(127)
        }
    }
}

/// Forks, and gives the child a process group of its own before anybody can signal it.
fn fork() -> io::Result<Side> {
    // SAFETY: a keeper has one thread, so the child's memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // Parent and child both do it, so that neither has to wait for the other.
            let _ = sys::make_group(0);
            Ok(Side::Child)
        }
        pid => {
            let _ = sys::make_group(pid);
            Ok(Side::Keeper { pid })
        }
    }
}

fn c_strings<'a>(texts: impl Iterator<Item = &'a str>) -> io::Result<Vec<CString>> {
    texts
        .map(|text| CString::new(text).map_err(|_: NulError| invalid()))
        .collect()
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// The array that `exec` wants; valid as long as the strings.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    let texts = texts.iter().map(|text| text.as_ptr());
    texts.chain([ptr::null()]).collect()
}
