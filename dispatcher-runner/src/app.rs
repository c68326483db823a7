//! What this process knows of its program: roles, registry, build, configuration, store.
//!
//! `init()` comes first: in a re-executed copy of the program it never returns.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dispatcher_core::{Registry, RegistryBuilder, RegistryError, RegistryProblem};
use rustix::stdio::dup2_stdin;

use crate::client::SpawnError;
use crate::config::{Config, StoreLocation};
use crate::pinned::Pinned;
use crate::process;
use crate::store::{self, Build, StoreClient, StoreError, StoreThread};
use crate::supervisor;
use crate::testing;

static REGISTRY: OnceLock<Registry> = OnceLock::new();
static CONFIG: OnceLock<Config> = OnceLock::new();
static STORE: Mutex<Option<(Pinned, StoreClient)>> = Mutex::new(None);
static LOCATION: OnceLock<StoreLocation> = OnceLock::new();
static BUILD: OnceLock<Build> = OnceLock::new();
/// Threads besides its own that the process had at [`init`].
static EARLY_THREADS: OnceLock<usize> = OnceLock::new();

/// Must be the first line of `main` in a program that has a `main` of its own.
///
/// In a copy of the program that was re-executed as keeper, worker or supervisor it does that work
/// and never returns. Elsewhere it only remembers which dispatchers and which build there are.
///
/// The copies fork, and a process with threads must not: a program that has started threads before
/// this line is told so when it sends its first job.
///
/// # Panics
/// When two dispatchers of the program claim one name (no job could be told apart), or `/proc` is
/// not mounted.
pub fn init() {
    init_with(Registry::builder().linked());
}

/// [`init`] with dispatchers that are registered explicitly, where the linker cannot collect them.
///
/// # Panics
/// As [`init`].
pub fn init_with(registry: RegistryBuilder) {
    let registry = match registry.build() {
        Ok(registry) => registry,
        // Programs without dispatchers (the generic binary) still list, show and cancel.
        Err(error)
            if error
                .problems()
                .iter()
                .all(|problem| matches!(problem, RegistryProblem::Empty)) =>
        {
            Registry::default()
        }
        Err(error) => refuse(&error),
    };
    let _ = REGISTRY.set(registry);
    match process::build_id() {
        Ok(build) => drop(BUILD.set(build)),
        Err(error) => panic!("/proc/self/exe cannot be looked at: {error}"),
    }
    let _ = EARLY_THREADS.set(process::other_threads());
    process::set_pool_main(crate::worker::serve_pool);
    process::become_role_if_asked();
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|argument| argument == supervisor::ROLE)
    {
        std::process::exit(become_supervisor());
    }
}

/// Sets the configuration of this process. Without it, the files and variables described in the
/// documentation of [`Config`] are read at the first use.
///
/// # Errors
/// When a configuration is in use already.
pub fn setup(config: Config) -> Result<(), SetupError> {
    CONFIG.set(config).map_err(|_| SetupError)
}

/// The configuration is in use already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is in use already; call `setup` once, before the first job is sent")]
pub struct SetupError;

/// The dispatchers of this program; empty before [`init`].
pub(crate) fn registry() -> &'static Registry {
    static EMPTY: OnceLock<Registry> = OnceLock::new();
    REGISTRY
        .get()
        .unwrap_or_else(|| EMPTY.get_or_init(Registry::default))
}

/// The build of this program, taken in [`init`]; refused to a program whose copies could not work.
pub(crate) fn build() -> Result<&'static Build, SpawnError> {
    let build = BUILD.get().ok_or(SpawnError::NotInitialised)?;
    match EARLY_THREADS.get() {
        Some(0) | None => Ok(build),
        Some(&threads) => Err(SpawnError::ThreadsBeforeInit { threads }),
    }
}

/// The configuration, read at the first use.
pub(crate) fn config() -> Result<&'static Config, SpawnError> {
    if let Some(config) = CONFIG.get() {
        return Ok(config);
    }
    let config = Config::from_environment(program_name()).map_err(SpawnError::config)?;
    Ok(CONFIG.get_or_init(|| config))
}

/// The configuration that the program gave to [`setup`].
pub(crate) fn given_config() -> Option<&'static Config> {
    CONFIG.get()
}

/// Where the state lies, decided at the first use.
pub(crate) fn location() -> Result<&'static StoreLocation, SpawnError> {
    if let Some(location) = LOCATION.get() {
        return Ok(location);
    }
    let location = config()?.store().map_err(SpawnError::config)?;
    Ok(LOCATION.get_or_init(|| location))
}

/// The store of this process, opened at the first use; that of a test's recorder if there is one.
pub(crate) fn store() -> Result<StoreClient, SpawnError> {
    if let Some(recording) = testing::current() {
        return Ok(recording.store.clone());
    }
    let mut opened = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((place, store)) = &*opened
        && !place.is_gone()
    {
        return Ok(store.clone());
    }
    // Never opened, or deleted since: a long-lived program goes on with a fresh state.
    let location = location()?;
    let file = location.file();
    let store = open(location)?;
    let pinned = Pinned::of(file)
        .map_err(|source| StoreError::unusable(file, location.directory(), source))?;
    *opened = Some((pinned, store.clone()));
    Ok(store)
}

/// Opens the store, with a thread of its own.
pub(crate) fn open(location: &StoreLocation) -> Result<StoreClient, StoreError> {
    let store = store::open(location.file(), location.target())?;
    StoreThread::spawn(store).map_err(|error| StoreError::Database {
        path: location.place(),
        detail: format!("no thread for it: {error}"),
    })
}

/// Time between two looks for the server of a store.
const SERVER_EVERY: Duration = Duration::from_secs(1);

/// As [`open`], for who stays until it is told to end: waits for a server that is not there yet.
pub(crate) fn open_patiently(location: &StoreLocation) -> Result<StoreClient, StoreError> {
    let mut said = false;
    loop {
        match open(location) {
            Err(error @ StoreError::Unreachable { .. }) => {
                if !said {
                    tracing::error!(%error, "waiting for the store");
                    said = true;
                }
                std::thread::sleep(SERVER_EVERY);
            }
            other => return other,
        }
    }
}

/// The name under which the program was built.
pub(crate) fn program_name() -> String {
    let image = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&image)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "dispatcher".into()
    } else {
        name
    }
}

/// Absolute path of this program as it was called: it outlives an upgrade that moves a link, and
/// its last part is the program's name.
pub(crate) fn image() -> PathBuf {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let found = match called.parent() {
        Some(parent) if parent.as_os_str().is_empty() => {
            process::find_program(&called.to_string_lossy())
        }
        Some(_) => Some(called),
        None => None,
    };
    let found = found.and_then(|path| std::path::absolute(path).ok());
    found
        .filter(|path| process::is_this_image(path))
        .or_else(|| std::env::current_exe().ok())
        .unwrap_or_default()
}

fn refuse(error: &RegistryError) -> ! {
    panic!(
        "the dispatchers of this program cannot be told apart: {error}\n{}",
        error.advice()
    );
}

fn become_supervisor() -> i32 {
    let elected = process::take_own_name()
        .and_then(|()| process::detach())
        .and_then(|()| take_election_lock());
    let orders = elected
        .as_ref()
        .ok()
        .and_then(supervisor::launch::orders_in);
    let (Ok(elected), Some(orders)) = (elected, orders) else {
        eprintln!(
            "error: `{}` is started by Dispatcher itself, not by hand",
            supervisor::ROLE
        );
        return 64;
    };
    crate::log::to_stderr(crate::log::Settings::default());
    if let Err(error) = build() {
        let advice = error.advice();
        tracing::error!(%error, advice, "this program cannot have a supervisor");
        return 70;
    }
    match supervisor::run(&orders, Some(elected), None) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(error = %crate::log::chain(&error), "the supervisor ended");
            74
        }
    }
}

/// Standard input of a supervisor is the lock that makes it the only one of its build.
fn take_election_lock() -> io::Result<std::fs::File> {
    let lock = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(lock.into())
}
