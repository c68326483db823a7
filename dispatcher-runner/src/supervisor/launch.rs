//! Makes sure that somebody runs what was just stored.
//!
//! One lock file per build elects the supervisor: it is inherited by the process that is started
//! and held until that has closed its row. In it stand its orders, which may hold secrets and are
//! too long for an argument. A submitter who finds neither an open row nor a free
//! lock sees a supervisor that is just coming or going, and looks again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process;
use crate::store::{Build, StoreClient, SupervisorRow};

use super::{Orders, ROLE, Staff, is_alive, wake};

/// Time for another supervisor of this build to come or go.
const ELECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// The log is turned over when it is larger.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Name of the log beside the state file.
pub(crate) const LOG: &str = "supervisor.log";

/// Makes sure that there can be an election, before a job is stored that would need one.
///
/// # Errors
/// When its lock file cannot be made.
pub(crate) fn prepare(orders: &Orders, build: &Build) -> io::Result<()> {
    let path = election_file(orders, build, &Staff::default());
    if path.exists() {
        return Ok(());
    }
    open_election(&path).map(drop)
}

/// A kind of work that somebody must serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    /// Name of the dispatcher.
    pub(crate) dispatcher: &'static str,
    /// Queue label of the job.
    pub(crate) queue: String,
}

/// What is to be run, and by whom.
pub(crate) struct Wanted<'a> {
    pub(crate) orders: &'a Orders,
    pub(crate) build: &'a Build,
    pub(crate) work: &'a [Work],
    /// Who runs what in one that has to be started.
    pub(crate) staff: &'a dyn Fn() -> Staff,
}

/// Wakes a supervisor of this program that serves the work, or starts one.
///
/// # Errors
/// When none could be started. What was stored stays stored.
pub(crate) fn ensure(
    wanted: &Wanted<'_>,
    rows: &[SupervisorRow],
    store: &StoreClient,
) -> io::Result<()> {
    if wanted.wake_open(rows) {
        return Ok(());
    }
    let Wanted { orders, build, .. } = wanted;
    let staff = (wanted.staff)();
    let lock = open_election(&election_file(orders, build, &staff))?;
    let deadline = Instant::now() + ELECTION_TIME_MAX;
    loop {
        match lock.try_lock() {
            Ok(()) => return wanted.start(staff, lock),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let rows = store
            .call(|store| store.supervisors())
            .map_err(io::Error::other)?;
        if wanted.wake_open(&rows) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another supervisor of this program neither started nor left",
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One for each build, and for each set of pools and commands: what a configuration has added since
/// a supervisor was started, another one serves.
fn election_file(orders: &Orders, build: &Build, staff: &Staff) -> PathBuf {
    let name = match staff.mark() {
        Some(mark) => format!("election-{}-{mark:016x}.lock", build.id),
        None => format!("election-{}.lock", build.id),
    };
    orders.directory().join(name)
}

fn open_election(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

impl Work {
    fn is_served_by(&self, row: &SupervisorRow) -> bool {
        let labelled = row.queues.is_empty() || row.queues.contains(&self.queue);
        labelled && row.serves.iter().any(|name| name == self.dispatcher)
    }
}

impl Wanted<'_> {
    fn start(&self, staff: Staff, lock: File) -> io::Result<()> {
        let mut orders = self.orders.clone();
        orders.staff = staff;
        // Without a log it says nothing, and works all the same.
        let log = open_log(&orders).or_else(|_| File::options().write(true).open("/dev/null"))?;
        let written = serde_json::to_vec(&orders).map_err(io::Error::other)?;
        lock.set_len(0)?;
        lock.write_all_at(&written, 0)?;
        let shown = orders.state_file.to_string_lossy();
        process::start_detached([ROLE, &shown], lock, log)
    }

    /// One file may have many names, but only one under the same name is a version of it.
    fn is_newer(&self, row: &SupervisorRow) -> bool {
        row.program == self.orders.program && row.build.modified_ns > self.build.modified_ns
    }

    /// Wakes whoever takes new work and serves some of this; `false` when some of it is served by
    /// nobody.
    pub(crate) fn wake_open(&self, rows: &[SupervisorRow]) -> bool {
        let fit = |row: &&SupervisorRow| {
            row.open
                && (row.build == *self.build || self.is_newer(row))
                && self.work.iter().any(|work| work.is_served_by(row))
                && is_alive(row)
        };
        let fit: Vec<&SupervisorRow> = rows.iter().filter(fit).collect();
        let mut work = self.work.iter();
        let served = work.all(|work| fit.iter().any(|row| work.is_served_by(row)));
        for row in fit {
            wake(&row.directory);
        }
        served
    }
}

/// The orders that stand in the lock of whoever was elected; `None` when nobody was.
pub(crate) fn orders_in(lock: &File) -> Option<Orders> {
    let mut lock = lock;
    let mut text = Vec::new();
    io::Seek::rewind(&mut lock).ok()?;
    lock.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn open_log(orders: &Orders) -> io::Result<File> {
    let path = orders.directory().join(LOG);
    if path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX)
    {
        std::fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
