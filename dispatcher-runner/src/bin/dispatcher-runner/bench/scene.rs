//! Where a run takes place: a folder of its own, and the supervisor that serves it.
//!
//! Both are gone when the run is over, however it ended short of SIGKILL.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How often the folder is removed until it is gone.
const TRIES_MAX: u32 = 100;

pub(crate) struct Scene(PathBuf);

impl Scene {
    /// Makes the folder. From now on a signal that ends the process clears it away first.
    pub(crate) fn set(parent: &Path) -> io::Result<Self> {
        // Relative to a working directory it would be another place to the supervisor.
        let parent = parent.canonicalize().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", parent.display()))
        })?;
        let directory = parent.join(format!("dispatcher-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let scene = Self(directory);
        let interrupted = Self(scene.0.clone());
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                drop(interrupted);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
        Ok(scene)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// The state file.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.db")
    }

    /// Ends the supervisors of this run, and waits for that; what still waits goes with its state.
    fn end_supervisors(&self) -> Result<(), Box<dyn Error>> {
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
            rustix::process::pidfd_send_signal(&process, Signal::TERM)?;
            poll(&mut [PollFd::new(&process, PollFlags::IN)], None)?;
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.end_supervisors() {
            eprintln!("note: the supervisor of this run was not found: {error}");
        }
        // Where a signal interrupts, files may still be made.
        let removed = (0..TRIES_MAX).find_map(|_| fs::remove_dir_all(&self.0).ok());
        if removed.is_none() && self.0.exists() {
            eprintln!("note: {} is left behind", self.0.display());
        }
    }
}
