//! Programs of the operating system: finding them, and asking one a yes-or-no question.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs are searched without a `PATH`, as the C library has it.
const PATH_WITHOUT: &str = "/bin:/usr/bin";

/// The program that `execvp` would run for `name` with this `PATH`.
pub(crate) fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    find_in(path.unwrap_or(OsStr::new(PATH_WITHOUT)), name)
}

/// The program of this name in the directories of a `PATH`.
pub(super) fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(is_program)
}

fn is_program(path: &PathBuf) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Whether there is such a process with this as its first argument.
pub(crate) fn has_role(pid: u32, role: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|words| words.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes()))
}

/// Whether the program ran and ended with 0.
pub(crate) fn succeeds(program: &Path, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What the program says on standard output, if it ends with 0.
pub(super) fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
