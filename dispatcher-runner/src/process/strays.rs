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

use super::{sys, tag};

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

/// A line of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
    started: u64,
    zombie: bool,
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
pub(super) fn owners(leaders: &[Leader]) -> BTreeMap<i32, Owner> {
    let processes = snapshot();
    let own = sys::own_pid();
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in processes.values() {
        children.entry(process.parent).or_default().push(*process);
    }
    let started = |leader: &Leader| processes.get(&leader.pid).map(|process| process.started);
    let mut owners = BTreeMap::new();
    let mut waiting: Vec<(Process, Option<Owner>)> = Vec::new();
    let below = |pid, owner, waiting: &mut Vec<_>| {
        let found = children.get(&pid).into_iter().flatten();
        waiting.extend(found.map(|process| (*process, owner)));
    };
    below(own, None, &mut waiting);
    while let Some((process, parent)) = waiting.pop() {
        if let Some(leader) = leaders.iter().find(|leader| leader.pid == process.pid) {
            below(
                process.pid,
                Some(Owner::Worker(leader.worker)),
                &mut waiting,
            );
            continue;
        }
        let owner = shown(&process, leaders)
            .or(parent)
            .unwrap_or_else(|| only_possible(&process, leaders, started));
        if !process.zombie {
            owners.insert(process.pid, owner);
        }
        below(process.pid, Some(owner), &mut waiting);
    }
    owners
}

/// The owner that a process itself shows.
fn shown(process: &Process, leaders: &[Leader]) -> Option<Owner> {
    if let Some(value) = tag::value_of(process.pid) {
        let leader = leaders.iter().find(|leader| leader.tag.as_bytes() == value);
        return Some(leader.map_or(Owner::Other, |leader| Owner::Worker(leader.worker)));
    }
    leaders
        .iter()
        .find(|leader| process.group == leader.pid || process.session == leader.pid)
        .map(|leader| Owner::Worker(leader.worker))
}

/// The only worker that was there when the process began, if it was the only one.
fn only_possible(
    process: &Process,
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

fn snapshot() -> BTreeMap<i32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse(pid, &stat)?))
        })
        .collect()
}

/// The name in the second field may hold anything, so reading begins behind its last bracket.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i32>().ok();
    Some(Process {
        pid,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        started: fields.get(19)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
    })
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

    fn process(pid: i32, group: i32, started: u64) -> Process {
        Process {
            pid,
            parent: 1,
            group,
            session: group,
            started,
            zombie: false,
        }
    }

    fn leader(worker: u32, pid: i32) -> Leader {
        Leader {
            worker,
            pid,
            tag: format!("job.{worker}"),
        }
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_skipped() {
        let stat = b"12 (a) R 1 (b) S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 555 1 1";
        let parsed = parse(12, stat).unwrap();
        assert_eq!((parsed.parent, parsed.group, parsed.session), (7, 8, 9));
        assert_eq!((parsed.started, parsed.zombie), (555, false));
        assert_eq!(parse(12, b"12 (a"), None);
    }

    #[test]
    fn the_own_process_is_in_the_snapshot() {
        let own = snapshot()[&sys::own_pid()];
        assert_eq!(
            own.parent.unsigned_abs(),
            std::os::unix::process::parent_id()
        );
        assert!(!own.zombie);
    }

    #[test]
    fn a_process_that_shows_nothing_is_counted_only_when_there_is_no_doubt() {
        let leaders = [leader(1, 100_000_001), leader(2, 100_000_002)];
        let started = |leader: &Leader| Some(u64::from(leader.worker) * 10);
        let stray = |at| only_possible(&process(100_000_009, 5, at), &leaders, started);
        assert_eq!(stray(5), Owner::Other);
        assert_eq!(stray(15), Owner::Worker(1));
        assert_eq!(stray(25), Owner::Other);
        let mate = process(100_000_009, 100_000_002, 5);
        assert_eq!(shown(&mate, &leaders), Some(Owner::Worker(2)));
    }
}
