//! Dispatchers of the configuration whose jobs are programs: what goes in, what comes out, and what
//! becomes of them when somebody dies.

mod ends;
mod payloads;

use dispatcher_core::Cause;
use dispatcher_tests::{Home, Job, configure};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// A home with a dispatcher `Run` that runs a line of a shell, whose `$0` is the last argument.
pub(crate) fn shell(script: &str, argument: &str, more: &str) -> Home {
    let home = Home::new(FIXTURE);
    configure(&home, &section(script, argument, more));
    home
}

/// The section of such a dispatcher.
pub(crate) fn section(script: &str, argument: &str, more: &str) -> String {
    let command = format!("command = [\"sh\", \"-c\", {script:?}, {argument:?}]");
    format!("[dispatchers.Run]\n{command}\nmax_queue = 0\nconcurrency = 0\n{more}\n")
}

pub(crate) fn cause(job: &Job) -> &Cause {
    &job.outcome.as_ref().expect("an outcome").cause
}
