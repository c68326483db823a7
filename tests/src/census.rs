//! Who was seen in the course of a test, so that at its end nobody of them is left.
//!
//! A process that has dropped its environment is still in its group; a number that was given to
//! somebody else meanwhile is told by the time of its start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{Home, PATIENCE, within};

/// Processes by number, each with the time of its start.
#[derive(Debug, Default)]
pub struct Census(BTreeSet<(i32, u64)>);

struct Found {
    group: i32,
    start: u64,
    is_dead: bool,
}

impl Census {
    /// Nobody, so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many were seen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Notes everybody of the home, and everybody in their groups.
    pub fn take(&mut self, home: &Home) {
        let all = everybody();
        let of_home: BTreeSet<i32> = home.processes().iter().map(|it| it.pid).collect();
        let groups: BTreeSet<i32> = of_home
            .iter()
            .filter_map(|pid| Some(all.get(pid)?.group))
            // That of the test itself.
            .filter(|group| of_home.contains(group))
            .collect();
        let members = all.iter().filter(|(_, it)| groups.contains(&it.group));
        self.0.extend(members.map(|(pid, it)| (*pid, it.start)));
    }

    /// Waits until all of them are dead.
    ///
    /// # Panics
    /// When one of them lives on.
    pub fn nobody_is_left(&self) {
        let left = || {
            let all = everybody();
            let lives = |(pid, start): &&(i32, u64)| {
                all.get(pid)
                    .is_some_and(|it| it.start == *start && !it.is_dead)
            };
            self.0
                .iter()
                .filter(lives)
                .map(|(pid, _)| *pid)
                .collect::<Vec<i32>>()
        };
        let gone = within(PATIENCE, || left().is_empty());
        assert!(gone.is_some(), "orphans: {:?}", left());
    }
}

fn everybody() -> BTreeMap<i32, Found> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, find(pid)?))).collect()
}

fn find(pid: i32) -> Option<Found> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(Found {
        is_dead: matches!(*fields.first()?, "Z" | "X"),
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}
