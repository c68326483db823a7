//! A small disk of a test's own, to be filled up and emptied again.
//!
//! It is mounted where nobody else sees it: the test runs itself once more in a mount namespace,
//! which the kernel takes away with its last process. A machine that allows no mounts fails the
//! test and says so; nothing is skipped.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::Home;

/// Set in the copy of the test that may mount.
const MARK: &str = "DISPATCHER_TEST_OWN_MOUNTS";
/// Unfinished writes to a full disk come in blocks of this size.
const BLOCK: usize = 4096;
/// No larger disk is ever filled: it would be the machine's.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Runs the test of this name in a mount namespace of its own.
///
/// # Panics
/// When the test fails there, or there is no way to have such a namespace.
pub fn with_own_mounts(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let kinds: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
    let works = |arguments: &&&[&str]| {
        let script = "mount -t tmpfs -o size=1m none /proc/self/cwd";
        let mut probe = Command::new("unshare");
        probe.args(**arguments).args(["sh", "-c", script]);
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let probed = probe.current_dir(directory.path()).output();
        probed.is_ok_and(|output| output.status.success())
    };
    let Some(arguments) = kinds.iter().find(works) else {
        panic!(
            "{test} cannot be run here: it mounts a small file system, and this machine allows \
             that neither to this user nor inside a user namespace. Run it as root, or allow \
             `unshare --map-root-user --mount` (in a container: --cap-add SYS_ADMIN)"
        );
    };
    let image = std::env::current_exe().expect("/proc is mounted");
    let status = Command::new("unshare")
        .args(*arguments)
        .arg(image)
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("`unshare` was there a moment ago");
    assert!(status.success(), "in its own mount namespace: {status}");
}

/// A [`Home`] whose state lies on a small disk; everything else lies elsewhere.
#[derive(Debug)]
pub struct SmallDisk {
    /// Dropped first: it ends the processes that use the disk.
    home: Home,
    disk: Mounted,
}

#[derive(Debug)]
struct Mounted(PathBuf);

impl SmallDisk {
    /// Mounts a disk below a new home, with options of tmpfs: `size=4m`, `nr_inodes=10`.
    ///
    /// # Panics
    /// Outside [`with_own_mounts`].
    #[must_use]
    pub fn new(program: &str, options: &str) -> Self {
        let home = Home::new(program);
        let at = home.state();
        fs::create_dir(&at).expect("the directory of the test can be written");
        let options = CString::new(options).expect("no NUL in it");
        mount("none", &at, "tmpfs", MountFlags::empty(), &*options)
            .unwrap_or_else(|error| panic!("no mount at {}: {error}", at.display()));
        Self {
            home,
            disk: Mounted(at),
        }
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Puts the log of the supervisors where there is always room, so that it tells what happened.
    ///
    /// # Panics
    /// When there is a log already.
    pub fn log_elsewhere(&self) {
        let elsewhere = self.home.file("elsewhere.log");
        std::os::unix::fs::symlink(elsewhere, self.home.log_file()).expect("there is no log yet");
    }

    /// Changes the options of the disk.
    ///
    /// # Panics
    /// When the kernel refuses them.
    pub fn remount(&self, options: &str) {
        let options = CString::new(options).expect("no NUL in it");
        mount_remount(&self.disk.0, MountFlags::empty(), &*options).expect("these are its options");
    }

    /// Fills the disk but for this many blocks of 4 KiB, until the ballast is dropped. The last
    /// block of the supervisors' log is filled as well.
    ///
    /// # Panics
    /// When it is fuller already.
    #[must_use]
    pub fn fill_but(&self, blocks: usize) -> Ballast {
        let disk = rustix::fs::statvfs(&self.disk.0).expect("it is mounted");
        let bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        assert!(
            bytes <= BYTES_MAX,
            "this is no disk of a test: {bytes} bytes"
        );
        let ballast = Ballast(self.disk.0.join("ballast"));
        let mut file = File::create(&ballast.0).expect("a name costs nothing here");
        let mut written = 0;
        loop {
            match file.write(&[0; BLOCK]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("the disk is not full but broken: {error}"),
            }
        }
        let log = OpenOptions::new().append(true).open(self.home.log_file());
        let is_here = !self.home.log_file().is_symlink();
        if let Ok(mut log) = log
            && is_here
        {
            while log.write(b"\n").is_ok() {}
        }
        let kept = written.checked_sub(blocks * BLOCK);
        let kept = kept.expect("there is more room than is to be left");
        file.set_len(kept as u64).expect("a file can be cut");
        ballast
    }
}

/// Makes a directory read-only for whoever opens something in it from now on.
///
/// # Panics
/// Outside [`with_own_mounts`].
#[must_use]
pub fn read_only(directory: &Path) -> ReadOnly {
    mount_bind(directory, directory).expect("it can be mounted over itself");
    let guard = ReadOnly(directory.to_owned());
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    mount_remount(directory, flags, c"").expect("a mount of ours can be changed");
    guard
}

/// A directory that is read-only until this is dropped.
#[derive(Debug)]
pub struct ReadOnly(PathBuf);

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// What fills a disk until this is dropped.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        // The home could not remove what was mounted in it.
        let _ = self.0.parent().map(Path::to_owned).map(fs::remove_dir_all);
    }
}
