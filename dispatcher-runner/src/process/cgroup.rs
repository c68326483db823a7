//! Control groups (v2) for attempts with a memory limit, where a subtree is delegated to us.
//!
//! A manager such as systemd owns the tree; only below a group that was handed over may anybody
//! else make groups ("single writer"), and only in groups without processes of their own. So the
//! supervisor moves into a leaf beside the groups of its attempts, and a group that other processes
//! live in is left alone. Without a subtree everything here is two small files that are read once.
//!
//! Formats and rules: the kernel's `Documentation/admin-guide/cgroup-v2.rst`, `cgroups(7)` and
//! `proc_pid_mountinfo(5)`; what delegation is, systemd's `docs/CGROUP_DELEGATION.md`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr};

use super::Tag;

mod records;

#[cfg(test)]
mod tests;

use records::{controllers, count_of, place};

/// Groups of attempts begin with it.
const PREFIX: &str = "dispatcher-attempt-";
/// Where supervisors live while their attempts have groups.
const LEAF: &str = "dispatcher-supervisor";
/// A group may be taken for a killed supervisor's in the moment before its lock is held.
const TRIES_MAX: u32 = 10;

/// Why attempts get no groups.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSubtree {
    #[error("there is no cgroup v2")]
    NoV2,
    #[error("cgroup v2 is without the memory controller at {}", group.display())]
    NoController { group: PathBuf },
    #[error("the control group {} is not delegated", group.display())]
    NotDelegated { group: PathBuf },
    #[error("other processes live in the control group {}", group.display())]
    Shared { group: PathBuf },
    #[error("the control group {} cannot be changed", group.display())]
    Refused { group: PathBuf, source: io::Error },
}

/// A group below which there may be groups of ours.
#[derive(Debug)]
pub(crate) struct Subtree {
    base: PathBuf,
}

/// A subtree that was found, before anything was changed.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    base: PathBuf,
    controller: Controller,
    this_process: Inside,
}

/// Whether groups below the base have the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Enabled,
    ToBeEnabled,
}

/// Where this process is, seen from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// In the base, which is the root of all groups and may have processes.
    Root,
    /// In the base, which must not have processes.
    Base,
    /// In the group of an attempt: a job started it.
    Attempt,
    /// In another group below the base.
    Leaf,
}

/// The group of one attempt. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Group {
    directory: PathBuf,
    /// Ends with this process: nobody else removes the group as long as it is held.
    _lock: File,
}

/// What the kernel says about a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GroupMemory {
    /// Processes that were killed for lack of memory.
    pub(crate) oom_kills: u64,
    /// Bytes; not told before Linux 5.19.
    pub(crate) peak: Option<u64>,
}

impl Subtree {
    /// Makes this process ready to give its attempts groups, which moves it if need be.
    ///
    /// # Errors
    /// When it cannot, and why.
    pub(crate) fn enter() -> Result<Self, NoSubtree> {
        let subtree = look()?.take()?;
        subtree.sweep();
        Ok(subtree)
    }

    /// The subtree that a supervisor would find from here; nothing is changed.
    ///
    /// # Errors
    /// When it would find none, and why.
    pub(crate) fn foresee() -> Result<PathBuf, NoSubtree> {
        let found = look()?;
        found.must_be_alone()?;
        Ok(found.base)
    }

    /// Makes the group of an attempt; what is in it gets no more than `limit` bytes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn group(&self, tag: &Tag, limit: u64) -> io::Result<Group> {
        let directory = self.base.join(format!("{PREFIX}{tag}"));
        let mut made = Err(io::ErrorKind::NotFound.into());
        for _ in 0..TRIES_MAX {
            made = Group::make(&directory);
            if made.is_ok() {
                break;
            }
        }
        let group = made?;
        group.set("memory.max", &limit.to_string())?;
        // The tree is one thing: none of it shall live on without the rest.
        group.set("memory.oom.group", "1")?;
        // What does not fit is not to be swapped out for ever; there may be no such file.
        let _ = group.set("memory.swap.max", "0");
        Ok(group)
    }

    /// Removes groups of attempts that nobody keeps and nobody lives in: those of supervisors that
    /// were killed, and of processes that jobs left behind.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let lock = File::open(entry.path());
            let is_free = lock.as_ref().is_ok_and(|lock| lock.try_lock().is_ok());
            if is_free && fs::remove_dir(entry.path()).is_ok() {
                tracing::debug!(group = %name.display(), "removed an empty group");
            }
        }
    }
}

impl Group {
    fn make(directory: &Path) -> io::Result<Self> {
        fs::create_dir(directory)?;
        let lock = File::open(directory)?;
        lock.try_lock()?;
        // Not another one of the same name, nor none.
        let (held, there) = (lock.metadata()?, fs::metadata(directory)?);
        if (held.dev(), held.ino()) != (there.dev(), there.ino()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// The file that a process writes 0 to in order to come in.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    /// Whether a living process is in it.
    pub(crate) fn is_inhabited(&self) -> bool {
        let events = fs::read_to_string(self.directory.join("cgroup.events"));
        events.is_ok_and(|text| count_of("populated", &text) == Some(1))
    }

    /// What became of its memory; nothing is known of a group that is gone.
    pub(crate) fn memory(&self) -> GroupMemory {
        let read = |name| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        GroupMemory {
            oom_kills: count_of("oom_kill", &read("memory.events")).unwrap_or(0),
            peak: read("memory.peak").trim().parse().ok(),
        }
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        set(&self.directory.join(name), value)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whom a job left behind stays in it, and is no longer anybody's attempt.
        if fs::remove_dir(&self.directory).is_err() && self.set("memory.max", "max").is_ok() {
            tracing::debug!(group = %self.directory.display(), "processes stay in the group of their attempt");
        }
    }
}

impl Found {
    fn take(self) -> Result<Subtree, NoSubtree> {
        self.must_be_alone()?;
        let refused = |group: &Path, source| NoSubtree::Refused {
            group: group.to_owned(),
            source,
        };
        if self.must_move() {
            let leaf = self.base.join(LEAF);
            move_into(&leaf).map_err(|source| refused(&leaf, source))?;
        }
        match self.controller {
            Controller::Enabled => {}
            Controller::ToBeEnabled => {
                let enabled = set(&self.base.join("cgroup.subtree_control"), "+memory");
                enabled.map_err(|source| refused(&self.base, source))?;
            }
        }
        Ok(Subtree { base: self.base })
    }

    fn must_move(&self) -> bool {
        match self.this_process {
            Inside::Base | Inside::Attempt => true,
            Inside::Root | Inside::Leaf => false,
        }
    }

    /// Processes of others cannot be moved out of the way.
    fn must_be_alone(&self) -> Result<(), NoSubtree> {
        match (self.controller, self.this_process) {
            (Controller::Enabled, _) | (Controller::ToBeEnabled, Inside::Root) => return Ok(()),
            (Controller::ToBeEnabled, Inside::Base | Inside::Attempt | Inside::Leaf) => {}
        }
        let members = fs::read_to_string(self.base.join("cgroup.procs")).unwrap_or_default();
        let own = std::process::id().to_string();
        if members.lines().all(|pid| pid == own) {
            return Ok(());
        }
        Err(NoSubtree::Shared {
            group: self.base.clone(),
        })
    }
}

/// How often the kernel killed for lack of memory since it started, on the whole machine
/// (`proc_vmstat(5)`, since Linux 4.13).
pub(crate) fn oom_kills() -> Option<u64> {
    count_of("oom_kill", &fs::read_to_string("/proc/vmstat").ok()?)
}

fn look() -> Result<Found, NoSubtree> {
    let read = |name| fs::read_to_string(name).map_err(|_| NoSubtree::NoV2);
    let (groups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
    let user = rustix::process::geteuid().as_raw();
    find(&groups, &mounts, user)
}

/// The subtree for a process whose `/proc/self/cgroup` and `/proc/self/mountinfo` say this.
fn find(groups: &str, mounts: &str, user: u32) -> Result<Found, NoSubtree> {
    let (mount, own) = place(groups, mounts).ok_or(NoSubtree::NoV2)?;
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let inside = if own == mount {
        Inside::Root
    } else if name == LEAF {
        Inside::Leaf
    } else if name.starts_with(PREFIX) {
        Inside::Attempt
    } else {
        Inside::Base
    };
    // A unit's group lies in one that systemd manages, whatever marks that has.
    let is_unit = [".service", ".scope", ".slice"]
        .into_iter()
        .any(|kind| name.ends_with(kind));
    let base = match (inside, own.parent()) {
        (Inside::Attempt | Inside::Leaf, Some(parent)) => parent.to_owned(),
        (Inside::Attempt | Inside::Leaf, None) | (Inside::Base | Inside::Root, _) => own,
    };
    if !has_memory(&base, "cgroup.controllers") {
        return Err(NoSubtree::NoController { group: base });
    }
    if !is_delegated(&base, &mount, user) {
        // Its parent may be, with a leaf made for us (systemd's `DelegateSubgroup`).
        let parent = base.parent().filter(|_| inside == Inside::Base && !is_unit);
        return match parent.filter(|parent| is_delegated(parent, &mount, user)) {
            Some(parent) => Ok(found(parent, Inside::Leaf)),
            None => Err(NoSubtree::NotDelegated { group: base }),
        };
    }
    Ok(found(&base, inside))
}

fn found(base: &Path, this_process: Inside) -> Found {
    let controller = match has_memory(base, "cgroup.subtree_control") {
        true => Controller::Enabled,
        false => Controller::ToBeEnabled,
    };
    // Only the root of all groups is without a type.
    let this_process = match this_process {
        Inside::Root if base.join("cgroup.type").exists() => Inside::Base,
        other => other,
    };
    Found {
        base: base.to_owned(),
        controller,
        this_process,
    }
}

fn has_memory(group: &Path, list: &str) -> bool {
    let text = fs::read_to_string(group.join(list)).unwrap_or_default();
    controllers(&text).any(|name| name == "memory")
}

/// Whether a group was handed over. That it can be written to is not enough: root can write
/// everywhere, and a user to everything that the user's own systemd manages.
fn is_delegated(group: &Path, mount: &Path, user: u32) -> bool {
    let is_writable = ["", "cgroup.procs", "cgroup.subtree_control"]
        .into_iter()
        .all(|name| accessat(CWD, group.join(name), Access::WRITE_OK, AtFlags::EACCESS).is_ok());
    if !is_writable {
        return false;
    }
    // The top of what can be seen has nobody above it who could manage it.
    if group == mount {
        return true;
    }
    let is_marked = ["user.delegate", "trusted.delegate"]
        .into_iter()
        .any(|name| {
            let mut value = [0; 8];
            getxattr(group, name, &mut value).is_ok_and(|length| &value[..length] == b"1")
        });
    // An older systemd sets a mark that only root can read; but it gives the group to the user.
    let owner = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
    let parent = group.parent().and_then(owner);
    let is_handed_over = user != 0 && owner(group) == Some(user) && parent != Some(user);
    is_marked || is_handed_over
}

fn move_into(leaf: &Path) -> io::Result<()> {
    match fs::create_dir(leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    set(&leaf.join("cgroup.procs"), "0")
}

/// Writes to a file of the kernel, which is there or not, but is never made.
fn set(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = File::options().write(true).open(path)?;
    file.write_all(value.as_bytes())
}
