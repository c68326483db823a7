//! The mark that every process of an attempt inherits, and how to find and kill who carries it.
//!
//! It serves only to find processes that left their group or outlived their keeper; it proves
//! nothing. A process with another value of the variable belongs to somebody else.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dispatcher_core::JobId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::stat::{Environment, Stat};
use super::sys;

/// Name of the variable in every job process.
pub(crate) const TAG_VARIABLE: &str = "DISPATCHER_ATTEMPT";

/// Value for a process that a job may start but that belongs to no attempt (a supervisor).
pub(crate) const NO_ATTEMPT: &str = "none";

/// Bytes of the longest value.
pub(super) const TAG_BYTES: usize = JobId::LEN + 1 + 10;

/// How long killing may take before what is left is given up.
const KILL_TIME_MAX: Duration = Duration::from_secs(5);

/// How long to look at processes that show no environment for the moment, and how often.
const LOOK_TIME_MAX: Duration = Duration::from_millis(100);
const LOOK_STEP: Duration = Duration::from_micros(250);

/// Bytes of an environment that are asked for at first.
const ENVIRON_BYTES: usize = 16 * 1024;

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

/// Whom to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriers {
    /// Processes of one attempt.
    Of(Tag),
    /// Workers of one pool, whose tags differ in their number only.
    OfPool(JobId),
}

impl Carriers {
    fn include(self, value: &[u8]) -> bool {
        match self {
            Self::Of(tag) => value == tag.to_string().as_bytes(),
            Self::OfPool(pool) => {
                let rest = value.strip_prefix(pool.as_str().as_bytes());
                rest.is_some_and(|rest| rest.starts_with(b"."))
            }
        }
    }
}

/// What a process shows of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// The value that it carries, which may be any bytes.
    Value(Vec<u8>),
    /// It carries none, is gone, or belongs to somebody who hides it.
    Nothing,
    /// It starts another image or is on its way out, so it shows none for the moment.
    Unsure,
}

/// Kills everything that carries the tag, and their process groups, until nothing is found and
/// what was found has ended: its locks are free.
/// Blocks for up to five seconds if something does not end. Returns how many were found.
pub(crate) fn kill_tagged(carriers: Carriers) -> u32 {
    let give_up = Instant::now() + KILL_TIME_MAX;
    let mut killed = BTreeSet::new();
    loop {
        let found = look_for(carriers);
        for pid in &found {
            killed.insert(*pid);
            kill_marked(*pid, carriers);
        }
        let over = |pid: &i32| Stat::of(*pid).is_none_or(|stat| stat.is_over());
        let done = found.is_empty() && killed.iter().all(over);
        if done || Instant::now() > give_up {
            return u32::try_from(killed.len()).unwrap_or(u32::MAX);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Kills a process and its group, if it is still the one that carries the tag: its id may have
/// passed to somebody else since it was looked at.
fn kill_marked(pid: i32, carriers: Carriers) {
    let Some(id) = Pid::from_raw(pid) else { return };
    let handle = match pidfd_open(id, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::NOSYS) => return kill_by_id(pid),
        // It is gone.
        Err(_) => return,
    };
    if !matches!(mark(pid), Mark::Value(value) if carriers.include(&value)) {
        return;
    }
    let group = sys::group_of(pid);
    // As long as the process has not ended, all of that was about itself.
    if !has_ended(&handle) {
        kill_mates(group);
    }
    let _ = pidfd_send_signal(&handle, Signal::KILL);
}

/// For kernels before 5.3.
fn kill_by_id(pid: i32) {
    kill_mates(sys::group_of(pid));
    let _ = sys::kill(pid, libc::SIGKILL);
}

/// Group mates may have dropped the tag. The group was made for the attempt.
fn kill_mates(group: Option<i32>) {
    let own = sys::group_of(sys::own_pid());
    if let Some(group) = group.filter(|group| Some(*group) != own) {
        let _ = sys::kill_group(group, libc::SIGKILL);
    }
}

fn has_ended(handle: &OwnedFd) -> bool {
    let mut fds = [sys::interest(handle.as_fd(), libc::POLLIN)];
    sys::poll(&mut fds, Some(Duration::ZERO)).is_err() || fds[0].revents != 0
}

/// How many living processes carry the tag.
pub(crate) fn count_tagged(carriers: Carriers) -> u32 {
    u32::try_from(look_for(carriers).len()).unwrap_or(u32::MAX)
}

/// When to stop waiting for what [`mark_of`] looks at.
pub(super) fn look_until() -> Instant {
    Instant::now() + LOOK_TIME_MAX
}

/// What a process shows; one that shows nothing for the moment is looked at again until the time
/// is up.
pub(super) fn mark_of(pid: i32, until: Instant) -> Mark {
    loop {
        let mark = mark(pid);
        if mark != Mark::Unsure || Instant::now() > until {
            return mark;
        }
        thread::sleep(LOOK_STEP);
    }
}

/// One look.
fn mark(pid: i32) -> Mark {
    let environ = environ_of(Path::new(&format!("/proc/{pid}/environ")));
    told(environ, || Stat::of(pid))
}

/// What a process was started with, by a single read: one that starts another image between two
/// reads shows nothing to the second, and a part of a tag looks like the tag of somebody else.
fn environ_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut environ = vec![0; ENVIRON_BYTES];
    loop {
        let count = file.read_at(&mut environ, 0)?;
        if count < environ.len() {
            environ.truncate(count);
            return Ok(environ);
        }
        environ.resize(2 * count, 0);
    }
}

/// What looks empty is believed only when the kernel says that it is. Of a process that belongs to
/// somebody else it says nothing, now or later: neither environment nor where it lies.
fn told(environ: io::Result<Vec<u8>>, stat: impl FnOnce() -> Option<Stat>) -> Mark {
    match &environ {
        Ok(environ) if !environ.is_empty() => return carried(environ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Mark::Nothing,
        Ok(_) | Err(_) => {}
    }
    let Some(stat) = stat() else {
        return Mark::Nothing;
    };
    match stat.environment() {
        Environment::Nothing => Mark::Nothing,
        Environment::Pending if stat.is_headless() => mark_of_threads(stat.pid),
        Environment::Pending => Mark::Unsure,
        Environment::Present => match environ {
            // It came between the two looks.
            Ok(_) => Mark::Unsure,
            Err(_) => Mark::Nothing,
        },
    }
}

/// The first thread of a process may end before others, and shows nothing from then on.
fn mark_of_threads(pid: i32) -> Mark {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let environs = threads.into_iter().flatten().filter_map(|thread| {
        let environ = environ_of(&thread.ok()?.path().join("environ")).ok()?;
        (!environ.is_empty()).then_some(environ)
    });
    let mut marks = environs.map(|environ| carried(&environ));
    marks.next().unwrap_or(Mark::Unsure)
}

fn carried(environ: &[u8]) -> Mark {
    value_in(environ).map_or(Mark::Nothing, |value| Mark::Value(value.to_vec()))
}

fn value_in(environ: &[u8]) -> Option<&[u8]> {
    environ.split(|byte| *byte == 0).find_map(|entry| {
        entry
            .strip_prefix(TAG_VARIABLE.as_bytes())?
            .strip_prefix(b"=")
    })
}

/// The living processes that carry such a tag. Those that could not be told at first are looked at
/// again, and only those, so that a machine that starts many programs holds nobody up.
fn look_for(carriers: Carriers) -> Vec<i32> {
    let own = sys::own_pid();
    let (mut marked, mut unsure) = (Vec::new(), Vec::new());
    let mut note = |pid, mark: Mark| match mark {
        Mark::Value(value) if carriers.include(&value) => marked.push(pid),
        Mark::Value(_) | Mark::Nothing => {}
        Mark::Unsure => unsure.push(pid),
    };
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|pid| *pid != own) {
            note(pid, mark(pid));
        }
    }
    let until = look_until();
    for pid in std::mem::take(&mut unsure) {
        if matches!(mark_of(pid, until), Mark::Value(value) if carriers.include(&value)) {
            marked.push(pid);
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use std::process::Command;

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
    fn a_process_whose_first_thread_has_ended_still_shows_its_tag() {
        let program = "import ctypes, threading, time\n\
             threading.Thread(target=time.sleep, args=(1000,)).start()\n\
             ctypes.CDLL(None).pthread_exit(None)";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .env(TAG_VARIABLE, "threads.1")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let give_up = Instant::now() + Duration::from_secs(20);
        while !Stat::of(pid).unwrap().is_headless() {
            assert!(Instant::now() < give_up, "its first thread does not end");
            thread::yield_now();
        }
        let mark = mark_of(pid, look_until());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mark, Mark::Value(b"threads.1".to_vec()));
    }

    /// A search that waited for such a process would take its whole time on every machine with
    /// more than one user.
    #[test]
    fn a_process_that_hides_its_environment_carries_nothing_at_once() {
        let hidden = || {
            let zeros = |count| "0 ".repeat(count);
            let line = format!("7 (a) S 1 7 7 {}1 0 9 4096 {}", zeros(13), zeros(29));
            Some(Stat::parse(7, line.as_bytes()).unwrap())
        };
        assert_eq!(hidden().unwrap().environment(), Environment::Pending);
        assert_eq!(told(Ok(Vec::new()), hidden), Mark::Unsure);
        let refused = Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(told(refused, hidden), Mark::Nothing);
    }

    #[test]
    fn only_who_carries_the_tag_is_killed() {
        let tag = Tag {
            job: JobId::from_bytes([9; 10]),
            attempt: 1,
        };
        let sleeping = |value: &str| {
            let mut command = Command::new("sleep");
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command
                .arg("1000")
                .env(TAG_VARIABLE, value)
                .spawn()
                .unwrap()
        };
        let (mut own, mut other) = (sleeping(&tag.to_string()), sleeping("other.1"));
        let id = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        // Both show what they carry once they are another image than this one.
        for child in [&own, &other] {
            while mark_of(id(child), look_until()) == Mark::Nothing {
                thread::yield_now();
            }
        }
        kill_marked(id(&other), Carriers::Of(tag));
        kill_marked(id(&own), Carriers::Of(tag));
        assert!(!own.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        // An id that nobody has.
        kill_marked(id(&own), Carriers::Of(tag));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_pool_is_found_whatever_the_number_of_its_worker() {
        let pool = JobId::from_bytes([7; 10]);
        let carriers = Carriers::OfPool(pool);
        assert!(carriers.include(format!("{pool}.0").as_bytes()));
        assert!(carriers.include(format!("{pool}.4294967295").as_bytes()));
        assert!(!carriers.include(pool.as_str().as_bytes()));
        assert!(!carriers.include(format!("x{pool}.1").as_bytes()));
        assert!(
            !Carriers::Of(Tag {
                job: pool,
                attempt: 1
            })
            .include(format!("{pool}.10").as_bytes())
        );
    }

    /// The value stands first and is longer than what is read at once by a reader who does not know
    /// the length: a part of it would be taken for another value, of somebody else.
    #[test]
    fn a_process_that_starts_image_after_image_shows_its_whole_tag_or_none() {
        let again = "[ $1 = 0 ] || exec sh -c \"$0\" \"$0\" $(($1 - 1))";
        let value = "x".repeat(60);
        let mut child = Command::new("sh")
            .args(["-c", again, again, "2000"])
            .env_clear()
            .env(TAG_VARIABLE, &value)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = std::fs::read("/proc/self/environ").unwrap();
        let before = value_in(&own).map(<[u8]>::to_vec);
        while child.try_wait().unwrap().is_none() {
            match mark(pid) {
                Mark::Value(seen) if Some(&seen) != before.as_ref() => {
                    assert_eq!(String::from_utf8_lossy(&seen), value);
                }
                Mark::Value(_) | Mark::Nothing | Mark::Unsure => {}
            }
        }
    }

    #[test]
    fn an_environment_of_any_size_is_read_whole() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env_clear()
            .env("A", "a".repeat(100_000))
            .env(TAG_VARIABLE, "behind.1")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mark = loop {
            match mark_of(pid, look_until()) {
                Mark::Value(value) if value == b"behind.1" => break Mark::Value(value),
                // It is still an image of this process.
                Mark::Nothing => thread::yield_now(),
                other => break other,
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mark, Mark::Value(b"behind.1".to_vec()));
    }

    #[test]
    fn a_cleared_environment_carries_nothing_at_once() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env_clear()
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mark = mark_of(pid, look_until());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mark, Mark::Nothing);
    }

    #[test]
    fn the_value_is_found_among_others() {
        let environ = b"A=1\0XDISPATCHER_ATTEMPT=no\0DISPATCHER_ATTEMPT=abc.1\0\0\0B=2\0";
        assert_eq!(value_in(environ), Some(b"abc.1".as_slice()));
        assert_eq!(value_in(b"DISPATCHER_ATTEMPTS=1\0"), None);
        assert_eq!(value_in(b""), None);
    }
}
