//! How much memory a piece of work asks for, counted on its own thread.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes that were asked for in all, whether or not they were given back.
pub(crate) fn allocated<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = ALLOCATED.get();
    let done = work();
    (done, ALLOCATED.get() - before)
}

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // A thread that is ending counts no more.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

// SAFETY: everything is done by the system's allocator, with the caller's own arguments; counting
// allocates nothing, since the counter is a constant that needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the promises of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of this very function.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the promises of this very function.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[test]
fn what_is_asked_for_is_counted() {
    let (vector, bytes) = allocated(|| Vec::<u8>::with_capacity(1000));
    assert_eq!((vector.capacity(), bytes), (1000, 1000));
    assert_eq!(allocated(|| 1 + 1), (2, 0));
}
