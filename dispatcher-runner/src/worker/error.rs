//! Why a worker cannot go on, or was used wrongly.

use std::error::Error;
use std::io;

use dispatcher_core::frame::FrameError;

/// Whatever the code of a [`Serve`](super::Serve) or a finalizer fails with.
pub type ServeError = Box<dyn Error + Send + Sync>;

/// Why a [`Worker`](super::Worker) did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No host started this process.
    #[error("RR_RELAY is not set, so there is no host to speak to")]
    NoHost,
    /// The host wants to speak over something else than pipes.
    #[error("RR_RELAY is `{relay}`; a worker speaks over `pipes` (its standard streams) only")]
    Relay {
        /// Value of `RR_RELAY`.
        relay: String,
    },
    /// The standard streams could not be moved out of the way of user code.
    #[error("the standard streams cannot be taken for the protocol")]
    Streams(#[source] io::Error),
    /// Nothing can be read from the host.
    #[error("the host cannot be read from")]
    Read(#[source] io::Error),
    /// The host does not take the answer; as a rule, because it has ended.
    #[error("the host cannot be written to")]
    Write(#[source] io::Error),
    /// The host sent what is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The host left in the middle of a frame.
    #[error("the host left in the middle of a frame, of which {bytes} bytes had arrived")]
    CutOff {
        /// Bytes of the frame that arrived.
        bytes: usize,
    },
    /// The host sent a frame that has no place there.
    #[error("the host sent {what}")]
    Unexpected {
        /// What it was.
        what: String,
    },
    /// An answer is too large for a frame.
    #[error("an answer of {bytes} bytes; a frame has room for less than 4 GiB")]
    TooLarge {
        /// Bytes of context and body.
        bytes: usize,
    },
    /// The next task was asked for before the last one was answered.
    #[error(
        "the last task has no answer yet: respond once to each payload, then wait for the next"
    )]
    Unanswered,
    /// There is no task to answer.
    #[error("there is no task to answer: respond once to each payload that was waited for")]
    NothingToAnswer,
    /// Finalizers failed; the answer was sent, and the worker takes no further task.
    #[error("finalizers failed, so this worker takes no further task: {}", .0.join("; "))]
    Finalizers(Vec<String>),
}
