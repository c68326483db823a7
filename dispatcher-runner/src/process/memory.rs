//! Resident memory of a process and everything below it.

use std::fs;

/// Deeper trees than this are cut: a bound for hostile ones.
const PROCESSES_MAX: usize = 4096;

/// Sum of the resident sets of the tree below `pid`, in bytes. What ended meanwhile counts 0.
pub(crate) fn tree_rss_bytes(pid: u32) -> u64 {
    let page = rustix::param::page_size() as u64;
    let mut pending = vec![pid];
    let mut seen = 0;
    let mut pages = 0;
    while let Some(pid) = pending.pop() {
        seen += 1;
        if seen > PROCESSES_MAX {
            break;
        }
        pages += resident_pages(pid).unwrap_or(0);
        pending.extend(children(pid));
    }
    pages * page
}

/// Second field of `/proc/<pid>/statm` (`proc_pid_statm(5)`).
fn resident_pages(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
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
