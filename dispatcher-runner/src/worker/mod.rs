//! Makes a Rust program a worker of any Goridge host: RoadRunner, or a pool of Dispatcher.
//!
//! The host starts the program with `RR_RELAY=pipes` and `RR_MODE=<source>` and sends tasks over its
//! standard streams, one at a time; each is answered exactly once. Which code serves the process is
//! found by asking every [`Serve`] of the program:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use dispatcher_runner::register_serve;
//! use dispatcher_runner::worker::{Environment, Kernel, Serve, ServeError, Worker};
//!
//! #[derive(Default)]
//! struct Ticker;
//!
//! impl Serve for Ticker {
//!     fn can_serve(&self, environment: &Environment) -> bool {
//!         environment.mode == "ticker"
//!     }
//!
//!     fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
//!         while let Some(payload) = worker.wait_payload()? {
//!             println!("{} bytes", payload.body.len());   // to stderr: the protocol is out of reach
//!             worker.respond(b"OK")?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! register_serve!(Ticker);
//!
//! fn main() -> ExitCode {
//!     dispatcher_runner::init();                          // first, as in every program
//!     if Environment::of_process().has_host() {
//!         return Kernel::linked().run();                  // before anything is printed
//!     }
//!     dispatcher_runner::main()
//! }
//! ```
//!
//! [`init`](crate::init) comes first, so that copies of the program that were re-executed as keeper
//! or worker never get to the kernel, and a worker can send jobs like any other program. A program
//! that is nothing but a worker needs only `Kernel::linked().run()`.
//!
//! A soft error ([`Worker::error`]) fails the task and keeps the worker. Whatever else goes wrong
//! (a panic, an error that [`Serve::serve`] returns) is told to the host as the answer to the task
//! in hand, if there is one, and ends the process with an exit code that is not 0.

mod environment;
mod error;
mod finalizers;
mod pool;
mod relay;
mod serve;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{Read, Write};

use dispatcher_core::Panic;
use dispatcher_core::frame::Frame;
use dispatcher_core::limits::MESSAGE_BYTES_MAX;

pub use environment::Environment;
pub use error::{ServeError, WorkerError};
use finalizers::{Finalizers, Round};
pub(crate) use pool::serve_pool;
pub(crate) use relay::Relay;
use relay::{Pipes, Streams};
pub use serve::{Kernel, KernelError, Serve};
pub use stream::{Stream, Wanted};

/// What [`register_serve!`](crate::register_serve) calls. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use dispatcher_core::__private::inventory;

    pub use super::serve::Registration;
}

/// Largest payload that a worker accepts unless it is told otherwise; as a pool's `max_frame`.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A task, or an answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// What the body is: [`Frame::JSON`], [`Frame::PROTO`], … or 0.
    pub flags: u8,
    /// What belongs to the task and is not its body; JSON as a rule, empty if there is none.
    pub context: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// This process, as its host sees it: gets one task at a time and answers each once.
///
/// ```
/// use dispatcher_core::frame::Frame;
/// use dispatcher_runner::worker::{Environment, Worker};
/// let mut sent = Vec::new();
/// Frame::task(b"", b"Ann").encode(&mut sent);
/// let mut worker = Worker::new(Environment::default(), std::io::Cursor::new(sent), Vec::new());
/// while let Some(payload) = worker.wait_payload()? {
///     worker.respond([b"hello ", &payload.body[..]].concat())?;
/// }
/// # Ok::<(), dispatcher_runner::worker::WorkerError>(())
/// ```
pub struct Worker {
    environment: Environment,
    relay: Box<dyn Relay>,
    finalizers: Finalizers,
    stands: Stands,
    /// The host asked for the end while it was listened to for something else.
    stop_asked: bool,
    /// Whether the last round of finalizers was run.
    finalized: bool,
    /// What finalizers failed with; nothing is served any more where there is something.
    failures: Vec<String>,
}

/// Where a worker stands between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Nothing is to be answered.
    Idle,
    /// A task is to be answered.
    Busy,
    /// There is no further task.
    Ended,
}

/// What a frame from the host means.
enum Heard {
    Task(Payload),
    /// The host asks for the end.
    Stop,
    /// The host wants no more of the stream.
    Cancel,
    Pong,
    /// It was dealt with.
    Nothing,
}

impl Worker {
    /// The worker that this process is, over its standard streams. From then on descriptor 0 is
    /// `/dev/null` and 1 is standard error, so that nothing printed disturbs the protocol; what is
    /// printed before does.
    ///
    /// # Errors
    /// When `RR_RELAY` is absent or not `pipes`, or the streams cannot be moved.
    pub fn from_environment() -> Result<Self, WorkerError> {
        let environment = Environment::of_process();
        match environment.relay.as_str() {
            "" => Err(WorkerError::NoHost),
            "pipes" => {
                let relay = Pipes::take(PAYLOAD_BYTES_MAX)?;
                Ok(Self::over(environment, Box::new(relay)))
            }
            relay => Err(WorkerError::Relay {
                relay: relay.to_owned(),
            }),
        }
    }

    /// A worker over any two streams of bytes, for tests and other hosts. It cannot look without
    /// waiting, so a cancelled stream is noticed at the next [`Stream::ping`] only.
    pub fn new(
        environment: Environment,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
    ) -> Self {
        let relay = Streams::new(input, output, PAYLOAD_BYTES_MAX);
        Self::over(environment, Box::new(relay))
    }

    pub(crate) fn over(environment: Environment, relay: Box<dyn Relay>) -> Self {
        Self {
            environment,
            relay,
            finalizers: Finalizers::default(),
            stands: Stands::Idle,
            stop_asked: false,
            finalized: false,
            failures: Vec::new(),
        }
    }

    /// What the host said at the start.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Adds a function that puts shared state back. It runs after each answer, before the next task
    /// is looked at, with `false`; and once with `true` before the worker ends. All finalizers run
    /// whatever becomes of the others. If one fails or panics, the worker takes no further task.
    pub fn finalizer<F, E>(&mut self, mut finalizer: F)
    where
        F: FnMut(bool) -> Result<(), E> + Send + 'static,
        E: Into<ServeError>,
    {
        let run = move |last| finalizer(last).map_err(Into::into);
        self.finalizers.add(Box::new(run));
    }

    /// Waits for the next task; `None` when the host asks for the end or is gone.
    ///
    /// # Errors
    /// When the last task has no answer, the host sends what it must not, or finalizers fail.
    pub fn wait_payload(&mut self) -> Result<Option<Payload>, WorkerError> {
        match self.stands {
            Stands::Busy => return Err(WorkerError::Unanswered),
            Stands::Ended => return self.end().map(|()| None),
            Stands::Idle => {}
        }
        while !self.stop_asked {
            let Some(frame) = self.relay.receive()? else {
                break;
            };
            match self.hear(frame)? {
                Heard::Task(payload) => {
                    self.stands = Stands::Busy;
                    return Ok(Some(payload));
                }
                Heard::Stop => break,
                // Late: they crossed the end of the stream that they are about.
                Heard::Cancel | Heard::Pong | Heard::Nothing => {}
            }
        }
        self.end().map(|()| None)
    }

    /// Answers the task.
    ///
    /// # Errors
    /// When there is no task to answer, the host does not take it, or finalizers fail; these run
    /// once the answer is sent.
    pub fn respond(&mut self, body: impl AsRef<[u8]>) -> Result<(), WorkerError> {
        self.respond_with(b"", body)
    }

    /// Answers the task with a context and a body.
    ///
    /// # Errors
    /// As [`Worker::respond`].
    pub fn respond_with(
        &mut self,
        context: impl AsRef<[u8]>,
        body: impl AsRef<[u8]>,
    ) -> Result<(), WorkerError> {
        self.answer(task(context.as_ref(), body.as_ref())?)
    }

    /// Answers the task with a body that is said to be of a kind, such as [`Frame::PROTO`].
    ///
    /// # Errors
    /// As [`Worker::respond`].
    pub fn respond_payload(&mut self, payload: &Payload) -> Result<(), WorkerError> {
        let mut frame = task(&payload.context, &payload.body)?;
        frame.flags = payload.flags & !(Frame::CONTROL | Frame::ERROR);
        self.answer(frame)
    }

    /// Answers that the task failed. The worker lives on.
    ///
    /// # Errors
    /// As [`Worker::respond`].
    pub fn error(&mut self, text: impl fmt::Display) -> Result<(), WorkerError> {
        let mut text = text.to_string();
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        self.answer(Frame::error(text))
    }

    /// Answers with the wish to be stopped. The host gives the task to another worker, then asks
    /// this one to end: go on waiting for payloads.
    ///
    /// # Errors
    /// As [`Worker::respond`].
    pub fn ask_to_stop(&mut self) -> Result<(), WorkerError> {
        self.answer(Frame::stop_reply())
    }

    /// Answers the task in pieces.
    ///
    /// # Errors
    /// When there is no task to answer.
    pub fn stream(&mut self) -> Result<Stream<'_>, WorkerError> {
        self.must_be_busy()?;
        Ok(Stream::of(self))
    }

    /// Whether a task waits for its answer.
    pub(crate) fn is_busy(&self) -> bool {
        self.stands == Stands::Busy
    }

    /// Takes no further task, and runs the finalizers for the last time.
    pub(crate) fn end(&mut self) -> Result<(), WorkerError> {
        self.stands = Stands::Ended;
        if !self.finalized {
            self.finalized = true;
            self.failures.extend(self.finalizers.run(Round::Last));
        }
        self.not_put_back()
    }

    fn not_put_back(&self) -> Result<(), WorkerError> {
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(WorkerError::Finalizers(self.failures.clone()))
    }

    fn must_be_busy(&self) -> Result<(), WorkerError> {
        match self.stands {
            Stands::Busy => Ok(()),
            Stands::Idle | Stands::Ended => Err(WorkerError::NothingToAnswer),
        }
    }

    /// Sends the frame that ends the task, then puts shared state back.
    fn answer(&mut self, frame: Frame) -> Result<(), WorkerError> {
        self.must_be_busy()?;
        self.relay.send(&frame)?;
        self.stands = Stands::Idle;
        self.failures = self.finalizers.run(Round::Between);
        if !self.failures.is_empty() {
            self.stands = Stands::Ended;
            self.pass_on();
        }
        self.not_put_back()
    }

    /// Has the host give a task elsewhere that it has sent already.
    fn pass_on(&mut self) {
        // Nothing more can be done for it where this fails: the host sees this worker end.
        while let Ok(Some(frame)) = self.relay.arrived() {
            if let Ok(Heard::Task(_)) = self.hear(frame) {
                let _ = self.relay.send(&Frame::stop_reply());
            }
        }
    }

    /// What a frame means; what needs an answer but no code of the user's is answered.
    fn hear(&mut self, frame: Frame) -> Result<Heard, WorkerError> {
        let unexpected = |what: String| Err(WorkerError::Unexpected { what });
        if frame.is_control() {
            let said: Option<serde_json::Value> = serde_json::from_slice(&frame.payload).ok();
            let said = said.unwrap_or_default();
            if said["stop"] == true {
                return Ok(Heard::Stop);
            }
            if said["pid"].is_u64() {
                self.relay.send(&Frame::pid_reply(std::process::id()))?;
                return Ok(Heard::Nothing);
            }
            let mut text = String::from_utf8_lossy(&frame.payload).into_owned();
            text.truncate(text.floor_char_boundary(200));
            return unexpected(format!(
                "a control frame that means nothing to a worker: {text:?}"
            ));
        }
        if frame.is_error() {
            return unexpected("an error, which is for workers to send".to_owned());
        }
        if frame.stream != 0 && frame.options.is_empty() && frame.payload.is_empty() {
            if frame.stream & Frame::PING != 0 {
                self.relay.send(&Frame::pong())?;
            }
            return Ok(match frame.stream {
                bits if bits & Frame::STOP != 0 => Heard::Cancel,
                bits if bits & Frame::PONG != 0 => Heard::Pong,
                _ => Heard::Nothing,
            });
        }
        let context = frame.context_and_body()?.0.len();
        let mut context_and_body = frame.payload;
        let body = match context {
            0 => std::mem::take(&mut context_and_body),
            _ => context_and_body.split_off(context),
        };
        Ok(Heard::Task(Payload {
            flags: frame.flags,
            context: context_and_body,
            body,
        }))
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("mode", &self.environment.mode)
            .field("stands", &self.stands)
            .finish_non_exhaustive()
    }
}

/// A frame with a context and a body, if they fit in one.
fn task(context: &[u8], body: &[u8]) -> Result<Frame, WorkerError> {
    let bytes = context.len().saturating_add(body.len());
    if u32::try_from(bytes).is_err() {
        return Err(WorkerError::TooLarge { bytes });
    }
    Ok(Frame::task(context, body))
}

/// A panic in a line.
fn panic_text(panic: &Panic) -> String {
    match panic.location.as_str() {
        "" => format!("panicked: {}", panic.message),
        location => format!("panicked at {location}: {}", panic.message),
    }
}
