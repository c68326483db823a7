//! One value from one thread to one receiver, which blocks or polls; std types only.
//!
//! The receiver always ends: an answer that is dropped without a value says so.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The side that gives.
pub(super) struct Answer<T>(Arc<Shared<T>>);

/// The side that waits.
pub(super) struct Answered<T>(Arc<Shared<T>>);

pub(super) fn oneshot<T>() -> (Answer<T>, Answered<T>) {
    let shared = Arc::new(Shared {
        slot: Mutex::new(Slot {
            value: None,
            settled: false,
            waker: None,
        }),
        given: Condvar::new(),
    });
    (Answer(Arc::clone(&shared)), Answered(shared))
}

impl<T> Answer<T> {
    pub(super) fn give(self, value: T) {
        self.0.slot().value = Some(value);
        // Dropping wakes the receiver.
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.slot();
            slot.settled = true;
            slot.waker.take()
        };
        self.0.given.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Answered<T> {
    /// Blocks until there is a value, or can be none any more.
    pub(super) fn wait(self) -> Option<T> {
        let slot = self.0.slot();
        let settled = self.0.given.wait_while(slot, |slot| !slot.settled);
        settled.unwrap_or_else(PoisonError::into_inner).value.take()
    }

    pub(super) fn poll(&self, waker: &Waker) -> Poll<Option<T>> {
        let mut slot = self.0.slot();
        if slot.settled {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(waker.clone());
        Poll::Pending
    }
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    given: Condvar,
}

struct Slot<T> {
    value: Option<T>,
    settled: bool,
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        // Nothing under this lock can panic.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
