//! Memory of attempts: looking at those that have a limit, and what the kernel says at their end.
//!
//! An attempt with a limit has a control group where the supervisor may make one. Two judges would
//! count differently (a page of a library is whose?), so once its worker is in there, it is not
//! looked at any more.

use std::time::{Duration, Instant};

use dispatcher_core::engine::{Assignment, Event, MemoryVerdict, WorkerId};
use dispatcher_core::{ExitStatus, Usage};

use super::Driver;
use crate::process::{self, Group, Tag};

/// Time between two looks at the memory of workers that have a limit.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);
/// So many looks in a row have to find too much: one may fall between `vfork` and `exec`, where
/// memory is shown twice.
const LOOKS_OVER_LIMIT: u32 = 3;

/// When the kernel killed somebody for lack of memory, as far as it was noticed.
#[derive(Debug)]
pub(super) struct OomWatch {
    count: Option<u64>,
    moved_at: Option<Instant>,
}

impl OomWatch {
    pub(super) fn begin() -> Self {
        Self {
            count: process::oom_kills(),
            moved_at: None,
        }
    }

    /// Asks the kernel; the more often, the better it is known when.
    pub(super) fn look(&mut self) {
        let count = process::oom_kills();
        if count != self.count {
            self.count = count;
            self.moved_at = Some(Instant::now());
        }
    }

    fn has_moved_since(&mut self, time: Instant) -> bool {
        self.look();
        self.moved_at.is_some_and(|moved| moved >= time)
    }
}

impl Driver<'_> {
    /// The control group of an attempt, if it has a limit and there may be one.
    pub(super) fn group_for(&self, assignment: &Assignment, tag: &Tag) -> Option<Group> {
        let limit = assignment.options.memory_limit?;
        let made = self.groups.as_ref()?.group(tag, limit);
        if let Err(error) = &made {
            tracing::warn!(%error, job = %assignment.job, "no control group; its memory is sampled only");
        }
        made.ok()
    }

    /// What the kernel says about the memory of a worker that has ended; a peak is added to what
    /// it used.
    pub(super) fn memory_verdict(
        &mut self,
        worker: WorkerId,
        status: ExitStatus,
        usage: &mut Usage,
    ) -> MemoryVerdict {
        let Some(link) = self.links.get(&worker) else {
            return MemoryVerdict::Silent;
        };
        if let Some(group) = &link.group {
            let memory = group.memory();
            usage.tree_peak_kib = memory.peak.map(|bytes| bytes / 1024);
            if memory.oom_kills > 0 {
                return MemoryVerdict::Killed;
            }
        }
        match status {
            ExitStatus::Signalled {
                signal: libc::SIGKILL,
                ..
            } if self.oom.has_moved_since(link.began) => MemoryVerdict::Suspected,
            ExitStatus::Signalled { .. } | ExitStatus::Exited(_) => MemoryVerdict::Silent,
        }
    }

    /// A worker with a limit has begun.
    pub(super) fn look_at_memory_soon(&mut self) {
        self.next_memory_look
            .get_or_insert_with(|| Instant::now() + MEMORY_INTERVAL);
    }

    pub(super) fn look_at_memory(&mut self) {
        if self.next_memory_look.is_none_or(|at| Instant::now() < at) {
            return;
        }
        for link in self.links.values_mut() {
            if let Some(doing) = &mut link.doing
                && link.group.as_ref().is_some_and(Group::is_inhabited)
            {
                // The kernel keeps it.
                doing.memory_limit = None;
            }
        }
        let limited: Vec<(WorkerId, u64, u32)> = self
            .links
            .iter()
            .filter(|(_, link)| link.drain_until.is_none())
            .filter_map(|(worker, link)| {
                Some((*worker, link.doing.as_ref()?.memory_limit?, link.pid?))
            })
            .collect();
        for (worker, limit, pid) in &limited {
            let exceeds = process::tree_exceeds(*pid, *limit);
            let link = self.links.get_mut(worker);
            let Some(doing) = link.and_then(|link| link.doing.as_mut()) else {
                continue;
            };
            doing.looks_over_limit = if exceeds {
                doing.looks_over_limit + 1
            } else {
                0
            };
            if doing.looks_over_limit >= LOOKS_OVER_LIMIT {
                self.event(Event::LimitExceeded { worker: *worker });
            }
        }
        self.next_memory_look = (!limited.is_empty()).then(|| Instant::now() + MEMORY_INTERVAL);
    }
}
