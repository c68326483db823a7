//! The store thread: one per process, so that concurrent callers share a commit.
//!
//! Whatever waits in the channel is taken at once: first the calls run, in their order, then all
//! submissions go into one [`Store::submit`]. A caller who waits for each answer therefore sees
//! its own steps in order; a submission that nobody waits for yet may be overtaken by calls.
//! Answers travel through std types only, so that blocking and async callers of any runtime work.

mod oneshot;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::future::Future;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll};
use std::{io, thread};

use self::oneshot::{Answer, Answered, oneshot};
use super::{Store, StoreError, Submission, SubmitError, Submitted};

/// Requests taken from the channel at once; bounds how long the first submission waits.
const BATCH_MAX: usize = 512;

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
    Submit(Box<Submission>, Answer<Submitting>),
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
        let done = answered.wait();
        match done.expect("invariant: the store thread outlives every handle on it") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs a step on the store thread, some time later.
    pub(crate) fn post(&self, step: Step) {
        // Refused only by a thread that has ended, which its own panic has reported.
        drop(self.requests.send(Request::Call(step)));
    }

    /// Submits a group and waits until it is durable.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub(crate) fn submit(&self, submission: Submission) -> Submitting {
        answer_or_end(self.submit_async(submission).0.wait())
    }

    /// Submits a group at once; the future is ready when it is durable.
    pub(crate) fn submit_async(&self, submission: Submission) -> SubmitFuture {
        let (answer, answered) = oneshot();
        // A refused request drops its answer, and that is an answer too.
        let request = Request::Submit(Box::new(submission), answer);
        drop(self.requests.send(request));
        SubmitFuture(answered)
    }
}

/// A submission under way. Dropping it takes nothing back.
#[must_use = "the answer says whether the jobs were accepted"]
pub(crate) struct SubmitFuture(Answered<Submitting>);

impl SubmitFuture {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// As [`Store::submit`].
    #[cfg(feature = "service")]
    pub(crate) fn wait(self) -> Submitting {
        answer_or_end(self.0.wait())
    }
}

impl Future for SubmitFuture {
    type Output = Submitting;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Submitting> {
        self.0.poll(cx.waker()).map(answer_or_end)
    }
}

fn answer_or_end(answer: Option<Submitting>) -> Submitting {
    answer.unwrap_or_else(|| {
        Err(SubmitError::Store(StoreError::Database {
            path: PathBuf::new(),
            detail: "the store thread failed; its panic was logged".to_owned(),
        }))
    })
}

fn serve(mut store: Box<dyn Store>, requests: &Receiver<Request>) {
    // Waits for a lock are shorter than what the kernel adds to a sleep; if it refuses, so be it.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    while let Ok(first) = requests.recv() {
        let mut submissions = Vec::new();
        let mut answers = Vec::new();
        let more = std::iter::from_fn(|| requests.try_recv().ok());
        for request in std::iter::once(first).chain(more).take(BATCH_MAX) {
            match request {
                Request::Call(step) => run(store.as_mut(), step),
                Request::Submit(submission, answer) => {
                    submissions.push(*submission);
                    answers.push(answer);
                }
            }
        }
        submit(store.as_mut(), &submissions, answers);
    }
}

/// A posted step has nobody to hand its panic to, and must not take the thread with it.
fn run(store: &mut dyn Store, step: Step) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| step(store))) {
        tracing::error!(
            message = said(panic.as_ref()),
            "a step on the store panicked"
        );
    }
}

fn submit(store: &mut dyn Store, submissions: &[Submission], answers: Vec<Answer<Submitting>>) {
    if submissions.is_empty() {
        return;
    }
    match catch_unwind(AssertUnwindSafe(|| store.submit(submissions))) {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                answer.give(result);
            }
        }
        // The answers are dropped, which their callers notice.
        Err(panic) => tracing::error!(message = said(panic.as_ref()), "a submission panicked"),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}
