//! Where a run takes place: a folder of its own, and the supervisor that serves it.
//!
//! Both are gone when the run is over, however it ended short of SIGKILL: a signal that asks it to
//! end is a failure of the next step, so that nothing is made while the folder is removed.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a supervisor may take to end; the jobs of a run are short.
const PATIENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// The signal that asked the run to end; 0 is none.
static ASKED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Says whether the run may go on.
///
/// # Errors
/// When a signal asked it to end.
pub(crate) fn go_on() -> io::Result<()> {
    match asked() {
        None => Ok(()),
        Some(signal) => Err(io::Error::other(format!("signal {signal} ended it"))),
    }
}

/// Ends as the signal would have ended it, if there was one.
pub(crate) fn end_as_asked() {
    if let Some(signal) = asked() {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

fn asked() -> Option<i32> {
    let signal = ASKED.get()?.load(Ordering::Relaxed);
    i32::try_from(signal).ok().filter(|signal| *signal > 0)
}

pub(crate) struct Scene(PathBuf);

impl Scene {
    /// Makes the folder. From now on a signal does not end the process but the run.
    pub(crate) fn set(parent: &Path) -> io::Result<Self> {
        // Relative to a working directory it would be another place to the supervisor.
        let parent = parent.canonicalize().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", parent.display()))
        })?;
        let asked = ASKED.get_or_init(Arc::default);
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            signal_hook::flag::register_usize(signal, Arc::clone(asked), number)?;
        }
        let directory = parent.join(format!("dispatcher-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self(directory))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// The state file.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.db")
    }

    /// Ends the supervisors of this run, and waits for that; what still waits goes with its state.
    pub(crate) fn end_supervisors(&self) -> Result<(), Box<dyn Error>> {
        if !self.state().exists() {
            return Ok(());
        }
        let connection = rusqlite::Connection::open(self.state())?;
        let mut open = connection.prepare(include_str!("sql/bench_supervisors.sql"))?;
        let pids = open.query_map([], |row| row.get::<_, i32>(0))?;
        for pid in pids {
            let Some(pid) = Pid::from_raw(pid?) else {
                continue;
            };
            let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            // Only now: from here on the number, if it is still in use, is that of this process.
            if !runs_this_image(pid) {
                continue;
            }
            match rustix::process::pidfd_send_signal(&process, Signal::TERM) {
                Err(Errno::SRCH) => continue,
                sent => sent?,
            }
            if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&PATIENCE))? == 0 {
                return Err(format!("process {pid} does not end").into());
            }
        }
        Ok(())
    }
}

/// Whether the process is one of this program: its number may have gone to somebody else.
fn runs_this_image(pid: Pid) -> bool {
    let identity = |process: &str| {
        let image = fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((image.dev(), image.ino()))
    };
    let own = identity("self");
    own.is_some() && identity(&pid.to_string()) == own
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.end_supervisors() {
            eprintln!("note: the supervisor of this run was not ended: {error}");
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("note: {} is left behind: {error}", self.0.display());
        }
    }
}
