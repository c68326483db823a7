//! The name of this host, as far as kernel locks reach: this boot of it, and one folder.
//!
//! A file of the folder stands for the database there, and holds the folder's own name. Locks,
//! sockets and live output lie beside it, and whoever works there leaves when it is gone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::StoreError;
use super::rules::NODE_MARK;
use crate::ids;
use crate::target::Target;

/// Makes the folder and its file, if need be; answers with the name.
pub(super) fn of(file: &Path, target: &Target) -> Result<String, StoreError> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    folder_name(file, directory, target)
        .and_then(|folder| {
            let boot = ids::boot()?;
            Ok(format!("{boot}.{folder}"))
        })
        .map_err(|source| StoreError::unusable(file, directory, source))
}

/// The label of jobs that only services of this folder run, whatever boot it is.
pub(super) fn label(file: &Path, target: &Target) -> Result<String, StoreError> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    folder_name(file, directory, target)
        .map(|folder| format!("{NODE_MARK}{folder}"))
        .map_err(|source| StoreError::unusable(file, directory, source))
}

fn folder_name(file: &Path, directory: &Path, target: &Target) -> io::Result<String> {
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700).create(directory)?;
    if !file.exists() {
        // Two at once: the first one to give it its name wins.
        let draft = directory.join(format!("database.{}", ids::random_hex()));
        let mut options = OpenOptions::new();
        let mut written = options
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&draft)?;
        writeln!(written, "{}\n{target}", ids::random_hex())?;
        let linked = fs::hard_link(&draft, file);
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => File::open(directory)?.sync_all()?,
        }
    }
    let text = fs::read_to_string(file)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
