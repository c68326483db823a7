//! Opening a state file: its place, its owner's permissions, its version.
//!
//! A file that this program must not touch (newer, foreign, damaged) is left byte for byte as it
//! was: versions are read before anything is set, and closing does not checkpoint until then.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, FileType, Mode};

use super::busy::{self, Courtesy};
use super::errors;
use crate::store::StoreError;

/// "Dspt": marks a state file in its header.
const APPLICATION_ID: i64 = 0x4473_7074;
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_schedules.sql"),
    include_str!("migrations/0003_queues_of_supervisors.sql"),
    include_str!("migrations/0004_receipts.sql"),
    include_str!("migrations/0005_batches.sql"),
    include_str!("migrations/0006_callbacks.sql"),
];
/// 3.51.3 mends a race between a checkpoint and a reset of the log that could lose commits.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
const STATEMENTS_CACHED: usize = 96;

/// Magic numbers of `statfs(2)` and `linux/magic.h`, or of the file system's own source: those
/// shared between hosts, on which a memory-mapped `-shm` file is not one memory. FUSE is not
/// among them: it says nothing about what is behind it, and is mostly local.
const NETWORK: [(u32, &str); 17] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0000_564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x2003_0528, "OrangeFS"),
];

pub(super) fn open(
    path: &Path,
    wait_max: Duration,
    courtesy: Courtesy,
) -> Result<Connection, StoreError> {
    check_library(path)?;
    prepare_place(path)?;
    let explain = |error: rusqlite::Error| errors::explain(path, wait_max, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection
        .busy_handler(Some(busy::handler(wait_max, courtesy)))
        .map_err(explain)?;
    checkpoint_on_close(&connection, CloseCheckpoint::No).map_err(explain)?;
    check_version(&connection, path, wait_max)?;
    busy::retrying(wait_max, || configure(&connection)).map_err(explain)?;
    checkpoint_on_close(&connection, CloseCheckpoint::Yes).map_err(explain)?;
    migrate(&connection, path, wait_max)?;
    Ok(connection)
}

/// Where a state file lies; the current directory for a bare name.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn check_library(path: &Path) -> Result<(), StoreError> {
    if rusqlite::version_number() >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    Err(StoreError::Database {
        path: path.to_owned(),
        detail: format!(
            "the linked SQLite is {}, and 3.51.3 or newer is needed (the feature `bundled` brings one)",
            rusqlite::version()
        ),
    })
}

/// Makes the directory and an empty file, with permissions for their owner only. The file is made
/// by `mknod`, since closing a descriptor would drop the locks of another connection.
fn prepare_place(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    let refused = |source: io::Error| StoreError::unusable(path, directory, source);
    refuse_network(path, &nearest_existing(directory))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(refused)?;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(CWD, path, FileType::RegularFile, mode, 0) {
        // The new name must survive a power cut together with what is acknowledged later.
        Ok(()) => File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(refused),
        Err(rustix::io::Errno::EXIST) if fs::metadata(path).is_ok_and(|meta| meta.is_file()) => {
            Ok(())
        }
        Err(errno) => Err(refused(errno.into())),
    }
}

fn nearest_existing(directory: &Path) -> PathBuf {
    let existing = directory.ancestors().find(|one| one.exists());
    match existing {
        Some(one) if !one.as_os_str().is_empty() => one.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn refuse_network(path: &Path, directory: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statfs(directory).map_err(|errno| StoreError::Directory {
        path: directory.to_owned(),
        source: errno.into(),
    })?;
    match network_kind(stat.f_type as u64) {
        None => Ok(()),
        Some(kind) => Err(StoreError::NetworkFileSystem {
            path: path.to_owned(),
            kind: kind.to_owned(),
        }),
    }
}

/// The name of a network file system. The number is sign-extended on some machines.
pub(super) fn network_kind(magic: u64) -> Option<&'static str> {
    NETWORK
        .iter()
        .find(|(known, _)| u64::from(*known) == magic & 0xffff_ffff)
        .map(|(_, name)| *name)
}

/// Whether the last connection to close writes the log back into the file.
enum CloseCheckpoint {
    Yes,
    No,
}

fn checkpoint_on_close(connection: &Connection, wanted: CloseCheckpoint) -> rusqlite::Result<()> {
    let off = match wanted {
        CloseCheckpoint::Yes => false,
        CloseCheckpoint::No => true,
    };
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, off)
        .map(drop)
}

/// Settings of this connection; only `journal_mode` is written to the file.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // One plan per statement whatever the values: without this some are prepared anew for each.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        // Another process was first, and has the file in between two modes.
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some(format!("journal mode is {mode}")),
        ));
    }
    // The log is written back every 8 MB and cut to 16 MB afterwards; no memory map, since an I/O
    // error there would be a signal; 8 MiB of cache; references are kept by transactions.
    connection.execute_batch(
        "PRAGMA wal_autocheckpoint=2000;
         PRAGMA journal_size_limit=16777216;
         PRAGMA mmap_size=0;
         PRAGMA cache_size=-8192;
         PRAGMA temp_store=MEMORY;
         PRAGMA foreign_keys=OFF;
         PRAGMA synchronous=FULL;",
    )
}

struct Version {
    application: i64,
    schema: i64,
    tables: i64,
}

/// Reads all of it at one instant, since another process may be making the tables.
fn version(connection: &Connection) -> rusqlite::Result<Version> {
    let snapshot = || connection.unchecked_transaction();
    let _snapshot = connection.is_autocommit().then(snapshot).transpose()?;
    let number = |statement: &str| connection.query_row(statement, [], |row| row.get(0));
    Ok(Version {
        application: number("PRAGMA application_id")?,
        schema: number("PRAGMA user_version")?,
        tables: number("SELECT COUNT(*) FROM sqlite_schema")?,
    })
}

/// Refuses what is no state file, or one from a newer program. Answers the schema's version.
fn check_version(
    connection: &Connection,
    path: &Path,
    wait_max: Duration,
) -> Result<usize, StoreError> {
    let version = busy::retrying(wait_max, || version(connection))
        .map_err(|error| errors::explain(path, wait_max, &error))?;
    let empty = version.application == 0 && version.schema == 0 && version.tables == 0;
    if version.application != APPLICATION_ID && !empty {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: "it is a database of another program".to_owned(),
        });
    }
    match usize::try_from(version.schema) {
        Ok(schema) if schema <= MIGRATIONS.len() => Ok(schema),
        Ok(_) | Err(_) => Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found: version.schema,
            known: MIGRATIONS.len() as i64,
        }),
    }
}

/// Brings the schema up to date, one transaction for all steps. The version is read again inside,
/// since another process may have been faster.
fn migrate(connection: &Connection, path: &Path, wait_max: Duration) -> Result<(), StoreError> {
    let explain = |error: rusqlite::Error| errors::explain(path, wait_max, &error);
    if check_version(connection, path, wait_max)? == MIGRATIONS.len() {
        return Ok(());
    }
    busy::retrying(wait_max, || connection.execute_batch("BEGIN IMMEDIATE")).map_err(explain)?;
    let applied = check_version(connection, path, wait_max).and_then(|from| {
        for migration in &MIGRATIONS[from..] {
            connection.execute_batch(migration).map_err(explain)?;
        }
        let done = format!(
            "PRAGMA application_id={APPLICATION_ID};
             PRAGMA user_version={};
             COMMIT;",
            MIGRATIONS.len()
        );
        connection.execute_batch(&done).map_err(explain)
    });
    if applied.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").map_err(explain)?;
    }
    applied
}
