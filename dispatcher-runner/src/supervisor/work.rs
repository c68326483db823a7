//! The conversation with the store's thread: one batch under way at a time.
//!
//! While a batch is under way the next one gathers, so the busier the supervisor, the more ends
//! and claims share a transaction.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use crate::metrics::Metrics;
use crate::store::StoreClient;

use super::clerk::{Answer, Clerk};

/// The driver's end.
pub(super) struct Work {
    store: StoreClient,
    /// Readable when an answer waits.
    bell: Arc<OwnedFd>,
    answers: (Sender<Answer>, Receiver<Answer>),
    under_way: bool,
    metrics: Option<Arc<Metrics>>,
}

impl Work {
    pub(super) fn new(store: StoreClient, metrics: Option<Arc<Metrics>>) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            store,
            bell: Arc::new(bell),
            answers: channel(),
            under_way: false,
            metrics,
        })
    }

    /// Readable when an answer waits.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Sends the gathered batch unless one is under way. The driver is woken by the answer.
    pub(super) fn send(&mut self, clerk: &mut Clerk) {
        if self.under_way {
            return;
        }
        let Some(batch) = clerk.take_batch() else {
            return;
        };
        self.under_way = true;
        let (answers, bell) = (self.answers.0.clone(), Arc::clone(&self.bell));
        let metrics = self.metrics.clone();
        self.store.post(Box::new(move |store| {
            let began = Instant::now();
            let answer = batch.perform(store);
            if let Some(metrics) = metrics {
                metrics.stored(began.elapsed());
            }
            if answers.send(answer).is_ok() {
                // It can fail only when the counter is full, and then the bell rings already.
                let _ = rustix::io::write(&bell, &1_u64.to_ne_bytes());
            }
        }));
    }

    /// The answer, if it has come.
    pub(super) fn receive(&mut self) -> Option<Answer> {
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        let answer = self.answers.1.try_recv().ok()?;
        self.under_way = false;
        Some(answer)
    }
}
