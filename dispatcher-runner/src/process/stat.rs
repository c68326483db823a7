//! What the kernel says of a process in one line: `/proc/<pid>/stat`, proc_pid_stat(5).
//!
//! Only this file knows the numbers of its fields.

use std::ops::Range;

/// The flag of a process that is on its way out (`PF_EXITING`).
const EXITING: u32 = 0x4;

/// The fields that are of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Clock ticks from the start of the machine to that of the process.
    pub(super) started: u64,
    state: u8,
    flags: u32,
    threads: u32,
    memory: u64,
    /// Where the arguments lie; empty when that is hidden.
    pub(super) arguments: Range<usize>,
    environment: Range<usize>,
}

/// What is known of a process's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    /// There is none, and none will come.
    Nothing,
    Present,
    /// The process starts another image or is on its way out: in an instant more is known.
    Pending,
}

impl Stat {
    /// `None` for a process that is gone.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in the second field may hold anything, so reading begins behind its last bracket.
    pub(super) fn parse(pid: i32, line: &[u8]) -> Option<Self> {
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(&line[end + 1..]).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let region = |from: usize| Some(field(from)?.parse().ok()?..field(from + 1)?.parse().ok()?);
        Some(Self {
            pid,
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
            memory: field(23)?.parse().ok()?,
            arguments: region(48)?,
            environment: region(50)?,
        })
    }

    /// Whether nothing of it runs any more: its files are closed, its locks are free.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// Whether its first thread has ended before others.
    pub(super) fn is_headless(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads > 1
    }

    pub(super) fn environment(&self) -> Environment {
        let Range { start, end } = self.environment;
        if self.is_over() {
            Environment::Nothing
        } else if self.flags & EXITING != 0 {
            Environment::Pending
        } else if self.memory == 0 {
            // A thread of the kernel.
            Environment::Nothing
        } else if end == 0 {
            Environment::Pending
        } else if start == end {
            Environment::Nothing
        } else {
            Environment::Present
        }
    }

    /// Where the environment lies; empty when that is hidden.
    pub(super) fn environment_region(&self) -> Range<usize> {
        self.environment.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: char, flags: u32, threads: u32, memory: u32, start: u32, end: u32) -> Vec<u8> {
        let zeros = |count| "0 ".repeat(count);
        format!(
            "7 (a) R 1 (b) {state} 8 9 10 0 -1 {flags} {}{threads} 0 555 {memory} {}{start} {end} 0",
            zeros(10),
            zeros(26),
        )
        .into_bytes()
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_skipped() {
        let stat = Stat::parse(7, &line('S', 0, 3, 4096, 70, 90)).unwrap();
        assert_eq!((stat.parent, stat.group, stat.session), (8, 9, 10));
        assert_eq!((stat.threads, stat.started, stat.memory), (3, 555, 4096));
        assert_eq!(stat.environment_region(), 70..90);
        assert_eq!(Stat::parse(7, b"12 (a"), None);
        assert_eq!(Stat::parse(7, b"1 (x) S 1 2"), None);
    }

    #[test]
    fn an_environment_that_is_not_there_yet_is_told_from_none() {
        let told = |flags, memory, start, end| {
            let stat = Stat::parse(7, &line('S', flags, 1, memory, start, end)).unwrap();
            stat.environment()
        };
        assert_eq!(told(0, 4096, 70, 90), Environment::Present);
        assert_eq!(told(0, 4096, 70, 70), Environment::Nothing);
        assert_eq!(told(0, 4096, 70, 0), Environment::Pending);
        assert_eq!(told(0, 4096, 0, 0), Environment::Pending);
        assert_eq!(told(0, 0, 0, 0), Environment::Nothing);
        assert_eq!(told(EXITING, 0, 0, 0), Environment::Pending);
    }

    #[test]
    fn a_zombie_is_over_when_its_last_thread_is() {
        let zombie = |threads| Stat::parse(7, &line('Z', EXITING, threads, 0, 0, 0)).unwrap();
        assert!(zombie(1).is_over() && !zombie(1).is_headless());
        assert!(!zombie(2).is_over() && zombie(2).is_headless());
        assert_eq!(zombie(1).environment(), Environment::Nothing);
        assert_eq!(zombie(2).environment(), Environment::Pending);
    }

    #[test]
    fn this_process_shows_its_own() {
        let pid = std::process::id().cast_signed();
        let stat = Stat::of(pid).unwrap();
        assert_eq!(
            stat.parent.unsigned_abs(),
            std::os::unix::process::parent_id()
        );
        assert_eq!(stat.environment(), Environment::Present);
        let shown = std::fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(stat.arguments.len(), shown.len());
        assert!(stat.environment_region().start >= stat.arguments.end);
    }
}
