//! A service on a thread of its own, and the handle that stops it.
//!
//! No service outlives its handle.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::stage::{Phase, Stage};
use super::{Prepared, ServiceError, Wiring};
use crate::supervisor::Standing;
use crate::supervisor::desk::{Ask, Desk, Shutdown};

/// A service that was [started](super::Service::start).
///
/// Dropping it stops the service as [`stop`](Self::stop) does and waits for its end: at most about
/// the drain timeout, and what did not finish by then is queued again.
#[derive(Debug)]
#[must_use = "dropping it stops the service"]
pub struct RunningService {
    stage: Arc<Stage>,
    desk: Desk,
    drain: std::time::Duration,
    thread: Option<JoinHandle<Result<(), ServiceError>>>,
}

impl RunningService {
    pub(super) fn begin(prepared: Prepared, wiring: Wiring) -> Result<Self, ServiceError> {
        let stage = Arc::clone(&wiring.stage);
        let desk = wiring.desk.clone();
        let drain = prepared.config.drain_timeout();
        let ends = EndsStage(Arc::clone(&stage));
        let thread = std::thread::Builder::new().name("service".to_owned());
        let thread = thread.spawn(move || {
            let _ends = ends;
            prepared.serve(Standing::Guest, wiring)
        });
        Ok(Self {
            stage,
            desk,
            drain,
            thread: Some(thread.map_err(ServiceError::failed)?),
        })
    }

    /// Whether it takes work: it has begun, and was not told to end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage.phase() == Phase::Serving
    }

    /// Waits until it takes work; `false` when it has ended or is ending instead, and
    /// [`wait`](Self::wait) says why.
    #[must_use]
    pub fn wait_ready(&self) -> bool {
        self.stage.wait(Phase::Serving) == Phase::Serving
    }

    /// Tells it to end, and returns at once: nothing new is started, and what runs has the drain
    /// timeout of the configuration to finish.
    pub fn stop(&self) {
        self.desk.ask(Ask::Stop(Shutdown::Drain(self.drain)));
    }

    /// Tells it to end without waiting for what runs, which is stopped and queued again.
    pub fn stop_now(&self) {
        self.desk.ask(Ask::Stop(Shutdown::Now));
    }

    /// Waits for its end, which somebody else may bring about as well, with the command `stop`.
    ///
    /// # Errors
    /// What ended it, when nobody had told it to end.
    ///
    /// # Panics
    /// When the service panicked.
    pub fn wait(mut self) -> Result<(), ServiceError> {
        match self.join() {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }

    fn join(&mut self) -> Option<std::thread::Result<Result<(), ServiceError>>> {
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for RunningService {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        self.stop();
        if let Some(Ok(Err(error))) = self.join() {
            tracing::error!(error = %crate::log::chain(&error), "the service failed");
        }
    }
}

/// Whoever waits for a service that panicked waits no longer.
struct EndsStage(Arc<Stage>);

impl Drop for EndsStage {
    fn drop(&mut self) {
        self.0.reach(Phase::Ended);
    }
}
