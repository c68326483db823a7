//! Memory of a service: of the supervisor with its keeper, and of the warm workers.
//!
//! PSS counts a page that several processes share by its part, so that processes can be added.

use std::error::Error;
use std::fs;

/// In KiB.
pub(crate) struct Memory {
    /// Supervisor and keeper.
    pub(crate) service: u64,
    /// All workers of its pool.
    pub(crate) workers: u64,
}

impl Memory {
    /// Of a service whose keeper is its only child.
    pub(crate) fn of_service(pid: u32) -> Result<Self, Box<dyn Error>> {
        let keepers = children(pid)?;
        let [keeper] = keepers[..] else {
            return Err(format!("the service has {} keepers", keepers.len()).into());
        };
        let workers = children(keeper)?;
        Ok(Self {
            service: pss(pid)? + pss(keeper)?,
            workers: workers.into_iter().map(pss).sum::<Result<_, _>>()?,
        })
    }
}

fn children(pid: u32) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Whoever ended meanwhile is nobody's.
        if parent(child) == Some(pid) {
            children.push(child);
        }
    }
    Ok(children)
}

/// The second field behind the name, as `proc_pid_stat(5)` has it.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn pss(pid: u32) -> Result<u64, Box<dyn Error>> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("smaps_rollup tells no PSS")?.parse()?)
}
