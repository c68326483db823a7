//! The words of the command `control`, which are those of another system.

use super::{Flag, Words, valued};

/// Control commands of dispatcherd.
pub(super) const CONTROL_WORDS: &[&str] = &[
    "alive",
    "running",
    "cancel",
    "workers",
    "producers",
    "main",
    "metrics",
    "chunks",
    "aio_tasks",
    "status",
    "set_log_level",
    "run",
];
/// Sources over which they go.
pub(crate) const CONTROL_SOURCES: &[&str] = &["socket", "pg_notify"];

/// What its help says besides.
pub(super) const CONTROL_DETAILS: &str = "It goes where [sources.socket] or [sources.pg_notify] says, and any service that\n\
            listens there answers, a Python one as well as ours: alive, running, cancel,\n\
            workers, producers, main, metrics, chunks, aio_tasks, status, set_log_level and\n\
            run.\n\
            The JSON is the command's data, as in: control cancel '{\"task\": \"app.send\"}'.\n\
            Of both sources it is pg_notify, unless --source names the other.\n\
            Exit code 1: fewer replies came in time than were expected.";

/// Its options.
pub(super) const CONTROL_FLAGS: &[Flag] = &[
    valued(
        "source",
        "NAME",
        Words::These(CONTROL_SOURCES),
        "go the way of this source: socket or pg_notify",
    ),
    valued(
        "expected-replies",
        "N",
        Words::Nothing,
        "wait for so many (1); 0 asks nobody to answer",
    ),
    valued("within", "TIME", Words::Nothing, "wait no longer (1s)"),
];
