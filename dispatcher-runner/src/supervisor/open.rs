//! What a supervisor has on disk before it can serve: its directory, its locks, its open row.
//!
//! A job may have been acknowledged before its supervisor got this far, and nobody else would come
//! for it: without space a supervisor waits until there is some.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wake::WakeSocket;
use super::{LIFE_LOCK, Orders, SupervisorError};
use crate::process;
use crate::store::{
    Build, NewSupervisor, SqliteStore, StoreClient, StoreError, StoreThread, SupervisorId,
};

/// Time between two attempts while there is no space.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that a supervisor has once its row is open.
pub(super) struct Opened {
    pub(super) home: Home,
    /// The slot locks.
    pub(super) slots: Vec<File>,
    /// Where the output of running jobs can be followed.
    pub(super) live: PathBuf,
    pub(super) store: StoreClient,
    pub(super) supervisor: SupervisorId,
}

/// The files of one living supervisor.
pub(super) struct Home {
    pub(super) directory: PathBuf,
    /// Held until the process ends; its end is the proof of death.
    _life: File,
    pub(super) wake: WakeSocket,
}

impl Opened {
    /// Opens everything, however long it takes to find the space for it.
    ///
    /// # Errors
    /// When something else than space is wrong.
    pub(super) fn patiently(
        orders: &Orders,
        build: &Build,
        serves: &[String],
    ) -> Result<Self, SupervisorError> {
        let mut said = false;
        loop {
            let error = match Self::open(orders, build, serves) {
                Err(error) if error.is_full() => error,
                done => return done,
            };
            if !said {
                let error = crate::log::chain(&error);
                tracing::error!(error, "the supervisor waits for space");
                said = true;
            }
            std::thread::sleep(SPACE_INTERVAL);
        }
    }

    fn open(orders: &Orders, build: &Build, serves: &[String]) -> Result<Self, SupervisorError> {
        let directory = own_directory(&orders.directory());
        let opened = Self::open_in(&directory, orders, build, serves);
        if opened.is_err() {
            let _ = std::fs::remove_dir_all(&directory);
        }
        opened
    }

    fn open_in(
        directory: &Path,
        orders: &Orders,
        build: &Build,
        serves: &[String],
    ) -> Result<Self, SupervisorError> {
        let home = Home::make(directory).map_err(unusable(directory))?;
        let slots = lock_slots(&home, orders.slots)?;
        let live = orders.directory().join("live");
        std::fs::create_dir_all(&live).map_err(unusable(&live))?;
        let store = StoreThread::spawn(Box::new(SqliteStore::open(&orders.state_file)?))
            .map_err(SupervisorError::Poll)?;
        let row = NewSupervisor {
            program: orders.program.clone(),
            build: build.clone(),
            pid: std::process::id(),
            slots: orders.slots,
            directory: home.directory.clone(),
            serves: serves.to_vec(),
        };
        let supervisor = store.call(move |store| store.open_supervisor(&row))?;
        Ok(Self {
            home,
            slots,
            live,
            store,
            supervisor,
        })
    }
}

impl Home {
    /// Makes the directory, with its lock held.
    fn make(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let life = File::create(directory.join(LIFE_LOCK))?;
        life.lock()?;
        Ok(Self {
            wake: WakeSocket::bind(directory)?,
            directory: directory.to_owned(),
            _life: life,
        })
    }
}

/// The locks that prove a worker dead.
pub(super) fn lock_slots(home: &Home, slots: u32) -> Result<Vec<File>, SupervisorError> {
    (0..slots)
        .map(|slot| process::lock_slot(&home.directory, slot))
        .collect::<io::Result<Vec<_>>>()
        .map_err(unusable(&home.directory))
}

impl SupervisorError {
    /// Whether it is about space alone.
    fn is_full(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Full { .. }),
            Self::Directory { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Keeper(_) | Self::Poll(_) => false,
        }
    }
}

fn own_directory(state: &Path) -> PathBuf {
    let name = format!("{}-{}", std::process::id(), crate::ids::random_hex());
    state.join("supervisors").join(name)
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> SupervisorError {
    let path = path.to_owned();
    |source| SupervisorError::Directory { path, source }
}
