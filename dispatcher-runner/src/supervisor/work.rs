//! The conversation with the store's thread: one batch under way at a time.
//!
//! While a batch is under way the next one gathers, so the busier the supervisor, the more ends
//! and claims share a transaction. Ends go before claims, so a claim sees the freed capacity.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use dispatcher_core::engine::WorkerId;
use rustix::event::{EventfdFlags, eventfd};

use crate::store::{
    Cancellation, Claim, ClaimRequest, HandOver, ProgressNote, Record, Serves, StoreClient,
    StoreError, SupervisorId,
};

/// What the next batch will ask.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<(WorkerId, Record)>,
    pub(super) notes: Vec<ProgressNote>,
    pub(super) claim: Option<ClaimRequest>,
    pub(super) cancellations: bool,
    pub(super) close: Option<Close>,
}

/// How the supervisor's row is to be closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    IfIdle,
    /// If this newer one takes over.
    For(SupervisorId),
    Anyway,
}

/// What became of a row that was to be closed.
pub(super) enum Closed {
    Yes,
    No,
    /// It stays open for these dispatchers only.
    Narrowed(Vec<String>),
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.notes.is_empty()
            && self.claim.is_none()
            && !self.cancellations
            && self.close.is_none()
    }
}

/// Ends that the store could not take; they are told again.
pub(super) struct Unrecorded {
    pub(super) workers: Vec<WorkerId>,
    pub(super) error: StoreError,
}

/// Whose ends are on record.
type Recorded = Result<Vec<WorkerId>, Unrecorded>;
/// Work, if it was asked for.
type Claimed = Option<Result<Claim, StoreError>>;

/// What the store said.
pub(super) struct Answer {
    pub(super) records: Recorded,
    pub(super) claim: Claimed,
    pub(super) cancellations: Vec<Cancellation>,
    pub(super) closed: Option<Result<Closed, StoreError>>,
}

/// The driver's end.
pub(super) struct Work {
    store: StoreClient,
    supervisor: SupervisorId,
    pub(super) serves: Serves,
    /// Readable when an answer waits.
    bell: Arc<OwnedFd>,
    answers: (Sender<Answer>, Receiver<Answer>),
    under_way: bool,
    pub(super) next: Batch,
}

impl Work {
    pub(super) fn new(
        store: StoreClient,
        supervisor: SupervisorId,
        serves: Serves,
    ) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            store,
            supervisor,
            serves,
            bell: Arc::new(bell),
            answers: channel(),
            under_way: false,
            next: Batch::default(),
        })
    }

    /// Readable when an answer waits.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Sends the gathered batch unless one is under way. The driver is woken by the answer.
    pub(super) fn send(&mut self) {
        if self.under_way || self.next.is_empty() {
            return;
        }
        self.under_way = true;
        let batch = std::mem::take(&mut self.next);
        let (supervisor, serves) = (self.supervisor, self.serves.clone());
        let (answers, bell) = (self.answers.0.clone(), Arc::clone(&self.bell));
        self.store.post(Box::new(move |store| {
            let answer = perform(store, batch, supervisor, &serves);
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

/// In one transaction where that works; otherwise neither must fail for the other's reason.
fn record_and_claim(
    store: &mut dyn crate::store::Store,
    records: Vec<(WorkerId, Record)>,
    request: Option<ClaimRequest>,
) -> (Recorded, Claimed) {
    let (workers, records): (Vec<WorkerId>, Vec<Record>) = records.into_iter().unzip();
    if records.is_empty() {
        return (Ok(workers), request.map(|request| store.claim(&request)));
    }
    if let Some(request) = &request
        && let Ok((_, claim)) = store.record_and_claim(&records, request)
    {
        return (Ok(workers), Some(Ok(claim)));
    }
    let recorded = match store.record(&records) {
        // A stale token changes nothing, and somebody else answers for the job then.
        Ok(_) => Ok(workers),
        Err(error) => Err(Unrecorded { workers, error }),
    };
    (recorded, request.map(|request| store.claim(&request)))
}

fn perform(
    store: &mut dyn crate::store::Store,
    batch: Batch,
    supervisor: SupervisorId,
    serves: &Serves,
) -> Answer {
    let (records, claim) = record_and_claim(store, batch.records, batch.claim);
    if !batch.notes.is_empty()
        && let Err(error) = store.note_progress(&batch.notes)
    {
        tracing::warn!(%error, "progress was not noted");
    }
    let cancellations = if batch.cancellations {
        store.cancellations(supervisor).unwrap_or_else(|error| {
            tracing::error!(%error, "cancellations cannot be read; asked again at the next wake-up");
            Vec::new()
        })
    } else {
        Vec::new()
    };
    let closed = batch
        .close
        .map(|close| close_row(store, close, supervisor, serves));
    Answer {
        records,
        claim,
        cancellations,
        closed,
    }
}

fn close_row(
    store: &mut dyn crate::store::Store,
    close: Close,
    supervisor: SupervisorId,
    serves: &Serves,
) -> Result<Closed, StoreError> {
    Ok(match close {
        Close::IfIdle => match store.close_supervisor_if_idle(supervisor, serves)? {
            true => Closed::Yes,
            false => Closed::No,
        },
        Close::For(newer) => match store.hand_over(supervisor, serves, newer)? {
            HandOver::Closed => Closed::Yes,
            HandOver::Refused => Closed::No,
            HandOver::Narrowed(names) => Closed::Narrowed(names),
        },
        Close::Anyway => {
            store.close_supervisor(supervisor)?;
            Closed::Yes
        }
    })
}
