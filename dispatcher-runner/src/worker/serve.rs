//! The kernel: a worker process decides by its environment what it serves.
//!
//! The first that can serve gets the process. Whatever its code does, the task in hand is answered
//! and the finalizers are run before the process ends.

use std::io::{self, Write as _};
use std::process::ExitCode;

use dispatcher_core::__private::inventory;

use super::{Environment, ServeError, Worker, WorkerError, panic_text};
use crate::process;

/// Exit code of a program that no host can use as it was started (`EX_CONFIG`).
const CONFIGURATION_EXIT: u8 = 78;
/// Exit code of a worker that failed (`EX_SOFTWARE`).
const FAILURE_EXIT: u8 = 70;

/// Code that can serve a worker process.
pub trait Serve {
    /// Whether it is for a process that was started like this; as a rule, by
    /// [`mode`](Environment::mode).
    fn can_serve(&self, environment: &Environment) -> bool;

    /// Serves until there is no further task.
    ///
    /// # Errors
    /// Whatever ends the worker. A task in hand is answered with the error.
    fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError>;

    /// What it is called; the name of the type as a rule.
    fn name(&self) -> &str {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").next().unwrap_or(path)
    }

    /// Those that are linked are asked in the order of their weight, the heaviest first.
    fn weight(&self) -> i32 {
        10
    }
}

/// Has [`Kernel::linked`] find a [`Serve`] that is [`Default`].
///
/// ```
/// # use dispatcher_runner::worker::{Environment, Serve, ServeError, Worker};
/// #[derive(Default)]
/// struct Echo;
///
/// impl Serve for Echo {
///     fn can_serve(&self, environment: &Environment) -> bool {
///         environment.mode == "echo"
///     }
///
///     fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
///         while let Some(payload) = worker.wait_payload()? {
///             worker.respond(payload.body)?;
///         }
///         Ok(())
///     }
/// }
///
/// dispatcher_runner::register_serve!(Echo);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! register_serve {
    ($serve:ty) => {
        $crate::worker::__private::inventory::submit! {
            $crate::worker::__private::Registration(|| {
                ::std::boxed::Box::new(<$serve as ::std::default::Default>::default())
            })
        }
    };
}

/// One registered [`Serve`]; collected by the linker.
#[doc(hidden)]
pub struct Registration(pub fn() -> Box<dyn Serve>);

inventory::collect!(Registration);

/// All that a worker process could serve.
#[derive(Default)]
#[must_use]
pub struct Kernel {
    offered: Vec<Box<dyn Serve>>,
}

impl Kernel {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that was [registered](crate::register_serve) and linked into the program, the
    /// heaviest first; those of equal weight by name.
    pub fn linked() -> Self {
        let registered = inventory::iter::<Registration>.into_iter();
        let mut offered: Vec<_> = registered.map(|one| (one.0)()).collect();
        offered.sort_by(|one, other| {
            let by_weight = other.weight().cmp(&one.weight());
            by_weight.then_with(|| one.name().cmp(other.name()))
        });
        Self { offered }
    }

    /// Adds one, to be asked after those before it.
    #[expect(
        clippy::should_implement_trait,
        reason = "adds to a list; nobody will read `+` here"
    )]
    pub fn add(mut self, serve: impl Serve + 'static) -> Self {
        self.offered.push(Box::new(serve));
        self
    }

    /// Makes this process the host's worker until it is told to end. What went wrong stands on
    /// standard error; the exit code is 78 for a process that no host can use as it was started, 70
    /// for one that failed.
    #[must_use]
    pub fn run(mut self) -> ExitCode {
        // Where panics abort, the host sees the signal and the message on standard error.
        process::note_panics(drop);
        let served = Worker::from_environment()
            .map_err(KernelError::from)
            .and_then(|mut worker| self.serve(&mut worker));
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let text = crate::log::chain(&error);
                let (why, todo, exit) = error.advice();
                // Nobody may be left to read it.
                let _ = writeln!(io::stderr(), "error: {text}\nbecause: {why}\ntry: {todo}");
                ExitCode::from(exit)
            }
        }
    }

    /// Gives a worker to the first that can serve it, and sees to its end.
    ///
    /// # Errors
    /// When nobody can serve it, or when it failed.
    pub fn serve(&mut self, worker: &mut Worker) -> Result<(), KernelError> {
        let served = match process::catch_panic(|| self.choose_and_serve(worker)) {
            Ok(served) => served,
            Err(panic) => Err(KernelError::Panicked(panic_text(&panic))),
        };
        let served = served.and_then(|()| match worker.is_busy() {
            true => Err(KernelError::Worker(WorkerError::Unanswered)),
            false => Ok(()),
        });
        if let (Err(error), true) = (&served, worker.is_busy()) {
            // What went wrong first is what counts.
            let _ = worker.error(crate::log::chain(error));
        }
        let ended = worker.end().map_err(KernelError::Worker);
        served.and(ended)
    }

    /// Why a worker in this environment can be served by nobody.
    pub(super) fn refusal(&self, environment: &Environment) -> Option<KernelError> {
        let served = self.offered.iter().any(|one| one.can_serve(environment));
        (!served).then(|| KernelError::Nobody {
            mode: environment.mode.clone(),
            offered: self.names(),
        })
    }

    fn choose_and_serve(&mut self, worker: &mut Worker) -> Result<(), KernelError> {
        let environment = worker.environment();
        if let Some(refusal) = self.refusal(environment) {
            return Err(refusal);
        }
        let mut offered = self.offered.iter_mut();
        let chosen = offered.find(|one| one.can_serve(environment));
        let chosen = chosen.expect("invariant: whoever can serve is still there");
        chosen.serve(worker).map_err(failed)
    }

    /// In the order in which they are asked.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.offered.iter().map(|one| one.name().to_owned());
        names.collect()
    }
}

/// An error of the worker that was only passed on is told as itself.
fn failed(error: ServeError) -> KernelError {
    match error.downcast::<WorkerError>() {
        Ok(error) => KernelError::Worker(*error),
        Err(error) => KernelError::Failed(error),
    }
}

/// Why a worker process ended otherwise than by its host's wish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// None of those that were asked can serve it.
    #[error("nothing in this program serves RR_MODE `{mode}`; it has {}", listed(.offered))]
    Nobody {
        /// Value of `RR_MODE`.
        mode: String,
        /// Who was asked, in this order.
        offered: Vec<String>,
    },
    /// The link to the host, its use, or a finalizer.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The code that served.
    #[error(transparent)]
    Failed(ServeError),
    /// The code that served panicked.
    #[error("{0}")]
    Panicked(String),
}

impl KernelError {
    /// Why, what to do, and the exit code.
    fn advice(&self) -> (&'static str, &'static str, u8) {
        match self {
            Self::Nobody { .. } => (
                "no `can_serve` answered yes to this environment",
                "set the mode that the host gives, or register what serves it",
                CONFIGURATION_EXIT,
            ),
            Self::Worker(WorkerError::NoHost | WorkerError::Relay { .. }) => (
                "this program is a worker that a Goridge host starts",
                "start it from a host with RR_RELAY=pipes",
                CONFIGURATION_EXIT,
            ),
            Self::Worker(WorkerError::Finalizers(_)) => (
                "state that tasks share could not be put back, so no further task may meet it",
                "mend the finalizer; the host starts another worker",
                FAILURE_EXIT,
            ),
            Self::Worker(
                WorkerError::Streams(_)
                | WorkerError::Read(_)
                | WorkerError::Write(_)
                | WorkerError::Frame(_)
                | WorkerError::CutOff { .. }
                | WorkerError::Unexpected { .. },
            ) => (
                "the link to the host cannot be used any more",
                "see the log of the host; it starts another worker",
                FAILURE_EXIT,
            ),
            Self::Worker(
                WorkerError::TooLarge { .. }
                | WorkerError::Unanswered
                | WorkerError::NothingToAnswer,
            ) => (
                "the code that serves does not answer each task once",
                "mend it; the host starts another worker",
                FAILURE_EXIT,
            ),
            Self::Failed(_) | Self::Panicked(_) => (
                "the code that serves failed; a task in hand was answered with the error",
                "mend it, or answer such tasks with a soft error; the host starts another worker",
                FAILURE_EXIT,
            ),
        }
    }
}

fn listed(offered: &[String]) -> String {
    match offered {
        [] => "nothing to serve with".to_owned(),
        _ => offered.join(", "),
    }
}
