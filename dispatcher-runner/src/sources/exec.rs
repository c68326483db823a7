//! Direct requests to a pool: one reply, or the pieces of a stream.
//!
//! The answer comes on the supervisor's thread, which never waits: what a slow reader has not
//! taken is held, up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::host::Host;
use crate::pool::{ExecError, Part, PoolRequest, Reply, Wish};

/// Bytes of an answer that are held for whoever reads it.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a worker of a pool is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolTask {
    /// Name of the pool; `None` is the source's own.
    pub pool: Option<String>,
    /// What the body is: a flag of the frame, such as [`Frame::JSON`](dispatcher_core::frame::Frame::JSON), or 0.
    pub flags: u8,
    /// What the worker needs to know beside the body.
    pub context: Vec<u8>,
    /// What is asked.
    pub body: Vec<u8>,
}

impl Host {
    /// Asks a worker of the source's own pool, and waits for its reply. Nothing of it is stored.
    ///
    /// # Errors
    /// Why there is no reply; the worker may have done its work nevertheless.
    pub async fn exec(
        &self,
        context: impl Into<Vec<u8>> + Send,
        body: impl Into<Vec<u8>> + Send,
    ) -> Result<Reply, ExecError> {
        let (context, body) = (context.into(), body.into());
        self.exec_task(PoolTask {
            context,
            body,
            ..PoolTask::default()
        })
        .await
    }

    /// Asks a worker of another pool.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_on(
        &self,
        pool: &str,
        context: impl Into<Vec<u8>> + Send,
        body: impl Into<Vec<u8>> + Send,
    ) -> Result<Reply, ExecError> {
        let (context, body) = (context.into(), body.into());
        self.exec_task(PoolTask {
            pool: Some(pool.to_owned()),
            context,
            body,
            ..PoolTask::default()
        })
        .await
    }

    /// Asks a worker, with everything that can be said. A reply that comes as a stream is put
    /// together.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_task(&self, task: PoolTask) -> Result<Reply, ExecError> {
        let mut chunks = self.exec_stream(task)?;
        let mut body = Vec::new();
        loop {
            match chunks.part().await {
                Part::Chunk(chunk) if body.len() + chunk.len() > HELD_BYTES_MAX => {
                    return Err(too_much());
                }
                Part::Chunk(chunk) => body.extend(chunk),
                Part::End(Ok(mut reply)) => {
                    if !body.is_empty() {
                        body.append(&mut reply.body);
                        reply.body = body;
                    }
                    return Ok(reply);
                }
                Part::End(Err(error)) => return Err(error),
            }
        }
    }

    /// Asks a worker that answers in pieces. Dropping what this answers cancels the rest.
    ///
    /// # Errors
    /// When neither the task nor the source's section names a pool.
    pub fn exec_stream(&self, task: PoolTask) -> Result<Chunks, ExecError> {
        let pool = task.pool.or_else(|| self.pool().map(str::to_owned));
        let Some(pool) = pool else {
            let section = format!("of the section [sources.{}], which names none", self.name());
            return Err(ExecError::NoSuchPool(section));
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let held = Arc::new(AtomicUsize::new(0));
        let mut teller = Some(Teller {
            sender,
            held: Arc::clone(&held),
        });
        self.hand_in(PoolRequest {
            pool,
            flags: task.flags,
            context: task.context,
            body: task.body,
            answer: Box::new(move |part| {
                let wish = teller.as_ref().map_or(Wish::Enough, |it| it.tell(part));
                if wish == Wish::Enough {
                    teller = None;
                }
                wish
            }),
        });
        Ok(Chunks {
            receiver,
            held,
            over: false,
        })
    }
}

/// The supervisor's end of an answer.
struct Teller {
    sender: mpsc::UnboundedSender<Part>,
    held: Arc<AtomicUsize>,
}

impl Teller {
    fn tell(&self, part: Part) -> Wish {
        let bytes = match &part {
            Part::Chunk(chunk) => chunk.len(),
            Part::End(_) => 0,
        };
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        // One chunk always fits: a worker's frames have a limit of their own.
        let (part, wish) = if before > 0 && before + bytes > HELD_BYTES_MAX {
            (Part::End(Err(too_much())), Wish::Enough)
        } else {
            (part, Wish::More)
        };
        match self.sender.send(part) {
            Ok(()) => wish,
            Err(_) => Wish::Enough,
        }
    }
}

fn too_much() -> ExecError {
    ExecError::Refused(format!(
        "more than {} MiB of the answer were not read in time; the rest was cancelled",
        HELD_BYTES_MAX >> 20
    ))
}

/// A worker's answer, piece by piece.
#[derive(Debug)]
#[must_use = "dropping it cancels the answer"]
pub struct Chunks {
    receiver: mpsc::UnboundedReceiver<Part>,
    held: Arc<AtomicUsize>,
    over: bool,
}

impl Chunks {
    /// The next piece, or the reason why there are no more; `None` after the last one.
    ///
    /// # Errors
    /// Why the answer ends too early.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ExecError>> {
        if self.over {
            return None;
        }
        match self.part().await {
            Part::Chunk(chunk) => Some(Ok(chunk)),
            Part::End(Ok(reply)) if reply.body.is_empty() => None,
            Part::End(Ok(reply)) => Some(Ok(reply.body)),
            Part::End(Err(error)) => Some(Err(error)),
        }
    }

    async fn part(&mut self) -> Part {
        let received = self.receiver.recv().await;
        // A supervisor that has ended answers nobody.
        let part = received.unwrap_or(Part::End(Err(ExecError::Stopping)));
        match &part {
            Part::Chunk(chunk) => drop(self.held.fetch_sub(chunk.len(), Ordering::Relaxed)),
            Part::End(_) => self.over = true,
        }
        part
    }
}
