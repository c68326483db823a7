//! What a dispatcher needs of its machine: operating-system packages and programs.
//!
//! A package is there when one of the host's package managers says so; a host without any is told
//! as an error and never taken for one that has the package.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dispatcher_core::Options;

use crate::process;

/// How long a finding of a submitter is believed.
const CACHE_TIME: Duration = Duration::from_secs(60);
/// Findings beyond this number are dropped once they are old.
const CACHE_SIZE: usize = 1_000;

static FINDINGS: Mutex<Findings> = Mutex::new(Findings {
    known: BTreeMap::new(),
});

/// What is missing, findings up to a minute old.
pub(crate) fn missing_cached(options: &Options) -> Vec<String> {
    if needs(options).next().is_none() {
        return Vec::new();
    }
    missing_beside(&FINDINGS, options, &Host::this(), Instant::now())
}

/// A package manager may take long: nobody who asks for something else waits for it.
fn missing_beside(
    findings: &Mutex<Findings>,
    options: &Options,
    host: &Host,
    now: Instant,
) -> Vec<String> {
    let locked = || findings.lock().unwrap_or_else(PoisonError::into_inner);
    locked().make_room(now);
    let mut missing = Vec::new();
    for need in needs(options) {
        let known = locked().finding(need, now);
        let there = known.unwrap_or_else(|| {
            let there = host.has(need);
            locked().known.insert(need.key(), (now, there));
            there
        });
        if !there {
            missing.push(host.describe(need));
        }
    }
    missing
}

/// What is missing now.
pub(crate) fn missing(options: &Options) -> Vec<String> {
    if needs(options).next().is_none() {
        return Vec::new();
    }
    let host = Host::this();
    needs(options)
        .filter(|need| !host.has(*need))
        .map(|need| host.describe(need))
        .collect()
}

/// What was found, and when; a finding is not renewed by being asked for.
struct Findings {
    known: BTreeMap<String, (Instant, bool)>,
}

impl Findings {
    fn make_room(&mut self, now: Instant) {
        if self.known.len() > CACHE_SIZE {
            self.known.retain(|_, (at, _)| is_fresh(*at, now));
        }
    }

    fn finding(&self, need: Need<'_>, now: Instant) -> Option<bool> {
        let known = self.known.get(&need.key());
        known
            .filter(|(at, _)| is_fresh(*at, now))
            .map(|(_, there)| *there)
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < CACHE_TIME
}

#[derive(Debug, Clone, Copy)]
enum Need<'a> {
    Package(&'a str),
    Command(&'a str),
}

fn needs(options: &Options) -> impl Iterator<Item = Need<'_>> {
    let packages = options.required_packages.iter();
    let commands = options.required_commands.iter();
    packages
        .map(|name| Need::Package(name))
        .chain(commands.map(|name| Need::Command(name)))
}

impl Need<'_> {
    fn key(self) -> String {
        match self {
            Self::Package(name) => format!("package {name}"),
            Self::Command(name) => format!("command {name}"),
        }
    }
}

/// Where a machine keeps what is asked for.
struct Host {
    root: PathBuf,
    path: Option<OsString>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Manager {
    Dpkg { status: PathBuf },
    Apk { installed: PathBuf },
    Rpm { program: PathBuf },
}

const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// The place of today, and that of version 3.
const APK_INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

impl Host {
    fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            path: std::env::var_os("PATH"),
        }
    }

    fn path(&self) -> Option<&OsStr> {
        self.path.as_deref()
    }

    fn has(&self, need: Need<'_>) -> bool {
        match need {
            Need::Package(name) => self.managers().iter().any(|manager| manager.has(name)),
            Need::Command(name) => process::find_program_on(self.path(), name).is_some(),
        }
    }

    fn describe(&self, need: Need<'_>) -> String {
        match need {
            Need::Package(_) if self.managers().is_empty() => {
                format!("{} (this host has neither dpkg, rpm nor apk)", need.key())
            }
            Need::Package(_) | Need::Command(_) => need.key(),
        }
    }

    /// All there are: a host may have the tool of another system beside its own.
    fn managers(&self) -> Vec<Manager> {
        let file = |path: &str| Some(self.root.join(path)).filter(|path| path.is_file());
        let dpkg = file(DPKG_STATUS).map(|status| Manager::Dpkg { status });
        let apk = APK_INSTALLED.into_iter().find_map(file);
        let apk = apk.map(|installed| Manager::Apk { installed });
        let rpm = process::find_program_on(self.path(), "rpm");
        let rpm = rpm.map(|program| Manager::Rpm { program });
        [dpkg, apk, rpm].into_iter().flatten().collect()
    }
}

impl Manager {
    fn has(&self, package: &str) -> bool {
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        match self {
            // A maintainer's name in another encoding is no reason to see nothing.
            Self::Dpkg { status } => dpkg_has(&String::from_utf8_lossy(&read(status)), package),
            Self::Apk { installed } => apk_has(&String::from_utf8_lossy(&read(installed)), package),
            Self::Rpm { program } => process::succeeds(program, &["-q", "--quiet", "--", package]),
        }
    }
}

/// Whether a paragraph says that the package is installed, as dpkg-query(1) reads them; what is
/// wished for it (`install`, `hold`, `deinstall`) is another matter. `name:arch` is understood.
fn dpkg_has(status: &str, package: &str) -> bool {
    let (name, architecture) = match package.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (package, None),
    };
    status.split("\n\n").any(|paragraph| {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()))
        };
        let installed = |status: &str| {
            status
                .split_ascii_whitespace()
                .skip(1)
                .eq(["ok", "installed"])
        };
        field("Package") == Some(name)
            && field("Status").is_some_and(installed)
            && architecture.is_none_or(|wanted| field("Architecture") == Some(wanted))
    })
}

fn apk_has(installed: &str, package: &str) -> bool {
    let mut lines = installed.lines();
    lines.any(|line| line.strip_prefix("P:") == Some(package))
}

// With its path, because the test `processes` compiles this file from elsewhere.
#[path = "requirements/tests.rs"]
#[cfg(test)]
mod tests;
