//! What SQLite says, in the words of the seam.
//!
//! The path is always named, and the text is SQLite's own: nothing is guessed but "no space left",
//! which SQLite reports as a plain I/O error or as a file that it cannot open when the log or the
//! shared memory hits it.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;

/// The shared memory of the log grows by 32 KiB at a time.
const SPACE_MIN: u64 = 32 * 1024;

/// Translates an error of a statement.
pub(super) fn explain(path: &Path, waited: Duration, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error {
        // A value that this program could not have written.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt { path, detail },
        other => match other.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Busy { path, waited }
            }
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            // It could not grow; by the time somebody looks there may be space again.
            Some(ErrorCode::SystemIoFailure)
                if extended(error) == Some(ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                StoreError::Full { path }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(&path) => {
                StoreError::Full { path }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { path, detail }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                StoreError::Directory {
                    source: io::Error::new(io::ErrorKind::PermissionDenied, detail),
                    path: super::open::directory_of(&path).to_owned(),
                }
            }
            _ => StoreError::Database { path, detail },
        },
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// Whether there is less space than SQLite asks for at once, or none for another file.
fn is_full(path: &Path) -> bool {
    let stat = rustix::fs::statvfs(super::open::directory_of(path));
    stat.is_ok_and(|stat| {
        let no_space = stat.f_bavail.saturating_mul(stat.f_frsize) < SPACE_MIN;
        let no_file = stat.f_files > 0 && stat.f_favail == 0;
        no_space || no_file
    })
}
