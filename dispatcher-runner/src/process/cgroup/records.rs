//! What the kernel writes about control groups, read.
//!
//! Pure, so that it is tested on recorded files. A line that is not understood is passed over: later
//! kernels write more.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// Where cgroup v2 is mounted and where this process's own group is, from `/proc/self/cgroup` and
/// `/proc/self/mountinfo`.
pub(super) fn place(groups: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new(own.trim_end_matches(" (deleted)"));
    // Outside of its own namespace it is shown by its way up.
    if own.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let mounts = mounts.lines().filter_map(mount_of_v2);
    let mut reachable = mounts.filter_map(|(root, mount)| {
        let below = own.strip_prefix(&root).ok()?;
        let group = match below.as_os_str().is_empty() {
            true => mount.clone(),
            false => mount.join(below),
        };
        Some((mount, group))
    });
    // A later mount hides an earlier one at the same place.
    reachable.next_back()
}

/// Root and place of a mount, if it is one of cgroup v2 (`proc_pid_mountinfo(5)`).
fn mount_of_v2(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((unescaped(fields.next()?), unescaped(fields.next()?)))
}

/// Space, tab, line end and backslash are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let escaped = others
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

/// The names in `cgroup.controllers` or `cgroup.subtree_control`.
pub(super) fn controllers(text: &str) -> impl Iterator<Item = &str> {
    text.split_ascii_whitespace()
}

/// The number beside a key in a flat keyed file, such as `memory.events` or `/proc/vmstat`.
pub(super) fn count_of(key: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| {
        let (name, number) = line.split_once(' ')?;
        (name == key).then_some(number)
    })?;
    line.trim().parse().ok()
}
