//! For the tests of programs with dispatchers: runs jobs in the test's own process.
//!
//! Nothing here starts a process, touches a file or waits. [`run`] calls one job with a context
//! that writes down what it is told. A [`Recorder`] stands in for the store and the supervisor
//! while it lives: what the code under test sends is kept, can be looked at, and runs when the
//! test says so.
//!
//! A test of what only real processes do (timeouts, crashes, captured output) runs the program
//! itself, with `DISPATCHER_DATABASE_URL` naming a state file of the test's own.
//!
//! ```
//! use dispatcher_core::{Context, Dispatcher, Failure, Process};
//! use dispatcher_runner::{Dispatch, testing};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Dispatcher, Serialize, Deserialize)]
//! struct Resize { image: String, width: u32 }
//!
//! impl Process for Resize {
//!     fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
//!         if self.width == 0 {
//!             return Err(Failure::discard("an image has a width"));
//!         }
//!         cx.progress(0.5, "scaled")?;
//!         cx.output(&format!("{}-{}", self.width, self.image))
//!     }
//! }
//!
//! // One job, alone.
//! let run = testing::run(Resize { image: "a.png".into(), width: 80 });
//! assert_eq!(run.result, Ok(()));
//! assert_eq!(run.progress, [(0.5, "scaled".to_owned())]);
//! assert_eq!(run.output::<String>().as_deref(), Some("80-a.png"));
//!
//! // Code that sends jobs.
//! fn upload(image: &str) -> Result<(), dispatcher_runner::SpawnError> {
//!     for width in [80, 640] {
//!         Resize { image: image.into(), width }.spawn_process()?;
//!     }
//!     Ok(())
//! }
//! let recorder = testing::record();
//! upload("a.png")?;
//! recorder.assert_enqueued::<Resize>(|job| job.width == 640);
//! assert_eq!(recorder.enqueued::<Resize>().len(), 2);
//! assert!(recorder.drain().iter().all(|drained| drained.run.result.is_ok()));
//! # Ok::<(), dispatcher_runner::SpawnError>(())
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use dispatcher_core::message::WorkerMessage;
use dispatcher_core::{Context, Definition, Dispatcher, Failure, JobId, Link, LinkError};
use serde::de::DeserializeOwned;
use serde_json::Value;

mod recorder;

pub use recorder::{Drained, Recorder, record};
pub(crate) use recorder::{Until, current};

/// What a job did in the test's process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TestRun {
    /// What `process()` answered.
    pub result: Result<(), Failure>,
    /// Every report of progress.
    pub progress: Vec<(f64, String)>,
    /// Every value given to [`Context::output`]; the last one would be kept.
    pub outputs: Vec<Value>,
}

impl TestRun {
    /// The value that would count: the last one, if the job succeeded.
    ///
    /// # Panics
    /// When the value does not fit `V`.
    #[must_use]
    #[track_caller]
    pub fn output<V: DeserializeOwned>(&self) -> Option<V> {
        let last = self.outputs.last().filter(|_| self.result.is_ok())?;
        match serde_json::from_value(last.clone()) {
            Ok(value) => Some(value),
            Err(error) => panic!("the output {last} does not fit: {error}"),
        }
    }
}

/// Runs a job in this process, as its first attempt, with nobody who wants it to stop.
///
/// The job goes through JSON on its way, as it does in earnest. A panic of the job is the test's.
///
/// # Panics
/// When the job cannot be written as JSON and read back.
#[must_use]
#[track_caller]
pub fn run<T: Dispatcher>(job: T) -> TestRun {
    attempt(job).run()
}

/// An attempt at a job in this process, with surroundings of one's own.
///
/// ```
/// # use dispatcher_core::{Context, Dispatcher, Failure, Process};
/// # use dispatcher_runner::testing;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Dispatcher, Serialize, Deserialize)]
/// struct Crawl { pages: u32 }
///
/// impl Process for Crawl {
///     fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
///         for page in 0..self.pages {
///             if cx.cancelled() {
///                 return cx.output(&page);
///             }
///         }
///         cx.output(&self.pages)
///     }
/// }
///
/// let run = testing::attempt(Crawl { pages: 100 }).number(2).cancelled_after(3).run();
/// assert_eq!(run.output(), Some(3));
/// ```
#[must_use = "nothing is run before `run`"]
pub fn attempt<T: Dispatcher>(job: T) -> TestAttempt<T> {
    TestAttempt {
        job,
        number: 1,
        time_left: None,
        cancelled_after: None,
    }
}

/// Made by [`attempt`].
#[derive(Debug)]
#[must_use = "nothing is run before `run`"]
pub struct TestAttempt<T> {
    job: T,
    number: u32,
    time_left: Option<Duration>,
    cancelled_after: Option<u32>,
}

impl<T: Dispatcher> TestAttempt<T> {
    /// Which try it is, from 1.
    pub fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// What [`Context::deadline`] shows; nothing happens when it passes.
    pub fn time_left(mut self, time: Duration) -> Self {
        self.time_left = Some(time);
        self
    }

    /// [`Context::cancelled`] answers no so many times, and yes from then on.
    pub fn cancelled_after(mut self, questions: u32) -> Self {
        self.cancelled_after = Some(questions);
        self
    }

    /// Runs it.
    ///
    /// # Panics
    /// When the job cannot be written as JSON and read back.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> TestRun {
        let payload = match serde_json::to_string(&self.job) {
            Ok(payload) => payload,
            Err(error) => panic!("{}", T::definition().refusal(&error)),
        };
        perform(
            T::definition(),
            &payload,
            &Surroundings {
                job: crate::ids::new_job_id(),
                attempt: self.number,
                deadline: self.time_left.map(|time| SystemTime::now() + time),
                cancelled_after: self.cancelled_after,
            },
        )
    }
}

/// What a job is told about its attempt.
struct Surroundings {
    job: JobId,
    attempt: u32,
    deadline: Option<SystemTime>,
    cancelled_after: Option<u32>,
}

#[track_caller]
fn perform(definition: &Definition, payload: &str, surroundings: &Surroundings) -> TestRun {
    let said = Rc::default();
    let link = Notebook {
        said: Rc::clone(&said),
        questions: Cell::new(0),
        cancelled_after: surroundings.cancelled_after,
    };
    let Surroundings {
        job,
        attempt,
        deadline,
        ..
    } = *surroundings;
    let mut cx = Context::new(job, attempt, deadline, Vec::new(), Box::new(link));
    let result = match (definition.run)(payload, &mut cx) {
        Ok(result) => result,
        Err(error) => panic!("{error}"),
    };
    let Said { progress, outputs } = said.take();
    TestRun {
        result,
        progress,
        outputs,
    }
}

/// What a job said.
#[derive(Default)]
struct Said {
    progress: Vec<(f64, String)>,
    outputs: Vec<Value>,
}

/// A link that leads nowhere but into the test.
struct Notebook {
    said: Rc<RefCell<Said>>,
    questions: Cell<u32>,
    cancelled_after: Option<u32>,
}

impl Link for Notebook {
    fn send(&mut self, message: WorkerMessage) -> Result<(), LinkError> {
        let mut said = self.said.borrow_mut();
        match message {
            WorkerMessage::Progress { fraction, text } => said.progress.push((fraction, text)),
            WorkerMessage::Output { value } => match serde_json::from_str(&value) {
                Ok(value) => said.outputs.push(value),
                Err(error) => unreachable!("invariant: an output is JSON: {error}"),
            },
            // A job in earnest has no way to say these through its context either.
            WorkerMessage::Hello { .. }
            | WorkerMessage::Used(_)
            | WorkerMessage::Result(_)
            | WorkerMessage::Ready { .. } => {}
        }
        Ok(())
    }

    #[cfg(feature = "tokio")]
    fn driver(&self) -> dispatcher_core::Driver {
        crate::process::drive
    }

    fn cancelled(&mut self) -> bool {
        let asked = self.questions.replace(self.questions.get() + 1);
        self.cancelled_after.is_some_and(|after| asked >= after)
    }
}

#[cfg(test)]
mod tests;
