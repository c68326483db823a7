//! What `ps` and `/proc` show of a process: its command line and its tag, overwritten in place.
//!
//! Argument and environment strings lie in two regions that the kernel shows as they are. Nothing
//! is ever written outside them, and the last byte of the arguments stays zero: otherwise the
//! kernel would read on into the environment.
#![expect(unsafe_code, reason = "writes to the argument and environment strings")]

use std::ffi::CStr;
use std::ops::Range;
use std::ptr;

use dispatcher_core::JobId;

use super::stat::Stat;
use super::sys;
use super::tag::{TAG_BYTES, TAG_VARIABLE};

/// Where the strings of this process lie.
#[derive(Debug, Clone)]
pub(super) struct Title {
    arguments: Range<usize>,
    /// Where the value of the tag begins; absent when the placeholder was not found.
    tag: Option<usize>,
}

/// The command line of a worker: `<app> notifydispatcher <Name> --job <id>`.
pub(crate) fn job_title(app: &str, dispatcher: &str, job: JobId) -> String {
    format!("{app} notifydispatcher {dispatcher} --job {job}")
}

/// The value of the tag in a keeper, as wide as any.
pub(super) fn placeholder() -> String {
    "-".repeat(TAG_BYTES)
}

/// The command line of a worker of a pool.
pub(crate) fn pool_title(app: &str, pool: &str) -> String {
    format!("{app} pool {pool}")
}

impl Title {
    /// Finds the strings. Where the kernel does not tell, titles are not shown and the tag is
    /// set in the ordinary way only.
    pub(super) fn find() -> Self {
        let Some(stat) = Stat::of(sys::own_pid()) else {
            return Self {
                arguments: 0..0,
                tag: None,
            };
        };
        Self {
            tag: find_placeholder(&stat.environment_region()),
            arguments: stat.arguments,
        }
    }

    /// Shows the words of a title as the arguments of this process.
    ///
    /// # Safety
    /// Only while no other thread reads the program's arguments.
    pub(super) unsafe fn show(&self, title: &str) {
        let Some(room) = self.arguments.len().checked_sub(1) else {
            return;
        };
        let start = ptr::with_exposed_provenance_mut::<u8>(self.arguments.start);
        let length = title.len().min(room);
        // SAFETY: the region is writable memory of this process (its own argument strings), and
        // nothing beyond it is touched.
        unsafe {
            for (at, byte) in title.bytes().take(length).enumerate() {
                start.add(at).write(if byte == b' ' { 0 } else { byte });
            }
            start.add(length).write_bytes(0, room + 1 - length);
        }
    }

    /// Puts the value of a tag in the place of the placeholder.
    ///
    /// # Safety
    /// Only while this process has one thread.
    pub(super) unsafe fn tag(&self, value: &str) {
        let Some(start) = self.tag else {
            // SAFETY: one thread, says the caller.
            unsafe { std::env::set_var(TAG_VARIABLE, value) };
            return;
        };
        let start = ptr::with_exposed_provenance_mut::<u8>(start);
        // SAFETY: the placeholder has TAG_BYTES bytes and lies in the environment strings.
        unsafe {
            start.write_bytes(0, TAG_BYTES);
            ptr::copy_nonoverlapping(value.as_ptr(), start, value.len().min(TAG_BYTES));
        }
    }
}

/// A name as listings of the kernel show it, which cut it after 15 bytes.
pub(super) fn process_name(name: &str) -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// Names this process.
pub(super) fn name_process(bytes: &[u8; 16]) {
    // SAFETY: the kernel reads no more than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr(), 0, 0, 0) };
}

/// Address of the placeholder, if the library's environment still points into the kernel's.
fn find_placeholder(environment: &Range<usize>) -> Option<usize> {
    // SAFETY: called with one thread, before anybody changed the environment; the array ends
    // with a null pointer and each entry is a terminated string.
    unsafe {
        let mut entry = libc::environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = *entry;
            let value = CStr::from_ptr(text)
                .to_bytes()
                .strip_prefix(TAG_VARIABLE.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            if let Some(value) = value {
                let start = value.as_ptr().expose_provenance();
                text.expose_provenance();
                let inside = start >= environment.start && start + TAG_BYTES < environment.end;
                return (value.len() == TAG_BYTES && inside).then_some(start);
            }
            entry = entry.add(1);
        }
    }
    None
}
