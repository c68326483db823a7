//! The store thread: one per process, so that concurrent callers share a commit.
//!
//! Whatever waits in the channel is taken at once: first the calls run, in their order, then all
//! submissions go into one [`Store::submit`]. A caller who waits for each answer therefore sees
//! its own steps in order; a submission that nobody waits for yet may be overtaken by calls.
//! Answers travel through std types only, so that blocking and async callers of any runtime work.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{io, thread};

use super::{Store, StoreError, Submission, SubmitError, Submitted};

/// Submissions that share one commit, at most; bounds how long the first one waits.
const GROUPS_MAX: usize = 512;

type Submitting = Result<Submitted, SubmitError>;
type Step = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// A store on a thread of its own.
pub(crate) struct StoreThread;

/// A handle on the store thread, which ends with the last handle, after everything it was given.
#[derive(Clone)]
pub(crate) struct StoreClient {
    requests: Sender<Request>,
}

enum Request {
    Submit(Submission, Answer<Submitting>),
    Call(Step),
}

impl StoreThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn spawn(store: Box<dyn Store>) -> io::Result<StoreClient> {
        let (requests, received) = channel();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(store, &received))?;
        Ok(StoreClient { requests })
    }
}

impl StoreClient {
    /// Runs a step on the store thread and waits for its answer. A panic in it goes on here.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        step: impl FnOnce(&mut dyn Store) -> R + Send + 'static,
    ) -> R {
        let (answer, answered) = oneshot();
        self.post(Box::new(move |store| {
            answer.give(catch_unwind(AssertUnwindSafe(|| step(store))));
        }));
        match answered.wait() {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic.0),
        }
    }

    /// Runs a step on the store thread, some time later.
    pub(crate) fn post(&self, step: Step) {
        let sent = self.requests.send(Request::Call(step));
        assert!(
            sent.is_ok(),
            "invariant: the store thread lives as long as a handle on it"
        );
    }

    /// Submits a group and waits until it is durable.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub(crate) fn submit(&self, submission: Submission) -> Submitting {
        self.submit_async(submission).0.wait()
    }

    /// Submits a group at once; the future is ready when it is durable.
    pub(crate) fn submit_async(&self, submission: Submission) -> SubmitFuture {
        let (answer, answered) = oneshot();
        let sent = self.requests.send(Request::Submit(submission, answer));
        assert!(
            sent.is_ok(),
            "invariant: the store thread lives as long as a handle on it"
        );
        SubmitFuture(answered)
    }
}

/// A submission under way. Dropping it takes nothing back.
#[must_use = "the answer says whether the jobs were accepted"]
pub(crate) struct SubmitFuture(Answered<Submitting>);

impl Future for SubmitFuture {
    type Output = Submitting;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Submitting> {
        self.0.poll(cx.waker())
    }
}

fn serve(mut store: Box<dyn Store>, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut submissions = Vec::new();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Call(step) => run(store.as_mut(), step),
                Request::Submit(submission, answer) => {
                    submissions.push(submission);
                    answers.push(answer);
                }
            }
            if submissions.len() == GROUPS_MAX {
                break;
            }
            next = requests.try_recv().ok();
        }
        submit(store.as_mut(), &submissions, answers);
    }
}

/// A posted step has nobody to hand its panic to, and must not take the thread with it.
fn run(store: &mut dyn Store, step: Step) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| step(store))) {
        tracing::error!(message = said(panic.as_ref()), "a step on the store panicked");
    }
}

fn submit(
    store: &mut dyn Store,
    submissions: &[Submission],
    answers: Vec<Answer<Submitting>>,
) {
    if submissions.is_empty() {
        return;
    }
    match catch_unwind(AssertUnwindSafe(|| store.submit(submissions))) {
        Ok(results) => {
            assert_eq!(
                results.len(),
                answers.len(),
                "invariant: a store answers every group"
            );
            for (answer, result) in answers.into_iter().zip(results) {
                answer.give(Ok(result));
            }
        }
        Err(panic) => {
            let detail = format!("the store panicked: {}", said(panic.as_ref()));
            for answer in answers {
                let error = StoreError::Database {
                    path: std::path::PathBuf::new(),
                    detail: detail.clone(),
                };
                answer.give(Ok(Err(error.into())));
            }
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// Sends one value to one receiver, which blocks or polls.
fn oneshot<T>() -> (Answer<T>, Answered<T>) {
    let shared = Arc::new(Shared {
        slot: Mutex::new(Slot {
            value: None,
            waker: None,
        }),
        given: Condvar::new(),
    });
    (Answer(Arc::clone(&shared)), Answered(shared))
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    given: Condvar,
}

struct Slot<T> {
    value: Option<Result<T, Panicked>>,
    waker: Option<Waker>,
}

/// What a step left behind when it panicked.
struct Panicked(Box<dyn Any + Send>);

struct Answer<T>(Arc<Shared<T>>);
struct Answered<T>(Arc<Shared<T>>);

impl<T> Shared<T> {
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        // Nothing under this lock can panic.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
