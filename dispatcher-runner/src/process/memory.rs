//! Memory of a process and everything below it.
//!
//! Resident sets are cheap to read and count shared pages once for each process; what they say is
//! too much is looked at more closely before it is believed.

use std::fs;
use std::time::Duration;

/// Deeper trees than this are cut: a bound for hostile ones.
const PROCESSES_MAX: usize = 4096;

/// Whether the tree below `pid` uses more than `limit` bytes. What ended meanwhile counts 0.
pub(crate) fn tree_exceeds(pid: u32, limit: u64) -> bool {
    let tree = tree(pid);
    let resident: u64 = tree.iter().map(|process| process.resident).sum();
    // The kernel's exact share of each is dear, and asked for only where it matters.
    resident > limit && tree.iter().map(share).sum::<u64>() > limit
}

/// Resident bytes of one process; `None` when it has ended.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(resident_pages(&statm)? * rustix::param::page_size() as u64)
}

/// CPU time that a process has used, its waited-for children not counted.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses included (`proc_pid_stat(5)`).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis((user + system) * 1000 / per_second))
}

struct Process {
    pid: u32,
    /// Bytes.
    resident: u64,
}

/// The processes of a tree with memory of their own.
fn tree(pid: u32) -> Vec<Process> {
    let page = rustix::param::page_size() as u64;
    let mut pending = vec![(pid, String::new())];
    let mut seen = 0;
    let mut found = Vec::new();
    while let Some((pid, parent)) = pending.pop() {
        seen += 1;
        if seen > PROCESSES_MAX {
            break;
        }
        // Before the memory: a parent that has a child in `vfork` stands still.
        let children = children(pid);
        let memory = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        // A child between `vfork` and `exec` shows its parent's memory, which is one and the same.
        if memory != parent {
            let resident = resident_pages(&memory).unwrap_or(0) * page;
            found.push(Process { pid, resident });
        }
        pending.extend(children.into_iter().map(|child| (child, memory.clone())));
    }
    found
}

/// Second field of `/proc/<pid>/statm` (`proc_pid_statm(5)`).
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A process's share of its memory, shared pages divided by those who share them; its resident
/// set where the kernel does not tell.
fn share(process: &Process) -> u64 {
    fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid))
        .ok()
        .and_then(|text| proportional(&text))
        .unwrap_or(process.resident)
}

/// The line `Pss:` of `/proc/<pid>/smaps_rollup`.
fn proportional(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(resident_pages("5 3 1 1 0 1 0\n"), Some(3));
        assert_eq!(resident_pages(""), None);
        let rollup =
            "55d0-7ffe ---p 0 00:00 0 [rollup]\nRss:  900 kB\nPss:       432 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(proportional(rollup), Some(432 * 1024));
        assert_eq!(proportional("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let own = std::process::id();
        assert!(tree_exceeds(own, 100 * 1024));
        assert!(!tree_exceeds(own, 1 << 40));
        assert!(!tree_exceeds(u32::MAX, 0));
    }
}
