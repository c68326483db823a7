//! Processes of a test, found by an entry of their environment and told apart by their arguments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit,
    test_kill_process,
};

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Claims jobs.
    Supervisor,
    /// The parent of workers.
    Keeper,
    /// Runs a job, or is about to.
    Worker,
    /// A submitter, or something that a job started.
    Other,
}

/// A process, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Process id.
    pub pid: i32,
    /// The parent's.
    pub parent: i32,
    /// What it is.
    pub kind: Kind,
    /// Value of `DISPATCHER_ATTEMPT`, if it names an attempt.
    pub tag: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Seen {
    /// Whether it belongs to an attempt of the job.
    #[must_use]
    pub fn is_of(&self, job: &str) -> bool {
        let tag = self.tag.as_deref().unwrap_or_default();
        tag.starts_with(job) || self.arguments.iter().any(|word| word == job)
    }
}

/// Living processes whose environment has this entry, this one excepted.
pub(crate) fn with_environment(entry: &str) -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    let found: BTreeMap<i32, Seen> = entries
        .filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| pid.unsigned_abs() != own)
        .filter_map(|pid| Some((pid, look(pid, entry)?)))
        .collect();
    let kinds: BTreeMap<i32, Kind> = found.iter().map(|(pid, seen)| (*pid, seen.kind)).collect();
    found
        .into_values()
        .map(|mut seen| {
            // A worker that the keeper has just forked still shows the keeper's arguments.
            let parent = kinds.get(&seen.parent);
            if seen.kind == Kind::Keeper && parent == Some(&Kind::Keeper) {
                seen.kind = Kind::Worker;
            }
            seen
        })
        .collect()
}

/// The attempt that a process belongs to, if it says so by now.
#[must_use]
pub fn tag_of(pid: i32) -> Option<String> {
    tag_in(&strings(pid, "environ")?)
}

fn tag_in(environment: &[String]) -> Option<String> {
    environment
        .iter()
        .find_map(|one| one.strip_prefix("DISPATCHER_ATTEMPT="))
        .filter(|tag| tag.contains('.'))
        .map(str::to_owned)
}

fn look(pid: i32, entry: &str) -> Option<Seen> {
    let environment = strings(pid, "environ")?;
    if !environment.iter().any(|one| one == entry) {
        return None;
    }
    let tag = tag_in(&environment);
    let arguments = strings(pid, "cmdline")?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let kind = match words[..] {
        [_, "dispatcher-supervisor", ..] => Kind::Supervisor,
        [_, "dispatcher-keeper", ..] => Kind::Keeper,
        [_, "notifydispatcher", _, "--job", _, ..] => Kind::Worker,
        _ => Kind::Other,
    };
    Some(Seen {
        pid,
        parent: parent(pid)?,
        kind,
        tag,
        arguments,
    })
}

/// The strings of a file in `/proc`; `None` for a process that is gone or dead.
fn strings(pid: i32, file: &str) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).ok()?;
    let strings = bytes
        .split(|byte| *byte == 0)
        .filter(|one| !one.is_empty())
        .map(|one| String::from_utf8_lossy(one).into_owned());
    Some(strings.collect())
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// The fields behind the name: state, parent, group, session, …
fn stat(pid: i32) -> Option<Vec<String>> {
    fields(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn fields(text: &[u8]) -> Option<Vec<String>> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let text = String::from_utf8_lossy(&text[end + 1..]).into_owned();
    Some(text.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Whether any thread of a process is more than a zombie. One that was killed in the middle of a
/// write to the disk keeps its locks until that is done.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let state = fs::read(thread.path().join("stat")).ok();
        state.as_deref().and_then(fields).is_some_and(is_more)
    })
}

fn is_more(fields: Vec<String>) -> bool {
    !matches!(fields[0].as_str(), "Z" | "X")
}

/// Sends SIGKILL. Whoever is gone already is as well.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    signal(pid.cast_signed(), Signal::TERM);
}

/// Sends SIGHUP, as a terminal that is closed does.
pub fn hang_up(pid: u32) {
    signal(pid.cast_signed(), Signal::HUP);
}

/// Sends SIGKILL to a process group.
///
/// # Panics
/// When there is none.
pub fn kill_group(leader: u32) {
    let leader = Pid::from_raw(leader.cast_signed()).expect("an id");
    kill_process_group(leader, Signal::KILL).expect("there is a group");
}

/// Lowers or raises how many descriptors a process may have; gives the number before.
///
/// # Panics
/// When the kernel refuses.
pub fn limit_open_files(pid: i32, count: u64) -> u64 {
    let limit = Rlimit {
        current: Some(count),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before =
        prlimit(Pid::from_raw(pid), Resource::Nofile, limit).expect("its limits can be set");
    before.current.unwrap_or(u64::MAX)
}

/// Freezes a process with SIGSTOP and waits until it stands still; the guard lets it go on.
#[must_use]
pub fn freeze(pid: i32) -> Frozen {
    signal(pid, Signal::STOP);
    let still = || stat(pid).is_none_or(|fields| matches!(fields[0].as_str(), "T" | "Z" | "X"));
    crate::eventually("a process stands still", crate::PATIENCE, still);
    Frozen(pid)
}

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub struct Frozen(i32);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && test_kill_process(pid).is_ok()
    {
        let _ = kill_process(pid, signal);
    }
}

/// A program with the words and the environment of another command, and without root's rights.
#[must_use]
pub fn as_nobody(program: &Path, like: &Command) -> Command {
    let mut command = Command::new("setpriv");
    let variables = like.get_envs();
    command.env_clear();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg(program).args(like.get_args());
    command
}
