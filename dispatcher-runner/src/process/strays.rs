//! Which processes below the keeper belong to which worker.
//!
//! The keeper adopts every orphan below it, so whatever a job started is a descendant of the
//! keeper, whatever it did with sessions and groups. Whose it is, is told by its tag, its group
//! or session, or its parent, in this order; one that shows none of these is counted to a worker
//! only if no other could have started it, so that no job's death hurts another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::stat::Stat;
use super::sys;
use super::tag::{self, Mark};

/// A worker as far as ownership is concerned.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    pub(super) worker: u32,
    pub(super) pid: i32,
    /// The value of its tag.
    pub(super) tag: String,
}

/// Who a process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Worker(u32),
    /// A job that has ended, another supervisor, or nobody who can be named.
    Other,
}

/// What a look tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kin {
    pub(super) owner: Owner,
    /// Whether the process could be asked. If not, a later look may tell otherwise.
    pub(super) sure: bool,
}

/// Reads the ids of the keeper's own children.
#[derive(Debug)]
pub(super) struct Children {
    /// Absent where the kernel was built without it.
    file: Option<File>,
}

impl Children {
    /// Only for the single thread of this process.
    pub(super) fn new() -> Self {
        let pid = sys::own_pid();
        Self {
            file: File::open(format!("/proc/self/task/{pid}/children")).ok(),
        }
    }

    pub(super) fn list(&self) -> Vec<i32> {
        match self.file.as_ref().map(read_all) {
            Some(Ok(text)) => text.split(' ').filter_map(|pid| pid.parse().ok()).collect(),
            Some(Err(_)) | None => snapshot()
                .into_values()
                .filter(|process| process.parent == sys::own_pid())
                .map(|process| process.pid)
                .collect(),
        }
    }
}

/// The living processes below the keeper that are not workers' leaders, by process id.
pub(super) fn kin(leaders: &[Leader]) -> BTreeMap<i32, Kin> {
    let processes = snapshot();
    let until = tag::look_until();
    let mut children: BTreeMap<i32, Vec<&Stat>> = BTreeMap::new();
    for process in processes.values() {
        children.entry(process.parent).or_default().push(process);
    }
    let started = |leader: &Leader| processes.get(&leader.pid).map(|process| process.started);
    let mut found = BTreeMap::new();
    let mut waiting: Vec<(&Stat, Option<Owner>)> = Vec::new();
    let below = |pid, owner, waiting: &mut Vec<_>| {
        let below = children.get(&pid).into_iter().flatten();
        waiting.extend(below.map(|process| (*process, owner)));
    };
    below(sys::own_pid(), None, &mut waiting);
    while let Some((process, parent)) = waiting.pop() {
        let pid = process.pid;
        if let Some(leader) = leaders.iter().find(|leader| leader.pid == pid) {
            below(pid, Some(Owner::Worker(leader.worker)), &mut waiting);
            continue;
        }
        let mark = tag::mark_of(pid, until);
        let owner = match &mark {
            Mark::Value(value) => owner_of_tag(value, leaders),
            Mark::Nothing | Mark::Unsure => owner_of_group(process, leaders)
                .or(parent)
                .unwrap_or_else(|| only_possible(process, leaders, started)),
        };
        let ended_meanwhile =
            mark == Mark::Nothing && Stat::of(pid).is_none_or(|stat| stat.is_over());
        if !process.is_over() && !ended_meanwhile {
            let sure = mark != Mark::Unsure;
            found.insert(pid, Kin { owner, sure });
        }
        below(pid, Some(owner), &mut waiting);
    }
    found
}

fn owner_of_tag(value: &[u8], leaders: &[Leader]) -> Owner {
    let leader = leaders.iter().find(|leader| leader.tag.as_bytes() == value);
    leader.map_or(Owner::Other, |leader| Owner::Worker(leader.worker))
}

fn owner_of_group(process: &Stat, leaders: &[Leader]) -> Option<Owner> {
    leaders
        .iter()
        .find(|leader| process.group == leader.pid || process.session == leader.pid)
        .map(|leader| Owner::Worker(leader.worker))
}

/// The only worker that was there when the process began, if it was the only one.
fn only_possible(
    process: &Stat,
    leaders: &[Leader],
    started: impl Fn(&Leader) -> Option<u64>,
) -> Owner {
    let mut possible = leaders
        .iter()
        .filter(|leader| started(leader).is_some_and(|at| at <= process.started));
    match (possible.next(), possible.next()) {
        (Some(leader), None) => Owner::Worker(leader.worker),
        (None | Some(_), _) => Owner::Other,
    }
}

fn snapshot() -> BTreeMap<i32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, Stat::of(pid)?))
        })
        .collect()
}

fn read_all(file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = file.read_at(&mut buffer, bytes.len() as u64)?;
        if count == 0 {
            return String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(group: i32, started: u64) -> Stat {
        let mut own = Stat::of(sys::own_pid()).unwrap();
        (own.group, own.session, own.started) = (group, group, started);
        own
    }

    fn leader(worker: u32, pid: i32) -> Leader {
        Leader {
            worker,
            pid,
            tag: format!("job.{worker}"),
        }
    }

    #[test]
    fn a_process_that_shows_nothing_is_counted_only_when_there_is_no_doubt() {
        let leaders = [leader(1, 100_000_001), leader(2, 100_000_002)];
        let started = |leader: &Leader| Some(u64::from(leader.worker) * 10);
        let stray = |at| only_possible(&process(5, at), &leaders, started);
        assert_eq!(stray(5), Owner::Other);
        assert_eq!(stray(15), Owner::Worker(1));
        assert_eq!(stray(25), Owner::Other);
        let mate = process(100_000_002, 5);
        assert_eq!(owner_of_group(&mate, &leaders), Some(Owner::Worker(2)));
    }
}
