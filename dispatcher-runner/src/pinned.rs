//! A file that must stay where it was found: state that somebody deletes or replaces while it is
//! used would take in what nobody ever reads.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A path, and which file was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Pinned {
    /// The file that is there now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is gone, or another one is there. What cannot be told counts as there.
    pub(crate) fn is_gone(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()) != (self.device, self.inode),
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_moved_and_replaced_files_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/file");
        std::fs::create_dir(folder.path().join("a")).unwrap();
        assert!(Pinned::of(&path).is_err());
        std::fs::write(&path, "1").unwrap();
        let pinned = Pinned::of(&path).unwrap();
        std::fs::write(&path, "22").unwrap();
        assert!(!pinned.is_gone());
        std::fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert!(pinned.is_gone());
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(&path, "1").unwrap();
        assert!(pinned.is_gone());
        std::fs::rename(folder.path().join("b/file"), &path).unwrap();
        assert!(!pinned.is_gone());
        std::fs::remove_file(&path).unwrap();
        assert!(pinned.is_gone());
    }
}
