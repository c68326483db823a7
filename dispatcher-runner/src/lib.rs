//! Runs dispatchers: processes, stores, supervision, command line and configuration.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "dispatcher-runner is for Linux; dispatcher-core and dispatcher-macros are portable"
);

mod process;
mod store;

mod about;
mod cli;
mod config;

pub use config::{Config, ConfigError, ConfigProblem, OptionValue, StoreLocation, StoreOrigin};
