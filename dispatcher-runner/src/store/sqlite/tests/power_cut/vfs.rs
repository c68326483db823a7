//! SQLite's file layer with a look at every write, and the C library's syncs with a look at each.
//!
//! Everything goes on to the layer beneath; files outside of a watched folder are not looked at.
//! Syncs are seen where they reach the kernel, so that those count which the store asks for without
//! SQLite. A watched folder is not really synced: what its disk has is on record here.

#![expect(
    unsafe_code,
    reason = "SQLite's file layer and the C library's sync calls are interfaces of C"
)]
#![expect(non_snake_case, reason = "the names are SQLite's")]

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Once};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use super::disk::{self, Asker, Disk};

/// Makes the watching layer the one that every connection of this process uses from now on.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the layer beneath is SQLite's own, valid for the life of the process, and a
        // plain struct of numbers and pointers. The copy is leaked, and so outlives every use.
        let registered = unsafe {
            ffi::sqlite3_initialize();
            let beneath = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            assert!(!beneath.is_null(), "SQLite has its layer for Unix");
            let watching = Box::leak(Box::new(sqlite3_vfs {
                szOsFile: (*beneath).szOsFile + size_of::<File>() as c_int,
                zName: c"power cut".as_ptr(),
                pNext: std::ptr::null_mut(),
                xOpen: Some(xOpen),
                xDelete: Some(xDelete),
                ..*beneath
            }));
            ffi::sqlite3_vfs_register(watching, 1)
        };
        assert_eq!(registered, ffi::SQLITE_OK);
    });
}

/// Runs something, on this thread, whose files no power cut threatens: nothing waits for a disk.
pub(in crate::store) fn in_memory<R>(work: impl FnOnce() -> R) -> R {
    let before = NOTHING_SYNCS.replace(true);
    let done = work();
    NOTHING_SYNCS.set(before);
    done
}

thread_local! {
    static NOTHING_SYNCS: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread is inside a sync that SQLite asked for.
    static SQLITE_SYNCS: Cell<bool> = const { Cell::new(false) };
}

/// An open file; the one of the layer beneath follows it in memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    watched: *mut Watched,
}

struct Watched {
    disk: Arc<Disk>,
    content: usize,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(xClose),
    xRead: Some(xRead),
    xWrite: Some(xWrite),
    xTruncate: Some(xTruncate),
    xSync: Some(xSync),
    xFileSize: Some(xFileSize),
    xLock: Some(xLock),
    xUnlock: Some(xUnlock),
    xCheckReservedLock: Some(xCheckReservedLock),
    xFileControl: Some(xFileControl),
    xSectorSize: Some(xSectorSize),
    xDeviceCharacteristics: Some(xDeviceCharacteristics),
    xShmMap: Some(xShmMap),
    xShmLock: Some(xShmLock),
    xShmBarrier: Some(xShmBarrier),
    xShmUnmap: Some(xShmUnmap),
    xFetch: Some(xFetch),
    xUnfetch: Some(xUnfetch),
};

/// The file of the layer beneath.
///
/// # Safety
/// `file` was given to [`xOpen`] of the watching layer.
unsafe fn beneath(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` asks for room for both.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// Methods that only go on to the layer beneath.
macro_rules! go_on {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)+) => { $(
        unsafe extern "C" fn $name(
            file: *mut sqlite3_file,
            $($argument: $type),*
        ) $(-> $answer)? {
            // SAFETY: SQLite calls this with an open file and arguments for the same method of the
            // layer beneath, which has all methods of version 3.
            unsafe {
                let file = beneath(file);
                (*(*file).pMethods).$name.unwrap()(file, $($argument),*)
            }
        }
    )+ };
}

go_on! {
    xRead(to: *mut c_void, count: c_int, at: i64) -> c_int;
    xFileSize(size: *mut i64) -> c_int;
    xLock(level: c_int) -> c_int;
    xUnlock(level: c_int) -> c_int;
    xCheckReservedLock(answer: *mut c_int) -> c_int;
    xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    xSectorSize() -> c_int;
    xDeviceCharacteristics() -> c_int;
    xShmMap(page: c_int, size: c_int, extend: c_int, to: *mut *mut c_void) -> c_int;
    xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    xShmBarrier();
    xShmUnmap(delete: c_int) -> c_int;
    xFetch(at: i64, count: c_int, to: *mut *mut c_void) -> c_int;
    xUnfetch(at: i64, page: *mut c_void) -> c_int;
}

unsafe extern "C" fn xOpen(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: `file` has room for `szOsFile` bytes; `name` is null or ends with a null byte. The
    // layer beneath reads only `pAppData` of a `sqlite3_vfs`, and the copy has the same.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        let opened = (*unix).xOpen.unwrap()(vfs, name, beneath(file), flags, flags_out);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        let watched = (!name.is_null()).then(|| watched(CStr::from_ptr(name)));
        let watched = watched.flatten().map(|one| Box::into_raw(Box::new(one)));
        let place = file.cast::<File>();
        (*place).watched = watched.unwrap_or(std::ptr::null_mut());
        (*place).base.pMethods = &raw const METHODS;
    }
    ffi::SQLITE_OK
}

fn watched(name: &CStr) -> Option<Watched> {
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    disk::watched().into_iter().find_map(|disk| {
        let content = disk.opened(path)?;
        Some(Watched { disk, content })
    })
}

unsafe extern "C" fn xDelete(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: the arguments are those of the same method of the layer beneath.
    let deleted = unsafe {
        let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        (*unix).xDelete.unwrap()(vfs, name, sync_folder)
    };
    // SAFETY: `name` ends with a null byte.
    let name = unsafe { CStr::from_ptr(name) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    for disk in disk::watched() {
        disk.deleted(path);
    }
    deleted
}

unsafe extern "C" fn xClose(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an open file once, and uses it no more.
    unsafe {
        let watched = std::mem::replace(&mut (*file.cast::<File>()).watched, std::ptr::null_mut());
        if !watched.is_null() {
            drop(Box::from_raw(watched));
        }
        let file = beneath(file);
        (*(*file).pMethods).xClose.unwrap()(file)
    }
}

unsafe extern "C" fn xWrite(
    file: *mut sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite calls this with an open file and `count` bytes.
    unsafe {
        let real = beneath(file);
        let written = (*(*real).pMethods).xWrite.unwrap()(real, from, count, at);
        let watched = (*file.cast::<File>()).watched.as_ref();
        if let (Some(watched), ffi::SQLITE_OK) = (watched, written) {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), count as usize);
            watched.disk.wrote(watched.content, at as usize, bytes);
        }
        written
    }
}

unsafe extern "C" fn xTruncate(file: *mut sqlite3_file, length: i64) -> c_int {
    // SAFETY: SQLite calls this with an open file.
    unsafe {
        let real = beneath(file);
        let truncated = (*(*real).pMethods).xTruncate.unwrap()(real, length);
        let watched = (*file.cast::<File>()).watched.as_ref();
        if let (Some(watched), ffi::SQLITE_OK) = (watched, truncated) {
            watched.disk.truncated(watched.content, length as usize);
        }
        truncated
    }
}

unsafe extern "C" fn xSync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    SQLITE_SYNCS.set(true);
    // SAFETY: SQLite calls this with an open file.
    let synced = unsafe {
        let real = beneath(file);
        (*(*real).pMethods).xSync.unwrap()(real, flags)
    };
    SQLITE_SYNCS.set(false);
    synced
}

// SAFETY: the same call of the C library, with the same meaning for whatever is not watched.
#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    sync(descriptor, libc::SYS_fsync)
}

// SAFETY: the same call of the C library, with the same meaning for whatever is not watched.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    sync(descriptor, libc::SYS_fdatasync)
}

fn sync(descriptor: c_int, call: libc::c_long) -> c_int {
    if NOTHING_SYNCS.get() {
        return 0;
    }
    let asker = if SQLITE_SYNCS.get() {
        Asker::Sqlite
    } else {
        Asker::Store
    };
    if descriptor >= 0 {
        // SAFETY: whoever syncs a descriptor keeps it open for as long as the call takes.
        let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
        if let Ok(stat) = rustix::fs::fstat(file)
            && disk::synced((stat.st_dev, stat.st_ino), asker)
        {
            return 0;
        }
    }
    // SAFETY: a system call that takes a number and touches no memory.
    unsafe { libc::syscall(call, descriptor) as c_int }
}
