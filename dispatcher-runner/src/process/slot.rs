//! The lock of a worker slot: the proof that a worker is dead.
//!
//! The lock belongs to the open file, which supervisor and worker share. It is free only when the
//! last of them is gone, whoever went first. All workers of a pool share one slot, whose file says
//! by which tags they are found.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dispatcher_core::JobId;

const PREFIX: &str = "slot-";
const SUFFIX: &str = ".lock";

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

/// Writes into a slot's file that it is that of a pool.
pub(crate) fn name_pool(mut slot: &File, pool: JobId) -> io::Result<()> {
    slot.set_len(0)?;
    slot.write_all(pool.as_str().as_bytes())
}

/// A slot of a supervisor that is dead.
#[derive(Debug)]
pub(crate) struct Slot {
    file: File,
    /// The pool whose workers share it.
    pub(crate) pool: Option<JobId>,
}

/// The slots that a supervisor had in its directory. Those that it never opened held nobody.
pub(crate) fn slots(dir: &Path) -> io::Result<Vec<Slot>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut slots = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            continue;
        }
        let mut file = match File::open(entry.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        // What is no text names no pool.
        let _ = file.read_to_string(&mut text);
        let pool = text.parse().ok();
        slots.push(Slot { file, pool });
    }
    Ok(slots)
}

impl Slot {
    /// Whether nobody holds it, so that whoever was in it is dead. Looking takes nothing.
    pub(crate) fn is_free(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => self.file.unlock().map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
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
    dir.join(format!("{PREFIX}{slot}{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_free(dir: &Path) -> bool {
        let slots = slots(dir).unwrap();
        slots.iter().all(|slot| slot.is_free().unwrap())
    }

    #[test]
    fn a_slot_is_held_by_every_copy_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(slots(dir.path()).unwrap().is_empty());
        let file = lock_slot(dir.path(), 0).unwrap();
        assert_eq!(
            lock_slot(dir.path(), 0).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let copy = file.try_clone().unwrap();
        drop(file);
        assert!(!all_free(dir.path()));
        drop(copy);
        assert!(all_free(dir.path()));
        assert!(all_free(dir.path()), "looking takes nothing");
    }

    #[test]
    fn a_renewed_slot_forgets_who_held_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let stray = lock_slot(dir.path(), 3).unwrap();
        let file = renew_slot(dir.path(), 3).unwrap();
        assert!(!all_free(dir.path()));
        drop(file);
        assert!(all_free(dir.path()));
        drop(stray);
    }

    #[test]
    fn the_slot_of_a_pool_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let pool = JobId::from_bytes([9; 10]);
        let (plain, shared) = (lock_slot(dir.path(), 0), lock_slot(dir.path(), 1));
        name_pool(shared.as_ref().unwrap(), pool).unwrap();
        let mut pools: Vec<_> = slots(dir.path()).unwrap();
        pools.sort_by_key(|slot| slot.pool.is_some());
        let pools: Vec<_> = pools.iter().map(|slot| slot.pool).collect();
        assert_eq!(pools, [None, Some(pool)]);
        drop((plain, shared));
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(slots(dir.path()).unwrap().is_empty(), "nobody was ever in");
    }
}
