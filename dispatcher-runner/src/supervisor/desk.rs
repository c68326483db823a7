//! What the rest of a service asks of its supervisor while it runs.
//!
//! Asking never waits: a request is put into the supervisor's inbox and its bell is rung; the
//! answer comes through the callback, on the supervisor's thread.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use dispatcher_core::JobId;
use rustix::event::{EventfdFlags, eventfd};

pub(crate) use dispatcher_core::engine::Shutdown;

use crate::pool::{ExecError, Part, PoolRequest};

/// Something that is asked of a running supervisor.
pub(crate) enum Ask {
    /// One request to a pool.
    #[cfg_attr(
        not(any(feature = "service", test)),
        expect(dead_code, reason = "only sources ask pools directly")
    )]
    Exec(PoolRequest),
    /// What it does now.
    Look(Box<dyn FnOnce(Look) + Send>),
    /// New workers for one pool, or for all; the old ones stay if there are none.
    Reset {
        pool: Option<String>,
        answer: Box<dyn FnOnce(Result<(), String>) + Send>,
    },
    /// It shall end.
    Stop(Shutdown),
}

/// What a supervisor does now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    /// Whether it takes work.
    pub(crate) serving: bool,
    pub(crate) slots: u32,
    pub(crate) pools: Vec<PoolLook>,
    pub(crate) workers: Vec<WorkerLook>,
}

/// What a pool does now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PoolLook {
    pub(crate) name: String,
    /// Requests without a worker.
    pub(crate) waiting: u64,
    /// Tasks in workers.
    pub(crate) running: u64,
    /// Why it is degraded.
    pub(crate) degraded: Option<String>,
    /// Workers that were replaced, by reason.
    pub(crate) restarts: BTreeMap<&'static str, u64>,
}

/// A worker that lives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkerLook {
    /// Its number among the workers of this supervisor.
    pub(crate) id: u32,
    /// Name of its pool; `None` for one that serves one job only.
    pub(crate) pool: Option<String>,
    pub(crate) pid: Option<u32>,
    /// `starting`, `ready`, `working`, `stopping`.
    pub(crate) state: &'static str,
    /// Job that it serves, and the name of its dispatcher.
    pub(crate) job: Option<(JobId, String)>,
    /// Tasks that it has served.
    pub(crate) served: u64,
    pub(crate) age: Duration,
    /// Time since its last task ended.
    pub(crate) idle: Option<Duration>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) cpu: Option<Duration>,
}

/// Where requests are handed in; every copy leads to the same supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    asks: Sender<Ask>,
    bell: Arc<OwnedFd>,
}

/// The supervisor's end.
pub(crate) struct Inbox {
    asks: Receiver<Ask>,
    bell: Arc<OwnedFd>,
}

/// A desk and its inbox.
///
/// # Errors
/// When there is no descriptor for the bell.
pub(crate) fn desk() -> io::Result<(Desk, Inbox)> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let bell = Arc::new(eventfd(0, flags)?);
    let (sender, receiver) = channel();
    let desk = Desk {
        asks: sender,
        bell: Arc::clone(&bell),
    };
    let asks = receiver;
    Ok((desk, Inbox { asks, bell }))
}

impl Desk {
    /// Hands a request in. Of a supervisor that has ended the answer is at once that it ends.
    pub(crate) fn ask(&self, ask: Ask) {
        match self.asks.send(ask) {
            // It can fail only when the counter is full, and then the bell rings already.
            Ok(()) => drop(rustix::io::write(&self.bell, &1_u64.to_ne_bytes())),
            Err(refused) => refused.0.refuse(),
        }
    }
}

impl Ask {
    /// Answers that nothing can be done any more.
    pub(crate) fn refuse(self) {
        match self {
            Self::Exec(mut request) => {
                (request.answer)(Part::End(Err(ExecError::Stopping)));
            }
            Self::Reset { answer, .. } => answer(Err("the service is stopping".into())),
            Self::Look(_) | Self::Stop(_) => {}
        }
    }
}

impl Inbox {
    /// Readable when a request waits.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The requests that have come.
    pub(crate) fn take(&self) -> Vec<Ask> {
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        self.asks.try_iter().collect()
    }
}

/// Whatever was not taken is answered.
impl Drop for Inbox {
    fn drop(&mut self) {
        for ask in self.asks.try_iter() {
            ask.refuse();
        }
    }
}
