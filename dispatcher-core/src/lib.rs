//! The portable heart of Dispatcher: the contract, the job model and the pure engine.
//!
//! Nothing here touches a clock, a file, a socket, a database, randomness or the environment;
//! whatever depends on those is handed in as a value by `dispatcher-runner`.

// Lets the derive's output name `::dispatcher_core` inside this crate's own tests.
extern crate self as dispatcher_core;

#[cfg(feature = "async")]
mod async_process;
mod canonical;
mod context;
mod definition;
pub mod duration;
pub mod engine;
mod failure;
pub mod frame;
mod job;
pub mod limits;
pub mod message;
mod options;
mod outcome;
mod process;
mod registry;
mod retry;
mod schedule;
mod suggest;

#[cfg(feature = "async")]
pub use async_process::{AsyncProcess, Driver};
pub use canonical::{CanonicalError, canonical, identity};
pub use context::{Context, Library, Link, LinkError};
pub use definition::{Definition, Field, PayloadKind, Place, Run};
pub use failure::{Failure, FailureKind};
pub use job::{Counters, JobId, JobIdError, JobState, RefusedTransition, Transition};
pub use options::{
    Backoff, DispatcherOptions, EnvPolicy, Isolation, Leftovers, Missed, OnDuplicate, OnLost,
    Options, Overlap, ScheduleOptions,
};
pub use outcome::{Cause, ExitStatus, Outcome, Panic, Usage, signal_name};
pub use process::{Dispatcher, PayloadError, Process};
pub use registry::{
    Claimant, Registry, RegistryBuilder, RegistryError, RegistryProblem, Role, UnknownDispatcher,
};
pub use retry::backoff_delay;
pub use schedule::{
    DecidedTick, Decision, Schedule, ScheduleError, ScheduleRecord, Spans, TickFate, ZonedSchedule,
};
pub use suggest::suggest;

#[cfg(feature = "derive")]
pub use dispatcher_macros::Dispatcher;

#[doc(hidden)]
pub mod __private;
