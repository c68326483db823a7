//! The store thread: one commit for many, from blocking and async callers alike.

use std::pin::pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::*;
use crate::store::conformance::{Fixture, all, group, job, register};
use crate::store::{JobFilter, Pause};

/// Blocks the store thread until the answer is dropped.
fn hold(client: &StoreClient) -> Sender<()> {
    let (release, held) = channel();
    let (entered, inside) = channel();
    client.post(Box::new(move |_| {
        entered.send(()).unwrap();
        assert!(held.recv().is_err(), "only ever dropped");
    }));
    inside.recv().unwrap();
    release
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn client(fixture: &Fixture) -> StoreClient {
    let mut store = fixture.store();
    register(&mut *store, "A");
    StoreThread::spawn(store).unwrap()
}

fn count(client: &StoreClient) -> usize {
    client.call(|store| store.jobs(&all()).unwrap().len())
}

#[test]
fn waiting_submissions_share_a_commit() {
    let fixture = Fixture::sqlite();
    let client = client(&fixture);
    let release = hold(&client);
    let waiting: Vec<_> = (0..20)
        .map(|_| client.submit_async(group(vec![job("A")])))
        .collect();
    drop(release);
    for one in waiting {
        block_on(one).unwrap();
    }
    assert_eq!(count(&client), 20);
}

#[test]
fn many_threads_submit_at_once() {
    let fixture = Fixture::sqlite();
    let client = client(&fixture);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    client.submit(group(vec![job("A")])).unwrap();
                }
            });
        }
    });
    assert_eq!(count(&client), 160);
}

#[test]
fn a_caller_sees_its_own_steps_in_order() {
    let fixture = Fixture::memory();
    let client = client(&fixture);
    client.post(Box::new(|store| {
        store.set_paused("A", Pause::Paused).unwrap();
    }));
    client.submit(group(vec![job("A")])).unwrap();
    assert_eq!(count(&client), 1);
    let paused = client.call(|store| store.dispatchers().unwrap()[0].paused);
    assert!(paused);
}

#[test]
fn a_panicking_call_goes_on_in_its_caller_only() {
    let fixture = Fixture::memory();
    let client = client(&fixture);
    let panicking = client.clone();
    let caller = thread::spawn(move || panicking.call(|_| panic!("bug")));
    assert!(caller.join().is_err());
    client.post(Box::new(|_| panic!("bug")));
    assert_eq!(count(&client), 0);
}

#[test]
fn the_thread_finishes_its_work_and_ends_with_the_last_client() {
    let fixture = Fixture::memory();
    let first = client(&fixture);
    let second = first.clone();
    let release = hold(&first);
    let (ended, end) = channel::<()>();
    second.post(Box::new(|store| {
        assert!(store.submit(&[group(vec![job("A")])])[0].is_ok());
    }));
    // Lives in the queue until the thread has taken everything that is before it.
    second.post(Box::new(move |_| drop(ended)));
    drop((first, second));
    drop(release);
    assert!(end.recv().is_err());
    let mut store = fixture.store();
    assert_eq!(
        store.jobs(&JobFilter { limit: 9, ..all() }).unwrap().len(),
        1
    );
}

#[test]
fn a_dropped_future_takes_nothing_back() {
    let fixture = Fixture::memory();
    let client = client(&fixture);
    drop(client.submit_async(group(vec![job("A")])));
    client.submit(group(vec![job("A")])).unwrap();
    assert_eq!(count(&client), 2);
}
