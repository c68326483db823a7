//! `control` of a program that was built without the ways that it goes.

use crate::cli::error::{CliError, Done};
use crate::cli::session::Session;

pub(super) fn control(_: &mut Session<'_, '_>) -> Done {
    Err(CliError::usage(
        "this program speaks no wire of dispatcherd",
        "it was built without the features `socket` and `pg_notify` of dispatcher-runner",
        "`status`, `workers`, `reset` and `stop` ask services without them",
    )
    .into())
}
