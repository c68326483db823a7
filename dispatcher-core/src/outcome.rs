//! How an attempt ended, with its cause as data.

use serde::{Deserialize, Serialize};

mod present;

pub use present::signal_name;

/// How a process ended, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned or called `exit`.
    Exited(i32),
    /// A signal ended it.
    Signalled {
        /// Number of the signal.
        signal: i32,
        /// Whether the kernel says that it dumped core.
        core: bool,
    },
}

/// A panic in `process()`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// What was said.
    pub message: String,
    /// `file:line:column`, empty if unknown.
    pub location: String,
    /// Captured if `RUST_BACKTRACE` asks for it, else empty.
    pub backtrace: String,
}

/// Why an attempt (or a job that never started) ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// A success result, or exit 0 of a plain command.
    Succeeded,
    /// A failure result.
    Failed {
        /// What went wrong.
        message: String,
        /// Its causes, outermost first.
        causes: Vec<String>,
    },
    /// A failure that asked not to be retried.
    Discarded {
        /// What went wrong.
        message: String,
    },
    /// A panic result.
    Panicked(Panic),
    /// Ended without a result.
    Exited {
        /// Exit code.
        code: i32,
    },
    /// Killed by a signal that nobody here sent.
    Signalled {
        /// Number of the signal.
        signal: i32,
        /// Whether it dumped core.
        core: bool,
        /// Whether the kernel's OOM counter moved meanwhile: a hint, no proof.
        oom_suspected: bool,
    },
    /// The deadline passed before a result.
    TimedOut,
    /// The tree used more memory than `memory_limit`.
    MemoryLimit,
    /// A process used more CPU time than `cpu_limit`.
    CpuLimit,
    /// The kernel's `memory.events` says so.
    OutOfMemory,
    /// A cancellation was acknowledged before a result.
    Cancelled {
        /// Who asked.
        by: String,
    },
    /// Waited longer than `expires`.
    Expired,
    /// Something the job needs is missing.
    MissingRequirement {
        /// What.
        names: Vec<String>,
    },
    /// No process could be made.
    SpawnFailed {
        /// The operating system's error number.
        errno: i32,
    },
    /// The worker did not keep to the protocol, or died before its hello.
    ProtocolError {
        /// How.
        what: String,
    },
    /// The supervisor or its host was lost.
    WorkerLost,
    /// Drained out by a shutdown.
    Shutdown,
    /// The job asked to be run later.
    Snoozed,
}

/// Resources of one attempt, from `wait4`: its first process, and those below it that were waited
/// for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// Largest resident set of one of its processes, KiB.
    pub max_rss_kib: u64,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Page faults that needed none.
    pub minor_faults: u64,
    /// Context switches, voluntary and not.
    pub context_switches: u64,
    /// Blocks of 512 bytes that were read from a disk.
    pub blocks_read: u64,
    /// Blocks of 512 bytes that were written, or are to be.
    pub blocks_written: u64,
    /// Most memory that the whole tree was charged for at a time, KiB: where an attempt has a
    /// control group of its own, and the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree_peak_kib: Option<u64>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why.
    #[serde(flatten)]
    pub cause: Cause,
    /// What the kernel said of the process; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<ExitStatus>,
    /// A success result was followed by a bad exit status.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unclean_exit: bool,
    /// Somebody held the output pipe open after the end, so that the capture may be incomplete.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaked_output: bool,
    /// Processes of the tree that were still alive at the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_processes: u32,
    /// Resources used.
    #[serde(default)]
    pub usage: Usage,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
