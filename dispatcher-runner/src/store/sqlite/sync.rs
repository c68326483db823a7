//! Durability after the fact: syncing what others have committed without a sync.
//!
//! Why one `fdatasync` of the `-wal` file is enough: a commit is visible to a reader only through
//! the shared index, which is written after its frames were; so whatever this process has read is
//! in the file by now, and in the kernel's cache at least. Frames that left the file did so
//! through a checkpoint, which syncs the log, then the database, before it lets the log be reused.
//! The database file itself is never opened here: closing any descriptor of it would drop the
//! POSIX locks that SQLite holds in this process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::SqliteStore;
use crate::store::StoreError;

/// The log of the open connection. SQLite unlinks it only when the last connection closes, so the
/// descriptor stays the right one for as long as ours is open.
pub(super) struct Wal(File);

pub(super) fn sync(store: &mut SqliteStore) -> Result<(), StoreError> {
    sync_wal(&mut store.wal, &store.path).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full {
            path: store.path.clone(),
        },
        _ => StoreError::Database {
            path: store.path.clone(),
            detail: format!("sync: {source}"),
        },
    })
}

fn sync_wal(wal: &mut Option<Wal>, path: &Path) -> io::Result<()> {
    if let Some(Wal(file)) = wal {
        return file.sync_data();
    }
    let file = match File::open(wal_of(path)) {
        Ok(file) => file,
        // No log: everything is in the database file, and was synced on its way there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    file.sync_data()?;
    // A log that nobody has synced yet may lack its directory entry.
    File::open(super::open::directory_of(path))?.sync_all()?;
    *wal = Some(Wal(file));
    Ok(())
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
