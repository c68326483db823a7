//! An answer in pieces, which the host may cut short.
//!
//! Every stream ends with one frame without the STREAM bit, a cancelled one too: that frame is the
//! answer that each task has.

use dispatcher_core::frame::Frame;

use super::{Heard, Worker, WorkerError, task};

/// An answer in pieces. Dropped without [`Stream::finish`], it leaves the task unanswered.
///
/// ```
/// use dispatcher_runner::worker::{Wanted, Worker, WorkerError};
/// fn count(worker: &mut Worker) -> Result<(), WorkerError> {
///     let mut stream = worker.stream()?;
///     for number in 0..1_000 {
///         if stream.send(number.to_string())? == Wanted::Enough {
///             break;
///         }
///     }
///     stream.finish(b"")
/// }
/// ```
#[derive(Debug)]
pub struct Stream<'worker> {
    worker: &'worker mut Worker,
    wanted: Wanted,
}

/// Whether the host wants the rest of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Wanted {
    /// It does.
    More,
    /// It has cancelled: finish the stream. What is sent before that is dropped.
    Enough,
}

impl<'worker> Stream<'worker> {
    pub(super) fn of(worker: &'worker mut Worker) -> Self {
        Self {
            worker,
            wanted: Wanted::More,
        }
    }

    /// Sends a piece, and looks whether the host has cancelled by now.
    ///
    /// # Errors
    /// When the host does not take it, or says what it must not.
    pub fn send(&mut self, body: impl AsRef<[u8]>) -> Result<Wanted, WorkerError> {
        self.send_with(b"", body)
    }

    /// Sends a piece with a context.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub fn send_with(
        &mut self,
        context: impl AsRef<[u8]>,
        body: impl AsRef<[u8]>,
    ) -> Result<Wanted, WorkerError> {
        self.chunk(context.as_ref(), body.as_ref(), Frame::STREAM)?;
        while self.wanted == Wanted::More
            && let Some(frame) = self.worker.relay.arrived()?
        {
            self.hear(frame)?;
        }
        Ok(self.wanted)
    }

    /// Sends a piece and waits until the host says that it is there, or cancels.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub fn ping(&mut self, body: impl AsRef<[u8]>) -> Result<Wanted, WorkerError> {
        self.chunk(b"", body.as_ref(), Frame::STREAM | Frame::PING)?;
        while self.wanted == Wanted::More {
            let Some(frame) = self.worker.relay.receive()? else {
                self.wanted = Wanted::Enough;
                break;
            };
            if let Heard::Pong = self.hear(frame)? {
                break;
            }
        }
        Ok(self.wanted)
    }

    /// Sends the last piece, which may be empty. Then the task is answered.
    ///
    /// # Errors
    /// As [`Worker::respond`].
    pub fn finish(self, body: impl AsRef<[u8]>) -> Result<(), WorkerError> {
        self.worker.respond(body)
    }

    fn chunk(&mut self, context: &[u8], body: &[u8], bits: u8) -> Result<(), WorkerError> {
        if self.wanted == Wanted::Enough {
            return Ok(());
        }
        let mut frame = task(context, body)?;
        frame.stream = bits;
        self.worker.relay.send(&frame)
    }

    fn hear(&mut self, frame: Frame) -> Result<Heard, WorkerError> {
        let heard = self.worker.hear(frame)?;
        match heard {
            Heard::Task(_) => {
                let what = "a task while it was still being answered".to_owned();
                return Err(WorkerError::Unexpected { what });
            }
            Heard::Stop => {
                self.worker.stop_asked = true;
                self.wanted = Wanted::Enough;
            }
            Heard::Cancel => self.wanted = Wanted::Enough,
            Heard::Pong | Heard::Nothing => {}
        }
        Ok(heard)
    }
}
