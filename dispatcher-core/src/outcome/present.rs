//! A cause as people and shells see it: its word, its exit code, its sentence.
//!
//! The three stand in the outcome table of the documentation, row by row.

use std::borrow::Cow;

use super::Cause;
use crate::Options;
use crate::duration::{format_bytes, format_duration};

/// Longest piece of a job's own words in a sentence.
const WORDS_CHARS_MAX: usize = 300;

impl Cause {
    /// The word of the outcome table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Discarded { .. } => "discarded",
            Self::Panicked(_) => "panicked",
            Self::Exited { .. } => "exited",
            Self::Signalled { .. } => "signalled",
            Self::TimedOut => "timed_out",
            Self::MemoryLimit => "memory_limit",
            Self::CpuLimit => "cpu_limit",
            Self::OutOfMemory => "out_of_memory",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired => "expired",
            Self::MissingRequirement { .. } => "missing_requirement",
            Self::SpawnFailed { .. } => "spawn_failed",
            Self::ProtocolError { .. } => "protocol_error",
            Self::WorkerLost => "worker_lost",
            Self::Shutdown => "shutdown",
            Self::Snoozed => "snoozed",
        }
    }

    /// What the command that waited for the job exits with; `None` for causes that no job ends with.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        Some(match self {
            Self::Succeeded => 0,
            Self::Failed { .. } | Self::Discarded { .. } | Self::Panicked(_) => 1,
            // An exit status has eight bits; a job that ended without a result is no success.
            Self::Exited { code } => code.to_le_bytes()[0].max(1),
            Self::Signalled { signal, .. } => u8::try_from(*signal)
                .ok()
                .and_then(|signal| signal.checked_add(128))
                .unwrap_or(u8::MAX),
            Self::TimedOut => 124,
            Self::MemoryLimit | Self::OutOfMemory => 137,
            Self::CpuLimit => 152,
            Self::Cancelled { .. } => 130,
            Self::Expired => 75,
            Self::MissingRequirement { .. } => 78,
            Self::SpawnFailed { .. } => 126,
            Self::ProtocolError { .. } | Self::WorkerLost => 70,
            Self::Shutdown | Self::Snoozed => return None,
        })
    }

    /// What happened, in one plain sentence without a subject and a full stop.
    ///
    /// `options` are those of the job: limits are named with their value.
    ///
    /// ```
    /// use dispatcher_core::{Cause, Options};
    /// assert_eq!(
    ///     Cause::TimedOut.sentence(&Options::default()),
    ///     "ran longer than its timeout of 5m and was stopped"
    /// );
    /// ```
    #[must_use]
    pub fn sentence(&self, options: &Options) -> String {
        match self {
            Self::Succeeded => "succeeded".to_owned(),
            Self::Failed { message, causes } => {
                format!(
                    "failed: {}",
                    joined(std::iter::once(message).chain(causes), ": ")
                )
            }
            Self::Discarded { message } => {
                format!("failed and asked not to be retried: {}", words(message))
            }
            Self::Panicked(panic) if panic.location.is_empty() => {
                format!("panicked: {}", words(&panic.message))
            }
            Self::Panicked(panic) => {
                format!("panicked at {}: {}", panic.location, words(&panic.message))
            }
            Self::Exited { code: 0 } => "exited with code 0, but without a result".to_owned(),
            Self::Exited { code } => format!("exited with code {code}"),
            Self::Signalled {
                signal,
                core,
                oom_suspected,
            } => killed(*signal, *core, *oom_suspected),
            Self::TimedOut => with_limit(
                "ran longer than its timeout",
                options.timeout.map(format_duration),
                " and was stopped",
            ),
            Self::MemoryLimit => with_limit(
                "used more memory than its limit",
                options.memory_limit.map(format_bytes),
                " and was stopped",
            ),
            Self::CpuLimit => with_limit(
                "used more CPU time than its limit",
                options.cpu_limit.map(format_duration),
                " and was stopped",
            ),
            Self::OutOfMemory => out_of_memory(options.memory_limit),
            Self::Cancelled { by } if by.is_empty() => "was cancelled".to_owned(),
            Self::Cancelled { by } => format!("was cancelled by {}", words(by)),
            Self::Expired => with_limit(
                "waited longer than its expiry",
                options.expires.map(format_duration),
                " and was not started",
            ),
            Self::MissingRequirement { names } => {
                format!("needs what is not there: {}", joined(names, ", "))
            }
            Self::SpawnFailed { errno } => format!(
                "could not be started: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::ProtocolError { what } => {
                format!("broke the protocol with its supervisor: {}", words(what))
            }
            Self::WorkerLost => "was lost together with its supervisor or host".to_owned(),
            Self::Shutdown => "was stopped by a shutdown and is queued again".to_owned(),
            Self::Snoozed => "asked to be run later".to_owned(),
        }
    }
}

/// Name of a signal as on Linux: `SIGSEGV`, `SIGRTMIN+3`, else `signal 77`.
#[must_use]
pub fn signal_name(signal: i32) -> Cow<'static, str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    // The C library keeps the first two real-time signals to itself.
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    let standard = usize::try_from(signal)
        .ok()
        .and_then(|signal| NAMES.get(signal.checked_sub(1)?));
    match standard {
        Some(name) => Cow::Borrowed(name),
        None if signal == RTMIN => Cow::Borrowed("SIGRTMIN"),
        None if (RTMIN..=RTMAX).contains(&signal) => {
            Cow::Owned(format!("SIGRTMIN+{}", signal - RTMIN))
        }
        None => Cow::Owned(format!("signal {signal}")),
    }
}

fn killed(signal: i32, core: bool, oom_suspected: bool) -> String {
    let mut text = format!("was killed by {}", signal_name(signal));
    if core {
        text.push_str(" (core dumped)");
    }
    if oom_suspected {
        text.push_str(", probably by the kernel, which ran out of memory meanwhile");
    }
    text
}

fn out_of_memory(limit: Option<u64>) -> String {
    let what = "was killed by the kernel: out of memory";
    match limit {
        Some(limit) => format!("{what} (limit {})", format_bytes(limit)),
        None => what.to_owned(),
    }
}

fn with_limit(what: &str, limit: Option<String>, then: &str) -> String {
    match limit {
        Some(limit) => format!("{what} of {limit}{then}"),
        None => format!("{what}{then}"),
    }
}

fn joined<'a>(texts: impl IntoIterator<Item = &'a String>, between: &str) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| words(text)).collect();
    texts.join(between)
}

/// A job's own words: their first line, bounded.
fn words(text: &str) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default().trim_end();
    let mut words: String = line.chars().take(WORDS_CHARS_MAX).collect();
    if words.len() < text.len() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests;
