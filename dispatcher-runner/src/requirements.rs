//! What a dispatcher needs of its machine: operating-system packages and programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dispatcher_core::Options;

use crate::process;

/// How long a finding of a submitter is believed.
const CACHE_TIME: Duration = Duration::from_secs(60);

static CACHE: Mutex<BTreeMap<String, (Instant, bool)>> = Mutex::new(BTreeMap::new());

/// What is missing, findings up to a minute old.
pub(crate) fn missing_cached(options: &Options) -> Vec<String> {
    needs(options)
        .filter(|need| {
            let key = need.describe();
            let mut cache = CACHE
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let known = cache.get(&key).filter(|(at, _)| at.elapsed() < CACHE_TIME);
            let there = known.map_or_else(|| need.is_there(), |(_, there)| *there);
            cache.insert(key, (Instant::now(), there));
            !there
        })
        .map(|need| need.describe())
        .collect()
}

/// What is missing now.
pub(crate) fn missing(options: &Options) -> Vec<String> {
    needs(options)
        .filter(|need| !need.is_there())
        .map(|need| need.describe())
        .collect()
}

enum Need<'a> {
    Package(&'a str),
    Command(&'a str),
}

fn needs(options: &Options) -> impl Iterator<Item = Need<'_>> {
    let packages = options
        .required_packages
        .iter()
        .map(|name| Need::Package(name));
    packages.chain(
        options
            .required_commands
            .iter()
            .map(|name| Need::Command(name)),
    )
}

impl Need<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Package(name) if manager().is_some() => format!("package {name}"),
            Self::Package(name) => {
                format!("package {name} (this host has neither dpkg, rpm nor apk)")
            }
            Self::Command(name) => format!("command {name}"),
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Self::Package(name) => manager().is_some_and(|manager| manager.has(name)),
            Self::Command(name) => process::find_program(name).is_some(),
        }
    }
}

#[derive(Clone, Copy)]
enum Manager {
    Dpkg,
    Rpm,
    Apk,
}

const DPKG_STATUS: &str = "/var/lib/dpkg/status";
const APK_INSTALLED: &str = "/lib/apk/db/installed";

fn manager() -> Option<Manager> {
    if Path::new(DPKG_STATUS).exists() {
        Some(Manager::Dpkg)
    } else if Path::new(APK_INSTALLED).exists() {
        Some(Manager::Apk)
    } else if process::find_program("rpm").is_some() {
        Some(Manager::Rpm)
    } else {
        None
    }
}

impl Manager {
    fn has(self, package: &str) -> bool {
        match self {
            Self::Dpkg => {
                std::fs::read_to_string(DPKG_STATUS).is_ok_and(|status| dpkg_has(&status, package))
            }
            Self::Apk => std::fs::read_to_string(APK_INSTALLED).is_ok_and(|list| {
                list.lines()
                    .any(|line| line.strip_prefix("P:") == Some(package))
            }),
            Self::Rpm => process::succeeds("rpm", &["-q", "--quiet", "--", package]),
        }
    }
}

/// Paragraphs of `Package:` and `Status:` fields, as dpkg-query(1) reads them.
fn dpkg_has(status: &str, package: &str) -> bool {
    status.split("\n\n").any(|paragraph| {
        let mut lines = paragraph.lines();
        lines.next().and_then(|line| line.strip_prefix("Package: ")) == Some(package)
            && lines.any(|line| line == "Status: install ok installed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_counts_only_what_is_installed() {
        let status = "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: deinstall ok config-files\n";
        assert!(dpkg_has(status, "a"));
        assert!(!dpkg_has(status, "b"));
        assert!(!dpkg_has(status, "c"));
    }

    #[test]
    fn a_missing_command_is_named() {
        let options = Options {
            required_commands: vec!["sh".into(), "no-such-program-here".into()],
            ..Options::default()
        };
        assert_eq!(missing(&options), ["command no-such-program-here"]);
    }
}
