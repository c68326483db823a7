//! The lock of a worker slot: the proof that a worker is dead.
//!
//! The lock belongs to the open file, which supervisor and worker share. It is free only when the
//! last of them is gone, whoever went first.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Opens and locks the file of a slot. The supervisor keeps it and hands it to each worker there.
///
/// # Errors
/// `WouldBlock` when somebody holds it.
pub(crate) fn lock_slot(dir: &Path, slot: u32) -> io::Result<File> {
    let file = open(&path(dir, slot))?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}

/// Puts a new locked file in the place of a slot's old one, which processes that a job left
/// behind may still hold. Only while no worker is in the slot.
pub(crate) fn renew_slot(dir: &Path, slot: u32) -> io::Result<File> {
    let fresh = dir.join(format!("slot-{slot}.new"));
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = open(&fresh)?;
    file.try_lock().map_err(io::Error::from)?;
    std::fs::rename(&fresh, path(dir, slot))?;
    Ok(file)
}

/// Whether nobody holds the slot of a supervisor that is dead, so that its worker is dead too.
/// A slot without a file was never handed out.
pub(crate) fn try_take_slot(dir: &Path, slot: u32) -> io::Result<bool> {
    let file = match File::open(path(dir, slot)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn path(dir: &Path, slot: u32) -> PathBuf {
    dir.join(format!("slot-{slot}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_held_by_every_copy_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(try_take_slot(dir.path(), 0).unwrap());
        let file = lock_slot(dir.path(), 0).unwrap();
        assert_eq!(
            lock_slot(dir.path(), 0).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let copy = file.try_clone().unwrap();
        drop(file);
        assert!(!try_take_slot(dir.path(), 0).unwrap());
        drop(copy);
        assert!(try_take_slot(dir.path(), 0).unwrap());
        assert!(
            try_take_slot(dir.path(), 0).unwrap(),
            "looking takes nothing"
        );
    }

    #[test]
    fn a_renewed_slot_forgets_who_held_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let stray = lock_slot(dir.path(), 3).unwrap();
        let file = renew_slot(dir.path(), 3).unwrap();
        assert!(!try_take_slot(dir.path(), 3).unwrap());
        drop(file);
        assert!(try_take_slot(dir.path(), 3).unwrap());
        drop(stray);
    }
}
