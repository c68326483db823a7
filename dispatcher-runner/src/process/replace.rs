//! Becomes another program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Replaces this process by `program`, which is looked for on PATH unless it has a slash.
/// Returns only when that is not possible.
pub(crate) fn replace_with(
    program: &Path,
    arguments: &[OsString],
    variables: &[(&str, &OsStr)],
) -> io::Error {
    Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .exec()
}
