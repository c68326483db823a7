//! Which image of the program this process runs.
//!
//! `/proc/self/exe` pins the running image, so the answer stays right while the file is replaced.

use std::io;
use std::os::unix::fs::MetadataExt;

use crate::store::Build;

/// The running image, by device, inode, size and modification time.
pub(crate) fn build_id() -> io::Result<Build> {
    build_of("/proc/self/exe")
}

/// Whether a process runs this image. Its own children do, too.
pub(crate) fn runs(pid: u32, build: &Build) -> bool {
    build_of(&format!("/proc/{pid}/exe")).is_ok_and(|running| running == *build)
}

fn build_of(link: &str) -> io::Result<Build> {
    let image = std::fs::metadata(link)?;
    let modified_ns = image
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(image.mtime_nsec());
    let id = format!(
        "{:x}-{:x}-{:x}-{modified_ns:x}",
        image.dev(),
        image.ino(),
        image.size()
    );
    Ok(Build { modified_ns, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_has_the_same_id() {
        let first = build_id().unwrap();
        assert_eq!(first, build_id().unwrap());
        assert_eq!(first.id.split('-').count(), 4);
        assert!(first.modified_ns > 0);
    }

    #[test]
    fn a_process_is_known_by_its_image() {
        let build = build_id().unwrap();
        assert!(runs(std::process::id(), &build));
        assert!(!runs(1, &build) && !runs(u32::MAX, &build));
    }
}
