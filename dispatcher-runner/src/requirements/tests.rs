//! Requirements on hosts that are folders: each package manager, none, several, and the minute.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

/// A host in a folder, with programs of its own.
struct Stand {
    folder: TempDir,
    host: Host,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let host = Host {
            root: folder.path().to_owned(),
            path: Some(bin.into_os_string()),
        };
        Self { folder, host }
    }

    fn with_file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn with_program(self, name: &str, script: &str) -> Self {
        let stand = self.with_file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        let path = stand.folder.path().join("bin").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        stand
    }

    fn lacks(&self, packages: &[&str]) -> Vec<String> {
        let options = packages_of(packages);
        missing_beside(&nothing_known(), &options, &self.host, Instant::now())
    }
}

fn nothing_known() -> Mutex<Findings> {
    Mutex::new(Findings {
        known: BTreeMap::new(),
    })
}

fn packages_of(names: &[&str]) -> Options {
    Options {
        required_packages: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Options::default()
    }
}

fn commands_of(names: &[&str]) -> Options {
    Options {
        required_commands: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Options::default()
    }
}

const STATUS: &str = "\
Package: a
Status: install ok installed
Architecture: amd64

Package: held
Status: hold ok installed
Architecture: all

Package: leaving
Status: deinstall ok installed

Package: removed
Status: deinstall ok config-files

Package: broken
Status: install reinstreq half-installed

Package: late
Maintainer: somebody
Description: Status: install ok installed
";

#[test]
fn dpkg_counts_what_is_installed_whatever_is_wished() {
    let stand = Stand::new().with_file(DPKG_STATUS, STATUS);
    for there in ["a", "held", "leaving", "a:amd64", "held:all"] {
        assert_eq!(stand.lacks(&[there]), [""; 0], "{there}");
    }
    for absent in ["removed", "broken", "late", "b", "A", "a:i386", "", "a\n"] {
        assert_eq!(stand.lacks(&[absent]), [format!("package {absent}")]);
    }
    assert_eq!(stand.lacks(&["a", "b", "c"]), ["package b", "package c"]);
}

#[test]
fn dpkg_is_read_whatever_its_encoding() {
    let stand = Stand::new().with_file(DPKG_STATUS, "");
    let bytes = b"Package: x\nMaintainer: Andr\xe9\nStatus: install ok installed\n";
    fs::write(stand.folder.path().join(DPKG_STATUS), bytes).unwrap();
    assert_eq!(stand.lacks(&["x"]), [""; 0]);
}

#[test]
fn apk_is_read_in_its_old_and_its_new_place() {
    for place in APK_INSTALLED {
        let stand = Stand::new().with_file(place, "C:Q1\nP:musl\nV:1.2\n\nP:busybox\n");
        assert_eq!(stand.lacks(&["musl", "busybox"]), [""; 0]);
        assert_eq!(stand.lacks(&["musl-dev"]), ["package musl-dev"]);
    }
}

#[test]
fn rpm_is_asked() {
    let asked = "test \"$*\" = '-q --quiet -- bash'";
    let stand = Stand::new().with_program("rpm", asked);
    assert_eq!(stand.lacks(&["bash", "zsh"]), ["package zsh"]);
}

#[test]
fn any_manager_of_a_host_may_have_it() {
    let stand = Stand::new()
        .with_file(DPKG_STATUS, STATUS)
        .with_program("rpm", "test \"$4\" = from-rpm");
    assert_eq!(stand.host.managers().len(), 2);
    assert_eq!(stand.lacks(&["a", "from-rpm", "b"]), ["package b"]);
}

#[test]
fn a_host_without_a_manager_is_an_error() {
    let stand = Stand::new();
    assert_eq!(
        stand.lacks(&["a"]),
        ["package a (this host has neither dpkg, rpm nor apk)"]
    );
    assert_eq!(stand.lacks(&[]), [""; 0], "who needs none asks nobody");
}

#[test]
fn this_host_is_asked_in_earnest() {
    let names = missing(&packages_of(&["no-such-package-7f"]));
    let known = Host::this().managers();
    if known.is_empty() {
        assert!(names[0].contains("neither dpkg, rpm nor apk"), "{names:?}");
    } else {
        assert_eq!(names, ["package no-such-package-7f"]);
    }
    if Path::new("/var/lib/dpkg/status").is_file() {
        assert_eq!(missing(&packages_of(&["dpkg", "base-files"])), [""; 0]);
    }
}

#[test]
fn commands_must_be_programs_on_the_path() {
    let stand = Stand::new()
        .with_program("run", "")
        .with_file("bin/data", "")
        .with_file("elsewhere/run2", "");
    fs::create_dir(stand.folder.path().join("bin/folder")).unwrap();
    let whole = stand.folder.path().join("bin/run");
    let whole = whole.to_str().unwrap();
    let options = commands_of(&["run", whole, "data", "folder", "run2", "", "elsewhere/run2"]);
    let missing: Vec<_> = needs(&options)
        .filter(|need| !stand.host.has(*need))
        .map(|need| stand.host.describe(need))
        .collect();
    assert_eq!(
        missing,
        [
            "command data",
            "command folder",
            "command run2",
            "command ",
            "command elsewhere/run2"
        ]
    );
}

/// As `execvp` has it: a job whose `env` leaves `PATH` out still finds `sh`.
#[test]
fn without_a_path_the_systems_own_is_searched() {
    let host = Host {
        root: PathBuf::from("/"),
        path: None,
    };
    assert!(host.has(Need::Command("sh")));
    assert!(!host.has(Need::Command("no-such-program-here")));
    let nowhere = Host {
        path: Some(OsString::from("/nowhere")),
        ..host
    };
    assert!(!nowhere.has(Need::Command("sh")));
}

#[test]
fn a_finding_is_believed_for_a_minute_however_often_it_is_asked_for() {
    let stand = Stand::new();
    let start = Instant::now();
    let options = commands_of(&["later"]);
    let findings = nothing_known();
    let missing = |host: &Host, seconds, millis| {
        let at = start + Duration::from_secs(seconds) + Duration::from_millis(millis);
        missing_beside(&findings, &options, host, at)
    };
    assert_eq!(missing(&stand.host, 0, 0), ["command later"]);
    let stand = stand.with_program("later", "");
    for second in 1..60 {
        assert_eq!(
            missing(&stand.host, second, 0),
            ["command later"],
            "{second}"
        );
    }
    assert_eq!(missing(&stand.host, 59, 999), ["command later"]);
    assert_eq!(missing(&stand.host, 60, 0), [""; 0]);
    fs::remove_file(stand.folder.path().join("bin/later")).unwrap();
    assert_eq!(
        missing(&stand.host, 119, 999),
        [""; 0],
        "found is believed too"
    );
    assert_eq!(missing(&stand.host, 120, 0), ["command later"]);
}

#[test]
fn old_findings_do_not_pile_up() {
    let stand = Stand::new();
    let start = Instant::now();
    let findings = nothing_known();
    let names: Vec<_> = (0..2 * CACHE_SIZE)
        .map(|number| format!("c{number}"))
        .collect();
    for (round, names) in names.chunks(CACHE_SIZE + 1).enumerate() {
        let options = Options {
            required_commands: names.to_vec(),
            ..Options::default()
        };
        let at = start + u32::try_from(round).unwrap() * CACHE_TIME;
        missing_beside(&findings, &options, &stand.host, at);
        assert_eq!(findings.lock().unwrap().known.len(), names.len());
    }
}

#[test]
fn a_package_and_a_command_of_one_name_are_two_needs() {
    let stand = Stand::new()
        .with_program("git", "")
        .with_file(DPKG_STATUS, STATUS);
    let options = Options {
        required_packages: vec!["git".to_owned()],
        required_commands: vec!["git".to_owned()],
        ..Options::default()
    };
    let findings = nothing_known();
    let now = Instant::now();
    assert_eq!(
        missing_beside(&findings, &options, &stand.host, now),
        ["package git"]
    );
    assert_eq!(
        missing_beside(&findings, &options, &stand.host, now),
        ["package git"]
    );
}

#[test]
fn nobody_waits_for_a_package_manager_that_others_ask() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let stand = Stand::new();
    let pipe = |name: &str| {
        let path = stand.folder.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        path
    };
    let (asked, answer) = (pipe("asked"), pipe("answer"));
    let script = format!(
        "echo > {}; read line < {}",
        asked.display(),
        answer.display()
    );
    let stand = stand.with_program("rpm", &script);
    let findings = nothing_known();
    std::thread::scope(|scope| {
        let slow = scope
            .spawn(|| missing_beside(&findings, &packages_of(&["a"]), &stand.host, Instant::now()));
        fs::read(&asked).unwrap();
        let is_free = findings.try_lock().is_ok();
        fs::write(&answer, "\n").unwrap();
        assert_eq!(slow.join().unwrap(), [""; 0]);
        assert!(is_free);
    });
}
