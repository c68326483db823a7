//! The mark that every process of an attempt inherits, and how to find and kill who carries it.
//!
//! It serves only to find processes that left their group or outlived their keeper; it proves
//! nothing. A process with another value of the variable belongs to somebody else.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use dispatcher_core::JobId;

use super::sys;

/// Name of the variable in every job process.
pub(crate) const TAG_VARIABLE: &str = "DISPATCHER_ATTEMPT";

/// Value for a process that a job may start but that belongs to no attempt (a supervisor).
pub(crate) const NO_ATTEMPT: &str = "none";

/// Bytes of the longest value.
pub(super) const TAG_BYTES: usize = JobId::LEN + 1 + 10;

/// How long killing may take before what is left is given up.
const KILL_TIME_MAX: Duration = Duration::from_secs(5);

/// How often, and how long apart, a process that starts another image is looked at.
const EXEC_LOOKS: u32 = 40;
const EXEC_STEP: Duration = Duration::from_micros(250);

/// One attempt of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.attempt)
    }
}

/// Kills everything that carries the tag, and their process groups, until nothing is found.
/// Blocks for up to five seconds if something does not die. Returns how many were found.
pub(crate) fn kill_tagged(tag: &Tag) -> u32 {
    let give_up = Instant::now() + KILL_TIME_MAX;
    let own_group = sys::group_of(sys::own_pid());
    let mut killed = std::collections::BTreeSet::new();
    loop {
        let found = tagged(tag);
        if found.is_empty() || Instant::now() > give_up {
            return u32::try_from(killed.len()).unwrap_or(u32::MAX);
        }
        for pid in found {
            killed.insert(pid);
            // Group mates may have dropped the tag. The group was made for the attempt.
            if let Some(group) = sys::group_of(pid).filter(|group| Some(*group) != own_group) {
                let _ = sys::kill_group(group, libc::SIGKILL);
            }
            let _ = sys::kill(pid, libc::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many living processes carry the tag.
pub(crate) fn count_tagged(tag: &Tag) -> u32 {
    u32::try_from(tagged(tag).len()).unwrap_or(u32::MAX)
}

/// The value that a process carries; `None` without one, or if its environment is unreadable.
///
/// A process shows no environment for an instant while it starts another image. That would hide
/// it from a search, so what looks empty is believed only when the kernel says that it is.
pub(super) fn value_of(pid: i32) -> Option<Vec<u8>> {
    for _ in 0..EXEC_LOOKS {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        if !environ.is_empty() {
            return value_in(&environ).map(<[u8]>::to_vec);
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        match environment_in(&stat)? {
            Environment::Empty => return None,
            // It came between the two reads.
            Environment::Present => {}
            Environment::Pending => thread::sleep(EXEC_STEP),
        }
    }
    None
}

/// What a line of `/proc/<pid>/stat` says of the environment.
#[derive(Debug, PartialEq, Eq)]
enum Environment {
    Empty,
    Present,
    /// The process has new memory, and the environment is not in it yet.
    Pending,
}

/// Fields 23 (size of the memory), 50 and 51 (bounds of the environment) of proc_pid_stat(5).
fn environment_in(stat: &str) -> Option<Environment> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    let memory = fields.nth(20)?;
    let (start, end) = (fields.nth(26)?, fields.next()?);
    Some(if memory == "0" || (end != "0" && start == end) {
        Environment::Empty
    } else if end == "0" {
        Environment::Pending
    } else {
        Environment::Present
    })
}

fn value_in(environ: &[u8]) -> Option<&[u8]> {
    environ.split(|byte| *byte == 0).find_map(|entry| {
        entry
            .strip_prefix(TAG_VARIABLE.as_bytes())?
            .strip_prefix(b"=")
    })
}

fn tagged(tag: &Tag) -> Vec<i32> {
    let wanted = tag.to_string();
    let own = sys::own_pid();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let pid = std::str::from_utf8(name.as_bytes()).ok()?.parse().ok()?;
            let carries = pid != own && value_of(pid)? == wanted.as_bytes();
            carries.then_some(pid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_tag_has_the_reserved_width() {
        let tag = Tag {
            job: JobId::from_bytes([0xff; 10]),
            attempt: u32::MAX,
        };
        assert_eq!(tag.to_string().len(), TAG_BYTES);
    }

    #[test]
    fn an_environment_that_is_not_there_yet_is_told_from_an_empty_one() {
        let line = |memory: u32, start: u32, end: u32| {
            let zeros = |count| "0 ".repeat(count);
            format!(
                "7 (a) b) S {}{memory} {}{start} {end} 0",
                zeros(19),
                zeros(26)
            )
        };
        let told = |memory, start, end| environment_in(&line(memory, start, end)).unwrap();
        assert_eq!(told(0, 0, 0), Environment::Empty);
        assert_eq!(told(4096, 0, 0), Environment::Pending);
        assert_eq!(told(4096, 70, 0), Environment::Pending);
        assert_eq!(told(4096, 70, 70), Environment::Empty);
        assert_eq!(told(4096, 70, 90), Environment::Present);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(environment_in(&own), Some(Environment::Present));
    }

    #[test]
    fn the_value_is_found_among_others() {
        let environ = b"A=1\0XDISPATCHER_ATTEMPT=no\0DISPATCHER_ATTEMPT=abc.1\0\0\0B=2\0";
        assert_eq!(value_in(environ), Some(b"abc.1".as_slice()));
        assert_eq!(value_in(b"DISPATCHER_ATTEMPTS=1\0"), None);
        assert_eq!(value_in(b""), None);
    }
}
