//! Processes: the keeper, workers, and what belongs to them. Nothing else starts a process.
//!
//! The supervisor never forks; it asks its keeper. A worker is proved dead only by its slot's
//! lock, found by its tag, and never known by a stored pid.

use std::path::PathBuf;
use std::time::Duration;

mod build;
mod capture;
mod cgroup;
mod command;
mod detached;
mod identity;
mod keeper;
mod keeper_loop;
mod libraries;
mod link;
mod memory;
mod panics;
mod pool_worker;
mod programs;
mod relay;
mod replace;
mod role;
#[cfg(feature = "tokio")]
mod runtime;
mod scope;
mod signals;
mod slot;
mod socket;
mod spawn;
mod stat;
mod strays;
mod sys;
mod tag;
mod title;
mod wire;
mod worker;

pub(crate) use build::{build_id, runs};
pub(crate) use capture::{CaptureBuffer, LIVE_BYTES_MAX, live_path};
pub(crate) use cgroup::{Group, NoSubtree, Subtree, oom_kills};
pub(crate) use detached::{detach, start_detached, take_own_name};
pub(crate) use identity::Identity;
pub(crate) use keeper::{Keeper, KeeperSpec, start_environment};
pub(crate) use memory::{cpu_time, resident_bytes, tree_exceeds};
pub(crate) use panics::{catch as catch_panic, prepare as note_panics};
pub(crate) use pool_worker::{PoolChannel, set_pool_main};
pub(crate) use programs::{
    Conversation, converse, find_program, find_program_on, is_this_image, succeeds,
};
pub(crate) use relay::{is_readable, take_standard_streams};
pub(crate) use replace::replace_with;
pub(crate) use role::{become_role_if_asked, other_threads};
#[cfg(feature = "tokio")]
pub(crate) use runtime::drive;
pub(crate) use scope::{KillingUnit, killing_unit};
pub(crate) use signals::StopSignals;
pub(crate) use slot::{lock_slot, name_pool, renew_slot, slots};
pub(crate) use tag::{Carriers, NO_ATTEMPT, TAG_VARIABLE, Tag, count_tagged, kill_tagged};
pub(crate) use title::{job_title, pool_title};
pub(crate) use wire::{KeeperReport, KeeperRequest};

/// Limits of one worker, set before its code runs. A limit above what the system allows is
/// lowered to that; niceness that is not permitted is said on the worker's stderr.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// CPU time of one process; rounded up to seconds.
    pub(crate) cpu: Option<Duration>,
    /// Open descriptors of one process.
    pub(crate) open_files: Option<u64>,
    /// Niceness, -20 to 19.
    pub(crate) nice: Option<i32>,
    /// Bytes of a core file.
    pub(crate) core: Option<u64>,
    /// Absolute value; 500 above the keeper's when absent.
    pub(crate) oom_score_adj: Option<i32>,
    /// The file through which it enters its control group.
    pub(crate) group: Option<PathBuf>,
    /// Who it becomes; the keeper's user when absent.
    pub(crate) identity: Option<Identity>,
}
