//! Claims jobs and sees them through: the driver around the pure engine.
//!
//! The driver performs what the engine decides and decides nothing itself. It is one thread over
//! `poll`, beside the store's thread and a thread for rescue and upkeep.

mod announce;
mod begun;
pub(crate) mod clerk;
pub(crate) mod desk;
mod driver;
pub(crate) mod hearing;
pub(crate) mod launch;
mod link;
mod open;
mod ties;
mod upkeep;
mod wake;
mod work;

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::message::PayloadWay;
use serde::{Deserialize, Serialize};

use crate::pool::PoolConfig;
use crate::process::{self, StopSignals};
use crate::store::{Build, Seat, StoreError, SupervisorRow};
use crate::target::Target;

use announce::Announcer;
pub(crate) use announce::Turn;
use open::Opened;
pub(crate) use ties::{Standing, Ties};
pub(crate) use wake::wake;

/// First argument of a process that is to be a detached supervisor.
pub(crate) const ROLE: &str = "dispatcher-supervisor";

/// Name of a supervisor's kernel lock in its directory: held as long as it lives.
const LIFE_LOCK: &str = "life.lock";

/// Everything that a detached supervisor is told, as JSON in its second argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Orders {
    /// Name of the program, as lists show it.
    pub(crate) program: String,
    /// The state file.
    pub(crate) state_file: PathBuf,
    /// The database, if the jobs are in one; the file stands for it on this host.
    #[serde(default)]
    pub(crate) target: Option<Target>,
    /// Workers alive at once.
    pub(crate) slots: u32,
    /// How long it stays.
    pub(crate) stay: Stay,
    /// How long its claims last unless they are renewed, in milliseconds; `None` where proof of
    /// death is all that ends them.
    pub(crate) lease_ms: Option<u64>,
    /// Queue labels that it serves; empty is all.
    pub(crate) queues: Vec<String>,
    /// Finished jobs are kept this long, in seconds.
    pub(crate) keep_secs: u64,
    /// Finished jobs kept per dispatcher.
    pub(crate) keep_count: u64,
    /// Who runs what.
    pub(crate) staff: Staff,
}

/// Who runs what in a supervisor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Staff {
    /// Every dispatcher whose jobs it claims.
    pub(crate) dispatchers: Vec<String>,
    /// Pools of reused workers.
    pub(crate) pools: Vec<PoolOrder>,
    /// Those of them that are commands.
    pub(crate) commands: BTreeMap<String, CommandOrder>,
}

impl Staff {
    /// Tells one set of pools and commands from another, within one build of the program; `None`
    /// for a program that has none.
    fn mark(&self) -> Option<u64> {
        if self.pools.is_empty() && self.commands.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(self).ok()?.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// A dispatcher whose jobs are a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandOrder {
    pub(crate) argv: Vec<Argument>,
    /// Of a file, the path is made for each job.
    pub(crate) payload: PayloadWay,
    pub(crate) env: BTreeMap<String, String>,
}

/// A pool of a supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolOrder {
    pub(crate) name: String,
    pub(crate) config: PoolConfig,
    /// Whose jobs run there.
    pub(crate) dispatchers: Vec<String>,
}

/// An argument of a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Argument {
    Text(String),
    /// Path of the file that holds the payload.
    PayloadFile,
}

/// How long a supervisor stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stay {
    /// It leaves after this idle time, or for a newer build.
    WhileBusy {
        /// In milliseconds.
        linger_ms: u64,
    },
    /// A service: until it is told to end. What runs then has this time to finish.
    UntilTold {
        /// In milliseconds.
        drain_ms: u64,
    },
}

impl Stay {
    fn linger(self) -> Option<Duration> {
        match self {
            Self::WhileBusy { linger_ms } => Some(Duration::from_millis(linger_ms)),
            Self::UntilTold { .. } => None,
        }
    }

    /// Time for what runs when it is told to end.
    fn drain(self) -> Duration {
        match self {
            Self::WhileBusy { .. } => Duration::ZERO,
            Self::UntilTold { drain_ms } => Duration::from_millis(drain_ms),
        }
    }
}

impl Orders {
    /// Directory that holds the state file and everything beside it.
    pub(crate) fn directory(&self) -> PathBuf {
        self.state_file
            .parent()
            .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    }
}

/// A supervisor could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    #[error("the supervisor cannot use its store")]
    Store(#[from] StoreError),
    #[error("the supervisor cannot use {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} was deleted or replaced while the supervisor worked there", path.display())]
    Gone { path: PathBuf },
    #[error("the supervisor cannot start its keeper")]
    Keeper(#[source] io::Error),
    #[error("the supervisor cannot wait for events")]
    Poll(#[source] io::Error),
}

/// Whether the supervisor is alive: on this host its lock says so, elsewhere its lease.
pub(crate) fn is_alive(row: &SupervisorRow) -> bool {
    match row.seat {
        Seat::Here => is_locked(&row.directory),
        Seat::Elsewhere { lapsed } => row.open && !lapsed,
    }
}

fn is_locked(directory: &Path) -> bool {
    match File::open(directory.join(LIFE_LOCK)) {
        Ok(life) => matches!(life.try_lock(), Err(std::fs::TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

/// Runs until there is nothing left to do, or a signal says so.
///
/// `elected` is the lock that makes this the only supervisor of its build; it is let go of as
/// soon as the row is closed, so that a submitter who sees no open row can start the next one.
pub(crate) fn run(
    orders: &Orders,
    elected: Option<File>,
    mut ties: Option<Ties>,
) -> Result<(), SupervisorError> {
    let announcer = Announcer::of(orders.stay, ties.as_mut());
    let build = process::build_id().map_err(SupervisorError::Poll)?;
    let serves = orders.staff.dispatchers.clone();
    let drain = orders.stay.drain();
    let signals = match ties.as_ref().map(|ties| ties.standing) {
        Some(Standing::Guest) => StopSignals::left_alone(drain),
        Some(Standing::Owner) | None => StopSignals::catch(drain),
    };
    let mut signals = signals.map_err(SupervisorError::Poll)?;
    let opened = Opened::patiently(orders, &build, &serves, &mut signals)?;
    let directory = opened.home.directory.clone();
    let ends = (elected, signals);
    let result = serve(orders, &build, opened, serves, ends, announcer, ties);
    let _ = std::fs::remove_dir_all(directory);
    result
}

fn serve(
    orders: &Orders,
    build: &Build,
    opened: Opened,
    dispatchers: Vec<String>,
    (mut elected, signals): (Option<File>, StopSignals),
    announcer: Announcer,
    ties: Option<Ties>,
) -> Result<(), SupervisorError> {
    let Opened {
        home,
        slots,
        begun,
        live,
        store,
        state,
        row,
        ear,
    } = opened;
    let _ear = ear;
    let newer = upkeep::Newer::default();
    let _upkeep = upkeep::start(upkeep::Upkeep {
        store: store.clone(),
        row: row.clone(),
        program: orders.program.clone(),
        stay: orders.stay,
        build: build.clone(),
        home: home.directory.clone(),
        newer: newer.clone(),
        retention: crate::store::Retention {
            age: Duration::from_secs(orders.keep_secs),
            count_per_dispatcher: orders.keep_count,
        },
    });
    // Before the keeper, which stays where its supervisor is.
    let groups = subtree(ties.as_ref());
    let keeper = process::Keeper::start(&process::KeeperSpec::of_this_program());
    let result = keeper.map_err(SupervisorError::Keeper).and_then(|keeper| {
        let driver = driver::Driver::new(driver::Setup {
            orders,
            build,
            home: &home,
            slots,
            live,
            state,
            keeper,
            groups,
            store: store.clone(),
            row: row.clone(),
            begun,
            dispatchers,
            elected: &mut elected,
            signals,
            newer,
            announcer,
            ties,
        })?;
        driver.run()
    });
    // Whatever happened, the row says the truth before the lock is let go of.
    let closed = store.call(move |store| store.close_supervisor(row.id()));
    drop(elected);
    result?;
    closed?;
    Ok(())
}

/// Where attempts get control groups. Where the program of somebody else has its processes is not
/// for a guest to say.
fn subtree(ties: Option<&Ties>) -> Option<process::Subtree> {
    match ties.map(|ties| ties.standing) {
        Some(Standing::Guest) => None,
        Some(Standing::Owner) | None => match process::Subtree::enter() {
            Ok(groups) => Some(groups),
            Err(error) => {
                tracing::debug!(error = %crate::log::chain(&error), "memory limits are sampled");
                None
            }
        },
    }
}

/// What the wall clock shows, in milliseconds since 1970.
fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
