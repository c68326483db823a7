//! Memory of a supervisor and its keeper that have run a job and have nothing to do.
//!
//! PSS counts a page that several processes share by its part, so that the two can be added.

use std::fs;
use std::path::Path;

use dispatcher_tests::{Home, Kind, PATIENCE, eventually};

use crate::Done;

/// In KiB.
pub(crate) struct Idle {
    pub(crate) supervisor: u64,
    pub(crate) keeper: u64,
}

pub(crate) fn measure(program: &Path) -> Done<Idle> {
    let home = Home::new(&program.to_string_lossy());
    let ran = home.output(["notifydispatcher", "Nothing"], b"");
    if !ran.status.success() {
        return Err(format!("the first job: {ran:?}").into());
    }
    // Unfinished for as long as anybody measures, so that nobody leaves.
    let waits = home.output(
        ["notifydispatcher", "Nothing", "--detach", "--delay=1d"],
        b"",
    );
    if !waits.status.success() {
        return Err(format!("the job that waits: {waits:?}").into());
    }
    let of = |kind| {
        eventually("one is there", PATIENCE, || {
            let found = home.of_kind(kind);
            match &found[..] {
                [one] => pss(one.pid),
                [] | [_, ..] => None,
            }
        })
    };
    let idle = Idle {
        supervisor: of(Kind::Supervisor),
        keeper: of(Kind::Keeper),
    };
    home.end_service();
    Ok(idle)
}

fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
