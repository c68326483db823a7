//! The word to a source that it shall stop: once said, it stays said.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;

/// Tells a source when the service stops. Every copy tells the same.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Who says so.
#[derive(Debug)]
pub(super) struct StopSwitch(watch::Sender<bool>);

impl StopSwitch {
    /// A switch that nobody has used yet, and what it tells.
    pub(super) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    pub(super) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the service stops.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the service stops.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error means that nobody is left who could say it: that is a stop, too.
        let _ = receiver.wait_for(|stopped| *stopped).await.is_ok();
    }

    /// What the future comes to, or `None` once the service stops; the future is dropped then.
    ///
    /// ```
    /// # async fn beat(stop: dispatcher_runner::Stop) {
    /// use std::time::Duration;
    /// while stop.or(tokio::time::sleep(Duration::from_secs(1))).await.is_some() {
    ///     // Once a second, until the service stops.
    /// }
    /// # }
    /// ```
    pub async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut stopped = pin!(self.requested());
        poll_fn(|cx| match stopped.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }
}
