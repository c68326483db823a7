//! One queue for all connections: what was sent first is stored first.
//!
//! A connection is read on when what it said is stored.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::sources::dispatcherd::{Arrival, Intake, Reply};

/// Batches that wait, at most; connections wait then.
const WAITING_MAX: usize = 256;

/// What a connection has said, and who waits for the replies.
struct Said {
    arrivals: Vec<Arrival>,
    replies: oneshot::Sender<Vec<Reply>>,
}

/// The end of connections.
#[derive(Clone)]
pub(super) struct Queue(mpsc::Sender<Said>);

/// The other end.
pub(super) struct Taker(mpsc::Receiver<Said>);

pub(super) fn queue() -> (Queue, Taker) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Queue(sender), Taker(receiver))
}

impl Queue {
    /// Waits until everything is stored and done; the replies.
    pub(super) async fn take(&self, arrivals: Vec<Arrival>) -> Vec<Reply> {
        let (replies, answer) = oneshot::channel();
        // Refused only when the source is gone, and with it this connection.
        drop(self.0.send(Said { arrivals, replies }).await);
        answer.await.unwrap_or_default()
    }
}

impl Taker {
    /// Takes what has come, until every connection has ended.
    pub(super) async fn run(mut self, intake: Arc<Intake>) {
        let mut said = Vec::new();
        while self.0.recv_many(&mut said, WAITING_MAX).await > 0 {
            let (batches, waiting): (Vec<_>, Vec<_>) =
                said.drain(..).map(|it| (it.arrivals, it.replies)).unzip();
            let answers = intake.take(batches).await;
            for (waiting, replies) in waiting.into_iter().zip(answers) {
                // Who has gone meanwhile wants none.
                drop(waiting.send(replies));
            }
        }
    }
}
