//! Opens the store of a place: a state file, or a database with the file that stands for it here.
//!
//! Only here is it known which stores there are.

use std::path::Path;

use super::{SqliteStore, Store, StoreError, sqlite};
#[cfg(feature = "postgres")]
use super::{
    host::{self, label},
    postgres,
};
use crate::target::Target;

/// Opens the store at `file`, or that of the database whose local anchor the file is.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn open(file: &Path, target: Option<&Target>) -> Result<Box<dyn Store>, StoreError> {
    match target {
        None => Ok(Box::new(SqliteStore::open(file)?)),
        Some(target) => open_remote(file, target),
    }
}

/// The label of jobs that only services of this folder run; none where nobody else could.
///
/// # Errors
/// When the folder cannot be used.
pub(crate) fn node_label(
    file: &Path,
    target: Option<&Target>,
) -> Result<Option<String>, StoreError> {
    target.map(|target| label(file, target)).transpose()
}

/// How far a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaState {
    /// Steps that were made; 0 when there is no schema.
    pub(crate) found: i64,
    /// Steps that this program knows.
    pub(crate) known: i64,
}

/// How far the schema of a store is.
///
/// # Errors
/// When it cannot be asked.
pub(crate) fn schema(file: &Path, target: Option<&Target>) -> Result<SchemaState, StoreError> {
    match target {
        None => sqlite::schema(file),
        #[cfg(feature = "postgres")]
        Some(target) => postgres::state_of_schema(target),
        #[cfg(not(feature = "postgres"))]
        Some(target) => Err(absent(target)),
    }
}

/// Brings the schema of a store up to date; answers how far it was.
///
/// # Errors
/// When it cannot be changed.
pub(crate) fn migrate(file: &Path, target: Option<&Target>) -> Result<SchemaState, StoreError> {
    match target {
        None => {
            let found = sqlite::schema(file)?;
            SqliteStore::open(file)?;
            Ok(found)
        }
        #[cfg(feature = "postgres")]
        Some(target) => postgres::migrate(target),
        #[cfg(not(feature = "postgres"))]
        Some(target) => Err(absent(target)),
    }
}

#[cfg(feature = "postgres")]
fn open_remote(file: &Path, target: &Target) -> Result<Box<dyn Store>, StoreError> {
    let host = host::of(file, target)?;
    // On a thread without an async runtime: that of the caller may have one, and the first job may
    // be sent from a future.
    let opened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| postgres::PostgresStore::open(target, host));
        opening.join()
    });
    let opened = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok(Box::new(opened?))
}

#[cfg(not(feature = "postgres"))]
fn label(_: &Path, target: &Target) -> Result<String, StoreError> {
    Err(absent(target))
}

#[cfg(not(feature = "postgres"))]
fn open_remote(_: &Path, target: &Target) -> Result<Box<dyn Store>, StoreError> {
    Err(absent(target))
}

#[cfg(not(feature = "postgres"))]
fn absent(target: &Target) -> StoreError {
    StoreError::Database {
        path: target.place(),
        detail: "a PostgreSQL store is not in this build".to_owned(),
    }
}
