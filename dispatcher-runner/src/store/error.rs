//! What a store says when it cannot do what it was asked, and what to do about it.
//!
//! A caller never sees "database is locked": waits are bounded, and the last resort says so.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The state file lies on a network file system.
    #[error("{} lies on a network file system ({kind}), where SQLite's locks do not hold", path.display())]
    NetworkFileSystem { path: PathBuf, kind: String },
    /// The state file was written by a newer version of this program.
    #[error("{} has schema version {found}; this program knows versions up to {known}", path.display())]
    NewerSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// The state file is damaged, or no state file at all.
    #[error("{} is damaged or is no state file: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    /// The state file is not where it was opened any more.
    #[error("{} was deleted or replaced while it was used", path.display())]
    Gone { path: PathBuf },
    /// No space is left.
    #[error("no space is left for {}", path.display())]
    Full { path: PathBuf },
    /// Nobody let go of the write lock for the whole bounded wait.
    #[error("{} was locked by another process for {waited:?}", path.display())]
    Busy { path: PathBuf, waited: Duration },
    /// The server of the store, or the way to it, is gone. It may be back at any moment.
    #[error("{} cannot be reached: {detail}", path.display())]
    Unreachable { path: PathBuf, detail: String },
    /// Anything else the database said.
    #[error("{} failed: {detail}", path.display())]
    Database { path: PathBuf, detail: String },
}

impl StoreError {
    /// What the operating system said about the directory of a state file.
    pub(crate) fn unusable(file: &Path, directory: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                path: file.to_owned(),
            },
            _ => Self::Directory {
                path: directory.to_owned(),
                source,
            },
        }
    }

    /// The same error once more, for the others of a failed commit.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Directory { path, source } => Self::Directory {
                path: path.clone(),
                source: io::Error::new(source.kind(), source.to_string()),
            },
            Self::NetworkFileSystem { path, kind } => Self::NetworkFileSystem {
                path: path.clone(),
                kind: kind.clone(),
            },
            Self::NewerSchema { path, found, known } => Self::NewerSchema {
                path: path.clone(),
                found: *found,
                known: *known,
            },
            Self::Corrupt { path, detail } => Self::Corrupt {
                path: path.clone(),
                detail: detail.clone(),
            },
            Self::Gone { path } => Self::Gone { path: path.clone() },
            Self::Full { path } => Self::Full { path: path.clone() },
            Self::Busy { path, waited } => Self::Busy {
                path: path.clone(),
                waited: *waited,
            },
            Self::Unreachable { path, detail } => Self::Unreachable {
                path: path.clone(),
                detail: detail.clone(),
            },
            Self::Database { path, detail } => Self::Database {
                path: path.clone(),
                detail: detail.clone(),
            },
        }
    }

    /// One line of what to do about it.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::Directory { .. } => {
                "check its owner and permissions, or name another place with DISPATCHER_DATABASE_URL=sqlite:/path/state.db".into()
            }
            Self::NetworkFileSystem { .. } => {
                "put the state file on a local disk with DISPATCHER_DATABASE_URL=sqlite:/path/state.db".into()
            }
            Self::NewerSchema { .. } => {
                "run the newer program, or name another state file; this one was not changed".into()
            }
            Self::Corrupt { path, .. } => format!(
                "move {} (and its -wal and -shm) away, then restore a backup or start afresh",
                path.display()
            ),
            Self::Gone { .. } => "start the program again; what stood in the old file is on record there only".into(),
            Self::Full { .. } => "free some space and try again; everything acknowledged is kept".into(),
            Self::Busy { .. } => "find the process that holds it (fuser on the file) and try again".into(),
            Self::Unreachable { .. } => "see that the server runs and can be reached from here; everything acknowledged is kept".into(),
            Self::Database { .. } => "see the message; `doctor` checks the file and its surroundings".into(),
        }
    }
}
