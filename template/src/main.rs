//! A service binary with chosen sources; `--version` lists them.
//!
//! Dispatchers and sources of other crates are linked in by naming the crate: without its line the
//! linker leaves it out.

#[cfg(feature = "watcher")]
use dispatcher_watcher as _;

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
