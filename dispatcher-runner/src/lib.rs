//! Runs dispatchers: processes, stores, supervision, command line and configuration.
//!
//! A program calls [`init`] first and then sends jobs with [`Dispatch`]; or its `main` is
//! [`main()`] and it is a command line of its own. Every job runs in its own process.
//!
//! Features: `bundled` (default) compiles SQLite from source; `tokio` runs jobs that are futures
//! (`dispatcher_core::AsyncProcess`, which it brings along) on tokio, in the worker's one thread;
//! `service` has sources, plug-ins that bring work to a service, and `ticker` is one of them; `http`
//! receives jobs of other applications, and `remote` sends them; `socket` and `pg_notify` speak with
//! the Python package `dispatcherd`.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "dispatcher-runner is for Linux; dispatcher-core and dispatcher-macros are portable"
);

mod about;
#[cfg(feature = "service")]
mod admin;
mod app;
mod cli;
mod client;
mod config;
mod control;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
mod dispatcherd;
#[cfg(test)]
#[path = "../../tests/tests/fuzz/driver.rs"]
mod fuzzing;
mod host;
#[cfg(feature = "remote")]
pub mod http;
mod ids;
mod log;
mod metrics;
#[cfg(feature = "pg_notify")]
mod notify;
mod pinned;
mod pool;
mod process;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
mod publish;
mod requirements;
mod service;
#[cfg(feature = "simulator")]
#[doc(hidden)]
#[path = "../../tests/simulator/mod.rs"]
pub mod simulator;
#[cfg(feature = "service")]
mod sources;
mod store;
mod supervisor;
mod target;
pub mod testing;
mod timer;
#[cfg(any(feature = "pg_notify", feature = "postgres"))]
mod tls;
pub mod worker;

pub use app::{SetupError, init, init_with, setup};
pub use client::{
    Attempt, Captured, Dispatch, Ended, JobBuilder, JobHandle, JobStatus, Mode, SpawnError,
    Started, StoreFailure, latest_job, latest_output, spawn_all,
};
pub use config::{
    CommandConfig, Config, ConfigError, ConfigProblem, Configured, LogFormat, LogLevel,
    OptionValue, Origin, PAYLOAD_FILE, PayloadBy, PoolOf, SourceSection, StoreLocation,
    UnknownLogWord, WorkOf,
};
pub use host::main;
pub use pool::{DEFAULT_POOL, ExecError, PoolConfig, Reply};
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub use publish::{Control, PublishError, PublishOptions, Published, Publisher};
pub use service::{RunningService, Service, ServiceError};
#[cfg(feature = "socket")]
pub use sources::Socket;
#[cfg(feature = "service")]
pub use sources::{
    Chunks, DispatchOptions, Dispatched, Host, Interval, JobWait, PoolTask, ServiceView, Source,
    SourceError, SourceStage, SourceState, Sources, SourcesBuilder, SourcesError, Stop,
    UnfinishedJob, WorkerView,
};
#[cfg(feature = "pg_notify")]
pub use sources::{Delivery, PgNotify};
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub use sources::{OnStart, Scheduled};
#[cfg(feature = "ticker")]
pub use sources::{Overrun, Ticker};

/// For the output of [`register_source!`]. Not part of the public interface; may change in any
/// version.
#[cfg(feature = "service")]
#[doc(hidden)]
pub mod __sources {
    pub use crate::sources::Linked;
    pub use dispatcher_core::__private::inventory;
}

/// The crate whose tables [`Config::with_source`] takes.
pub use toml;

/// For the binary of this package, which is not the library but lives on it. Not part of the
/// public interface; may change in any version.
#[doc(hidden)]
pub mod __generic {
    pub use crate::cli::{Bench, BenchForm, BenchOptions, BenchSubject};
    pub use crate::host::generic_main;
}

/// The code of the README is compiled, and that of the guide is run.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
}
