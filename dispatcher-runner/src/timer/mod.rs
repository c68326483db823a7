//! The host's own timer: one entry that calls `schedule tick` every minute and at boot.
//!
//! The entry is marked with the application's name, and nothing but marked lines and our own unit
//! files is ever changed: what else stands in a crontab stays byte for byte.

mod crontab;
mod systemd;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::process;

pub(crate) use crontab::Crontab;
pub(crate) use systemd::Systemd;

/// Is there exactly when systemd is in charge of this machine (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// What the timer calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the application: the mark.
    pub(crate) app: String,
    /// Absolute path of the program, as it was called, so that an upgrade is followed.
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// What the program needs to find the same configuration, state and commands again.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A timer of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    Crontab(Crontab),
    Systemd(Systemd),
}

/// What decides which timers there are.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) booted: PathBuf,
    pub(crate) root: bool,
    /// Where a user's units lie; none without a home.
    pub(crate) user_units: Option<PathBuf>,
    pub(crate) system_units: PathBuf,
    /// Whether the user's own systemd can be reached.
    pub(crate) user_bus: bool,
    pub(crate) crontab: Option<PathBuf>,
    pub(crate) systemctl: Option<PathBuf>,
}

/// Whether something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Made,
    None,
}

/// Why the timer was left as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimerError {
    /// The program did not run.
    #[error("cannot run {}", program.display())]
    Run {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The program refused.
    #[error("{command} failed: {said}")]
    Refused { command: String, said: String },
    /// A unit file cannot be written, read or removed.
    #[error("cannot change {}", path.display())]
    Unit {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nothing can be written for it.
    #[error("{what} cannot stand in an entry: it has a line break")]
    LineBreak { what: String },
}

impl Host {
    /// This machine, and the user's folders of configuration and of what runs (`XDG_RUNTIME_DIR`).
    pub(crate) fn of_process(config_home: Option<PathBuf>, runtime: Option<&OsStr>) -> Self {
        Self {
            booted: PathBuf::from(BOOTED),
            root: rustix::process::geteuid().is_root(),
            user_units: config_home.map(|base| base.join("systemd/user")),
            system_units: PathBuf::from("/etc/systemd/system"),
            user_bus: runtime.is_some(),
            crontab: process::find_program("crontab"),
            systemctl: process::find_program("systemctl"),
        }
    }

    /// The user's or the system's systemd, whether or not it is in charge.
    pub(crate) fn systemd(&self) -> Option<Systemd> {
        let units = match (self.root, &self.user_units) {
            (true, _) => self.system_units.clone(),
            (false, Some(units)) => units.clone(),
            (false, None) => return None,
        };
        Some(Systemd {
            systemctl: self.systemctl.clone()?,
            units,
            root: self.root,
        })
    }

    /// The crontab of this user.
    pub(crate) fn crontab(&self) -> Option<Crontab> {
        let program = self.crontab.clone()?;
        Some(Crontab { program })
    }

    /// The timer to be used: systemd where it is in charge, else cron.
    pub(crate) fn usual(&self) -> Option<Timer> {
        let in_charge = self.booted.is_dir() && (self.root || self.user_bus);
        let systemd = self.systemd().filter(|_| in_charge).map(Timer::Systemd);
        systemd.or_else(|| self.crontab().map(Timer::Crontab))
    }
}

impl Timer {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Crontab(_) => "the crontab".to_owned(),
            Self::Systemd(systemd) => systemd.name().to_owned(),
        }
    }

    /// What is to be written, as people read it.
    pub(crate) fn preview(&self, entry: &Entry) -> Result<String, TimerError> {
        entry.check()?;
        Ok(match self {
            Self::Crontab(_) => crontab::lines(entry),
            Self::Systemd(systemd) => systemd.preview(entry),
        })
    }

    /// Writes the entry, in place of an older one of the same application.
    pub(crate) fn install(&self, entry: &Entry) -> Result<Change, TimerError> {
        entry.check()?;
        match self {
            Self::Crontab(crontab) => crontab.install(entry),
            Self::Systemd(systemd) => systemd.install(entry),
        }
    }

    /// Takes the application's entry out.
    pub(crate) fn remove(&self, app: &str) -> Result<Change, TimerError> {
        match self {
            Self::Crontab(crontab) => crontab.remove(app),
            Self::Systemd(systemd) => systemd.remove(app),
        }
    }
}

/// Takes the application's entry out of each of them, also when another one refuses: the names of
/// those that had one, and what went wrong.
pub(crate) fn remove_from_all(
    timers: impl IntoIterator<Item = Timer>,
    app: &str,
) -> (Vec<String>, Vec<TimerError>) {
    let (mut removed, mut failures) = (Vec::new(), Vec::new());
    for timer in timers {
        match timer.remove(app) {
            Ok(Change::Made) => removed.push(timer.name()),
            Ok(Change::None) => {}
            Err(error) => failures.push(error),
        }
    }
    (removed, failures)
}

impl Entry {
    /// Neither a crontab nor a unit file has a way to write a line break.
    fn check(&self) -> Result<(), TimerError> {
        let values = self.variables.iter().map(|(_, value)| value);
        let mut all = [&self.app, &self.program].into_iter();
        let mut all = all.by_ref().chain(&self.arguments).chain(values);
        match all.find(|text| text.contains(['\n', '\r', '\0'])) {
            None => Ok(()),
            Some(text) => Err(TimerError::LineBreak {
                what: format!("{text:?}"),
            }),
        }
    }
}

/// Runs a program that must succeed; what it wrote to standard output.
fn run(program: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, TimerError> {
    let told = converse(program, arguments, input)?;
    if told.succeeded {
        return Ok(told.stdout);
    }
    Err(refused(program, arguments, &told))
}

fn converse(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
) -> Result<process::Conversation, TimerError> {
    process::converse(program, arguments, input).map_err(|source| TimerError::Run {
        program: program.to_owned(),
        source,
    })
}

fn refused(program: &Path, arguments: &[&str], told: &process::Conversation) -> TimerError {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    TimerError::Refused {
        command: format!("{name} {}", arguments.join(" ")),
        said: told.stderr.trim().replace('\n', "; "),
    }
}
