//! What a supervisor has on disk before it can serve: its directory, its locks, its open row.
//!
//! A job may have been acknowledged before its supervisor got this far, and nobody else would come
//! for it: without space a supervisor waits until there is some, and a mishap is no reason to leave.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::begun::Begun;
use super::wake::WakeSocket;
use super::{LIFE_LOCK, Orders, SupervisorError};
use crate::pinned::Pinned;
use crate::process::{self, StopSignals};
use crate::store::{
    self, Build, NewSupervisor, StoreClient, StoreError, StoreThread, SupervisorId,
};

/// Time between two attempts.
const INTERVAL: Duration = Duration::from_secs(1);
/// Errors of the moment that are sat out.
const MISHAPS_MAX: u32 = 10;

/// Everything that a supervisor has once its row is open.
pub(super) struct Opened {
    pub(super) home: Home,
    /// The slot locks.
    pub(super) slots: Vec<File>,
    pub(super) begun: Begun,
    /// Where the output of running jobs can be followed.
    pub(super) live: PathBuf,
    pub(super) store: StoreClient,
    pub(super) state: Pinned,
    pub(super) row: OwnRow,
    pub(super) ear: Option<Ear>,
}

/// The supervisor's row: what it says, and which one it is now.
#[derive(Clone)]
pub(super) struct OwnRow {
    pub(super) says: NewSupervisor,
    id: Arc<AtomicI64>,
}

impl OwnRow {
    pub(super) fn id(&self) -> SupervisorId {
        SupervisorId(self.id.load(Ordering::Acquire))
    }

    /// Another one was opened in its place.
    pub(super) fn is_now(&self, id: SupervisorId) {
        self.id.store(id.0, Ordering::Release);
    }
}

/// The files of one living supervisor.
pub(super) struct Home {
    pub(super) directory: PathBuf,
    /// Held until the process ends; its end is the proof of death.
    _life: File,
    life: Pinned,
    pub(super) wake: WakeSocket,
}

impl Opened {
    /// Opens everything, however long it takes to find the space for it. Signals end this process
    /// until it is about to open its row, and are for the driver from then on.
    ///
    /// # Errors
    /// When something else than space is wrong, and stays wrong.
    pub(super) fn patiently(
        orders: &Orders,
        build: &Build,
        serves: &[String],
        signals: &mut StopSignals,
    ) -> Result<Self, SupervisorError> {
        let mut mishaps = 0;
        let mut said = String::new();
        loop {
            let error = match Self::open(orders, build, serves, signals) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            signals.let_go();
            if signals.requested().is_some() {
                return Err(error);
            }
            match error.hope() {
                Hope::Space => {}
                Hope::Mishap if mishaps < MISHAPS_MAX => mishaps += 1,
                Hope::Mishap | Hope::None => return Err(error),
            }
            let text = crate::log::chain(&error);
            if said != text {
                tracing::error!(error = text, "the supervisor cannot begin yet");
                said = text;
            }
            std::thread::sleep(INTERVAL);
        }
    }

    fn open(
        orders: &Orders,
        build: &Build,
        serves: &[String],
        signals: &StopSignals,
    ) -> Result<Self, SupervisorError> {
        let directory = own_directory(&orders.directory());
        let opened = Self::open_in(&directory, orders, (build, serves), signals);
        if opened.is_err() {
            let _ = std::fs::remove_dir_all(&directory);
        }
        opened
    }

    fn open_in(
        directory: &Path,
        orders: &Orders,
        (build, serves): (&Build, &[String]),
        signals: &StopSignals,
    ) -> Result<Self, SupervisorError> {
        let home = Home::make(directory).map_err(unusable(directory))?;
        let pools = u32::try_from(orders.staff.pools.len()).unwrap_or(u32::MAX);
        let slots = lock_slots(&home, orders.slots + pools)?;
        let begun = Begun::create(&home.directory).map_err(unusable(&home.directory))?;
        let live = orders.directory().join("live");
        std::fs::create_dir_all(&live).map_err(unusable(&live))?;
        let store = StoreThread::spawn(store::open(&orders.state_file, orders.target.as_ref())?)
            .map_err(SupervisorError::Poll)?;
        let row = NewSupervisor {
            program: orders.program.clone(),
            build: build.clone(),
            pid: std::process::id(),
            slots: orders.slots,
            directory: home.directory.clone(),
            serves: serves.to_vec(),
            queues: orders.queues.clone(),
            lease: orders.lease_ms.map(Duration::from_millis),
        };
        let says = row.clone();
        signals.hold();
        let id = store.call(move |store| store.open_supervisor(&row))?;
        let row = OwnRow {
            says,
            id: Arc::new(AtomicI64::new(id.0)),
        };
        let state = Pinned::of(&orders.state_file).map_err(unusable(&orders.state_file))?;
        let ear = Ear::of(orders, &home).map_err(SupervisorError::Poll)?;
        Ok(Self {
            ear,
            state,
            home,
            slots,
            begun,
            live,
            store,
            row,
        })
    }
}

impl Home {
    /// Makes the directory, with its lock held.
    fn make(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(LIFE_LOCK);
        let life = File::create(&path)?;
        life.lock()?;
        Ok(Self {
            life: Pinned::of(&path)?,
            wake: WakeSocket::bind(directory)?,
            directory: directory.to_owned(),
            _life: life,
        })
    }
}

impl Home {
    /// Whether its own directory is gone, so that everybody takes it for dead.
    pub(super) fn is_gone(&self) -> bool {
        self.life.is_gone()
    }
}

/// Hears of jobs that other hosts have sent, and wakes this supervisor.
pub(super) struct Ear {
    #[cfg(feature = "postgres")]
    _listening: store::Ear,
}

impl Ear {
    #[cfg(feature = "postgres")]
    fn of(orders: &Orders, home: &Home) -> io::Result<Option<Self>> {
        let Some(target) = &orders.target else {
            return Ok(None);
        };
        let directory = home.directory.clone();
        let listening = store::Ear::listen(target, move || super::wake(&directory))?;
        Ok(Some(Self {
            _listening: listening,
        }))
    }

    #[cfg(not(feature = "postgres"))]
    fn of(_: &Orders, _: &Home) -> io::Result<Option<Self>> {
        Ok(None)
    }
}

/// The locks that prove a worker dead.
pub(super) fn lock_slots(home: &Home, slots: u32) -> Result<Vec<File>, SupervisorError> {
    (0..slots)
        .map(|slot| process::lock_slot(&home.directory, slot))
        .collect::<io::Result<Vec<_>>>()
        .map_err(unusable(&home.directory))
}

/// What may make it work the next time.
enum Hope {
    /// Somebody makes room, or starts the server of the store, sooner or later.
    Space,
    /// It may have been a matter of the moment.
    Mishap,
    /// Nothing but a person.
    None,
}

impl SupervisorError {
    fn hope(&self) -> Hope {
        match self {
            Self::Store(StoreError::Full { .. } | StoreError::Unreachable { .. }) => Hope::Space,
            Self::Directory { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Hope::Space,
                _ => Hope::None,
            },
            Self::Store(StoreError::Busy { .. } | StoreError::Database { .. }) => Hope::Mishap,
            Self::Store(
                StoreError::Directory { .. }
                | StoreError::NetworkFileSystem { .. }
                | StoreError::NewerSchema { .. }
                | StoreError::Corrupt { .. }
                | StoreError::Gone { .. },
            )
            | Self::Keeper(_)
            | Self::Poll(_)
            | Self::Gone { .. } => Hope::None,
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
