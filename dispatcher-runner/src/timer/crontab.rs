//! Two lines of the user's crontab: one for every minute, one for the boot.
//!
//! A crontab is bytes that other people wrote; only whole lines that end with our mark are ours.

use std::path::PathBuf;

use super::{Change, Entry, TimerError, converse, refused, run};

/// Longest command that Vixie cron takes is 998 bytes, the mark included; a long PATH is left out
/// to stay below.
const COMMAND_BYTES_MAX: usize = 900;
const WHEN: [&str; 2] = ["@reboot", "* * * * *"];

/// The crontab of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crontab {
    pub(super) program: PathBuf,
}

impl Crontab {
    pub(super) fn install(&self, entry: &Entry) -> Result<Change, TimerError> {
        let before = self.read()?;
        self.write(&before, &with(&before, entry))
    }

    pub(super) fn remove(&self, app: &str) -> Result<Change, TimerError> {
        let before = self.read()?;
        self.write(&before, &without(&before, app))
    }

    /// The crontab; empty when there is none. An answer that cannot be told from a failure is a
    /// failure, since what cannot be read would be overwritten.
    fn read(&self) -> Result<Vec<u8>, TimerError> {
        let told = converse(&self.program, &["-l"], b"")?;
        if told.succeeded {
            return Ok(told.stdout);
        }
        let said = told.stderr.to_lowercase();
        // cronie, Debian and others; busybox.
        let has_none = said.contains("no crontab") || said.contains("no such file");
        if has_none && told.stdout.is_empty() {
            return Ok(Vec::new());
        }
        Err(refused(&self.program, &["-l"], &told))
    }

    fn write(&self, before: &[u8], after: &[u8]) -> Result<Change, TimerError> {
        if before == after {
            return Ok(Change::None);
        }
        run(&self.program, &["-"], after)?;
        Ok(Change::Made)
    }
}

/// The crontab with our lines: where they stood, or at its end.
pub(super) fn with(crontab: &[u8], entry: &Entry) -> Vec<u8> {
    let mark = mark(&entry.app);
    let ours = lines(entry);
    let mut ours = Some(ours.as_bytes());
    let mut after = Vec::with_capacity(crontab.len() + 2 * COMMAND_BYTES_MAX);
    for line in crontab.split_inclusive(|byte| *byte == b'\n') {
        if is_marked(line, &mark) {
            after.extend_from_slice(ours.take().unwrap_or_default());
        } else {
            after.extend_from_slice(line);
        }
    }
    if let Some(ours) = ours {
        if !after.is_empty() && !after.ends_with(b"\n") {
            after.push(b'\n');
        }
        after.extend_from_slice(ours);
    }
    after
}

/// The crontab without our lines.
pub(super) fn without(crontab: &[u8], app: &str) -> Vec<u8> {
    let mark = mark(app);
    let lines = crontab.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines.filter(|line| !is_marked(line, &mark)).collect();
    kept.concat()
}

/// Our lines.
pub(super) fn lines(entry: &Entry) -> String {
    let mark = mark(&entry.app);
    let mut command = command(entry, &entry.variables);
    if command.len() + mark.len() > COMMAND_BYTES_MAX {
        let short = entry.variables.iter().filter(|(name, _)| *name != "PATH");
        command = self::command(entry, &short.cloned().collect::<Vec<_>>());
    }
    WHEN.map(|when| format!("{when} {command}{mark}\n"))
        .concat()
}

/// Standard output is of no use to anybody; what goes wrong is on standard error, and is mailed.
fn command(entry: &Entry, variables: &[(&str, String)]) -> String {
    let mut words: Vec<_> = variables
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    words.push(quoted(&entry.program));
    words.extend(entry.arguments.iter().map(|word| quoted(word)));
    escaped(&format!("{} >/dev/null", words.join(" ")))
}

/// A comment of the shell, which is what cron gives the line to.
fn mark(app: &str) -> String {
    escaped(&format!(" # schedules of {app}, by Dispatcher"))
}

fn is_marked(line: &[u8], mark: &str) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let ours = WHEN.iter().any(|when| line.starts_with(when.as_bytes()));
    ours && line.ends_with(mark.as_bytes())
}

/// A word of the shell.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_./:=@,+-".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// To cron a `%` ends the command.
fn escaped(text: &str) -> String {
    text.replace('%', "\\%")
}
