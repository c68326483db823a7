//! A timer unit and the service that it starts, of the system for root and of the user for others.
//!
//! A tick may start a supervisor, which lives on: the service kills only its first process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Change, Entry, TimerError, run};

/// systemd, of the system or of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Systemd {
    pub(super) systemctl: PathBuf,
    /// The folder of unit files.
    pub(super) units: PathBuf,
    pub(super) root: bool,
}

impl Systemd {
    pub(super) fn name(&self) -> &'static str {
        match self.root {
            true => "systemd",
            false => "the user's systemd",
        }
    }

    /// Whether its timers stop when the user leaves.
    pub(crate) fn ends_with_session(&self) -> bool {
        !self.root
    }

    pub(super) fn preview(&self, entry: &Entry) -> String {
        let files = self.files(entry);
        let texts = files.map(|(path, text)| format!("# {}\n{text}", path.display()));
        texts.join("\n")
    }

    pub(super) fn install(&self, entry: &Entry) -> Result<Change, TimerError> {
        let mut change = Change::None;
        fs::create_dir_all(&self.units).map_err(failed(&self.units))?;
        for (path, text) in self.files(entry) {
            if fs::read_to_string(&path).is_ok_and(|found| found == text) {
                continue;
            }
            fs::write(&path, text).map_err(failed(&path))?;
            change = Change::Made;
        }
        if change == Change::Made {
            self.systemctl(&["daemon-reload"])?;
        }
        // Also when the files are there: somebody may have disabled it.
        self.systemctl(&["enable", "--now", &timer_unit(&entry.app)])?;
        Ok(change)
    }

    pub(super) fn remove(&self, app: &str) -> Result<Change, TimerError> {
        let units = [timer_unit(app), service_unit(app)];
        let paths = units.map(|unit| self.units.join(unit));
        if !paths.iter().any(|path| path.exists()) {
            return Ok(Change::None);
        }
        self.systemctl(&["disable", "--now", &timer_unit(app)])?;
        for path in paths {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(failed(&path))?,
            }
        }
        self.systemctl(&["daemon-reload"])?;
        Ok(Change::Made)
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<(), TimerError> {
        let manager = match self.root {
            true => "--system",
            false => "--user",
        };
        let arguments = [&[manager], arguments].concat();
        run(&self.systemctl, &arguments, b"").map(drop)
    }

    fn files(&self, entry: &Entry) -> [(PathBuf, String); 2] {
        let unit = |name: String| self.units.join(name);
        [
            (unit(timer_unit(&entry.app)), timer(entry)),
            (unit(service_unit(&entry.app)), service(entry)),
        ]
    }
}

/// Seen from the manager's start: after a boot, and at once when it is installed.
fn timer(entry: &Entry) -> String {
    let app = specifiers(&entry.app);
    format!(
        "# Written by `schedule install` of {}; `schedule remove` takes it out.\n\
         [Unit]\n\
         Description=Schedules of {app}, every minute\n\
         \n\
         [Timer]\n\
         OnStartupSec=0\n\
         OnCalendar=minutely\n\
         AccuracySec=1s\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        entry.app
    )
}

fn service(entry: &Entry) -> String {
    let mut text = format!(
        "# Written by `schedule install` of {}; `schedule remove` takes it out.\n\
         [Unit]\n\
         Description=Schedules of {}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         KillMode=process\n",
        entry.app,
        specifiers(&entry.app)
    );
    for (name, value) in &entry.variables {
        text.push_str(&format!(
            "Environment={}\n",
            quoted(&format!("{name}={value}"))
        ));
    }
    let words = std::iter::once(&entry.program).chain(&entry.arguments);
    let words: Vec<_> = words.map(|word| quoted(word).replace('$', "$$")).collect();
    text.push_str(&format!("ExecStart={}\n", words.join(" ")));
    text
}

fn timer_unit(app: &str) -> String {
    format!("dispatcher-{}.timer", escaped(app))
}

fn service_unit(app: &str) -> String {
    format!("dispatcher-{}.service", escaped(app))
}

/// A name as part of a unit's (`systemd-escape(1)`).
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    name.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
        text
    })
}

/// A word of a unit file (`systemd.syntax(7)`).
fn quoted(word: &str) -> String {
    let word = specifiers(word).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{word}\"")
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> TimerError {
    let path = path.to_owned();
    move |source| TimerError::Unit { path, source }
}
