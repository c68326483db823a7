//! The same without an async runtime: each call runs on a thread of its own, so that it may be made
//! anywhere, also in the middle of somebody's runtime.

use std::future::Future;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{
    DispatchResult, RemoteDispatcher, RemoteError, RemoteJob, RemoteResponse, RemoteStatus,
    ShouldBatch,
};

/// [`RemoteDispatcher`] for code that waits.
///
/// ```no_run
/// use dispatcher_runner::http::RemoteDispatcher;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let remote = RemoteDispatcher::from_env()?.blocking();
/// let sent = remote.dispatch(("reports.make", serde_json::json!({ "month": 7 })));
/// assert!(sent.ok, "{:?}", sent.error);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BlockingRemote(RemoteDispatcher);

impl BlockingRemote {
    pub(super) fn new(remote: RemoteDispatcher) -> Self {
        Self(remote)
    }

    /// See [`RemoteDispatcher::dispatch`].
    pub fn dispatch(&self, job: impl Into<RemoteJob>) -> DispatchResult {
        let job = job.into();
        self.or_failed(run(self.0.dispatch(job)))
    }

    /// See [`RemoteDispatcher::batch`].
    pub fn batch(
        &self,
        jobs: impl IntoIterator<Item = RemoteJob>,
        queue: Option<&str>,
        should_batch: ShouldBatch,
    ) -> DispatchResult {
        let jobs: Vec<_> = jobs.into_iter().collect();
        self.or_failed(run(self.0.batch(jobs, queue, should_batch)))
    }

    /// See [`RemoteDispatcher::job`].
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub fn job(&self, id: &str) -> Result<RemoteStatus, RemoteError> {
        run(self.0.job(id))?
    }

    /// See [`RemoteDispatcher::wait`].
    ///
    /// # Errors
    /// When it has not ended in this time, or there is no such job.
    pub fn wait(&self, id: &str, time: Duration) -> Result<RemoteStatus, RemoteError> {
        run(self.0.wait(id, time))?
    }

    /// See [`RemoteDispatcher::output`].
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub fn output(&self, id: &str) -> Result<Option<Value>, RemoteError> {
        run(self.0.output(id))?
    }

    /// See [`RemoteDispatcher::cancel`].
    ///
    /// # Errors
    /// When it had ended, or that cannot be done.
    pub fn cancel(&self, id: &str) -> Result<RemoteResponse, RemoteError> {
        run(self.0.cancel(id))?
    }

    /// See [`RemoteDispatcher::retry`].
    pub fn retry(&self, id: &str) -> DispatchResult {
        self.or_failed(run(self.0.retry(id)))
    }

    /// See [`RemoteDispatcher::batch_status`].
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub fn batch_status(&self, id: &str) -> Result<Value, RemoteError> {
        run(self.0.batch_status(id))?
    }

    /// See [`RemoteDispatcher::cancel_batch`].
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn cancel_batch(&self, id: &str) -> Result<RemoteResponse, RemoteError> {
        run(self.0.cancel_batch(id))?
    }

    fn or_failed(&self, result: Result<DispatchResult, RemoteError>) -> DispatchResult {
        result.unwrap_or_else(|error| DispatchResult::of(self.0.clone(), Err(error)))
    }
}

fn run<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, RemoteError> {
    let unsent = |error: std::io::Error| RemoteError::Unsent(error.to_string());
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("remote".to_owned());
        let running = thread.spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok(runtime.block_on(future))
        });
        match running.map_err(unsent)?.join() {
            Ok(done) => done.map_err(unsent),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
