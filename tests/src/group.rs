//! A control group for processes of a test, to be killed whole as a service manager does it.
//!
//! Where no group can be made (no cgroup v2, or no right to it), its members are killed one by one,
//! which is said: what a test expects of the survivors is the same.

use std::fs;
use std::path::PathBuf;

use crate::{Home, PATIENCE, kill, within};

/// A control group, or what stands in for one.
#[derive(Debug)]
pub struct ControlGroup {
    directory: Option<PathBuf>,
}

impl ControlGroup {
    /// Makes one that is named after the directory of the test.
    #[must_use]
    pub fn make(home: &Home) -> Self {
        let directory = root().and_then(|root| {
            let directory = root.join(home.path().file_name()?);
            fs::create_dir(&directory).ok()?;
            let group = Self {
                directory: Some(directory.clone()),
            };
            // Absent before Linux 5.14. Dropping takes the directory away again.
            directory.join("cgroup.kill").exists().then_some(group)
        });
        directory.unwrap_or_else(|| {
            eprintln!("no control group can be made here; its members are killed one by one");
            Self { directory: None }
        })
    }

    /// Puts a process in; whatever it starts from then on is in it too.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add(&self, pid: u32) {
        if let Some(directory) = &self.directory {
            fs::write(directory.join("cgroup.procs"), pid.to_string())
                .expect("the group takes a process");
        }
    }

    /// Whether a process is in it.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        let Some(directory) = &self.directory else {
            return true;
        };
        let list = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        list.lines().any(|line| line == pid.to_string())
    }

    /// SIGKILL to all of them.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn kill_whole(&self, home: &Home) {
        match &self.directory {
            Some(directory) => {
                fs::write(directory.join("cgroup.kill"), "1").expect("the group can be killed");
            }
            None => {
                for seen in home.processes() {
                    kill(seen.pid);
                }
            }
        }
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = fs::write(directory.join("cgroup.kill"), "1");
            // Zombies keep it until they are reaped.
            let _ = within(PATIENCE, || fs::remove_dir(directory).is_ok());
        }
    }
}

/// Where cgroup v2 is mounted.
fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then(|| place.into())
    })
}
