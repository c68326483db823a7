//! Programs of the operating system: finding them, and asking one something.
//!
//! What a person would read is asked for in the C locale, since answers are looked into.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs are searched without a `PATH`, as the C library has it.
const PATH_WITHOUT: &str = "/bin:/usr/bin";

/// The program that `execvp` would run for `name`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    find_program_on(std::env::var_os("PATH").as_deref(), name)
}

/// The program that `execvp` would run for `name` with this `PATH`.
pub(crate) fn find_program_on(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
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

/// Whether a file is the running program.
pub(crate) fn is_this_image(program: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let own = identity(Path::new("/proc/self/exe"));
    own.is_some() && identity(program) == own
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

/// What a program answered.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// It ended with 0.
    pub(crate) succeeded: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs a program to its end with something on standard input.
///
/// # Errors
/// When it cannot be started or waited for.
pub(crate) fn converse(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
) -> io::Result<Conversation> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read to the end says why on standard error.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    Ok(Conversation {
        succeeded: output.status.success(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
