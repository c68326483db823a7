//! Staying alive when a systemd service ends: a supervisor that a service starts is moved into a
//! scope of its own, since the service's control group is killed as a whole.
//!
//! `systemd-run --scope` makes the scope and then becomes the program, so descriptors, environment
//! and parent are as without it. `/proc/<pid>/exe` of the starting process stands for the image,
//! for `/proc/self/exe` would be `systemd-run` by then.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::programs;

/// Is there exactly when systemd is in charge of this machine (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
/// Set for every process of a service (`systemd.exec(5)`).
const INVOCATION: &str = "INVOCATION_ID";
/// How long making a scope may take.
const TIME_MAX: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(2);

/// What decides whether there is a scope to be had.
pub(super) struct Surroundings<'a> {
    pub(super) booted: &'a Path,
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) root: bool,
}

/// How to get a scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    program: PathBuf,
    manager: &'static [&'static str],
}

impl Scope {
    /// The way of this process to a scope; `None` when it needs none, or there is no way.
    pub(super) fn of_this_process() -> Option<Self> {
        Self::find(&Surroundings {
            booted: Path::new(BOOTED),
            variable: &|name| std::env::var_os(name),
            root: rustix::process::geteuid().is_root(),
        })
    }

    fn find(around: &Surroundings<'_>) -> Option<Self> {
        let is_set = |name| (around.variable)(name).is_some_and(|value| !value.is_empty());
        if !is_set(INVOCATION) || !around.booted.is_dir() {
            return None;
        }
        let manager: &[&str] = match (around.root, is_set("XDG_RUNTIME_DIR")) {
            (true, _) => &["--system"],
            (false, true) => &["--user"],
            // The system's manager does not let everybody make scopes.
            (false, false) => return None,
        };
        let path = (around.variable)("PATH")?;
        let program = programs::find_in(&path, "systemd-run")?;
        Some(Self { program, manager })
    }

    /// Runs this image in a scope, and waits for the end of its first process.
    ///
    /// # Errors
    /// When there is no scope, or making it takes too long.
    pub(super) fn run(&self, arguments: &[&OsStr], streams: [File; 3]) -> io::Result<ExitStatus> {
        let [stdin, stdout, stderr] = streams.map(Stdio::from);
        let mut child = Command::new(&self.program)
            .args(self.manager)
            .args(["--scope", "--collect", "--quiet", "--no-ask-password"])
            .arg("--description=Dispatcher's supervisor")
            // Its attempts get control groups below it.
            .arg("--property=Delegate=yes")
            .arg("--")
            .arg(format!("/proc/{}/exe", std::process::id()))
            .args(arguments)
            .current_dir("/")
            .env(super::TAG_VARIABLE, super::NO_ATTEMPT)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let give_up = Instant::now() + TIME_MAX;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= give_up {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(STEP);
        }
    }
}

/// A systemd service whose end reaches further than it should.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KillingUnit {
    /// It takes a supervisor with it that one of its processes started; the name.
    OfEmbedded(String),
    /// Its main process is a service of ours, whose jobs are stopped together with it; the name.
    OfService(String),
}

/// The service that kills a supervisor, or its jobs, as the control group of the process says and
/// `KillMode` means. Whoever has `role` as its first argument was started by somebody else.
pub(crate) fn killing_unit(pid: u32, role: &str) -> Option<KillingUnit> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let service = service_in(&groups)?;
    let manager = if groups.contains("/user@") {
        "--user"
    } else {
        "--system"
    };
    let question = [
        "show",
        manager,
        "--property=KillMode",
        "--value",
        "--",
        service,
    ];
    let unit = match programs::has_role(pid, role) {
        true => KillingUnit::OfEmbedded(service.to_owned()),
        false => KillingUnit::OfService(service.to_owned()),
    };
    let mode = programs::answer("systemctl", &question);
    (!unit.spares(mode.as_deref())).then_some(unit)
}

impl KillingUnit {
    /// Whether a `KillMode` lets a supervisor and its jobs end as they should.
    fn spares(&self, mode: Option<&str>) -> bool {
        match (self, mode) {
            // Other processes than the main one are left alone.
            (_, Some("process" | "none")) => true,
            // They are killed, but only after the main one has drained its jobs.
            (Self::OfService(_), Some("mixed")) => true,
            (Self::OfEmbedded(_) | Self::OfService(_), Some(_) | None) => false,
        }
    }
}

/// The innermost unit, if it is a service (cgroups(7): v2, or the named hierarchy of v1).
fn service_in(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| {
        line.strip_prefix("0::")
            .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
            .filter(|path| *path != "/")
    })?;
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    path.split('/')
        .rfind(is_unit)
        .filter(|unit| unit.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(booted: &Path, variables: &[(&str, &str)], root: bool) -> Option<Scope> {
        Scope::find(&Surroundings {
            booted,
            variable: &|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            },
            root,
        })
    }

    #[test]
    fn a_scope_is_looked_for_in_services_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("systemd-run");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let path = ("PATH", folder.path().to_str().unwrap());
        let service = ("INVOCATION_ID", "6b1c");
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/1000");
        let scope = |manager| {
            let program = program.clone();
            Some(Scope { program, manager })
        };
        let booted = folder.path();
        assert_eq!(find(booted, &[service, path], true), scope(&["--system"]));
        assert_eq!(
            find(booted, &[service, path, runtime], false),
            scope(&["--user"])
        );
        assert_eq!(find(booted, &[service, path], false), None);
        assert_eq!(find(booted, &[path], true), None);
        assert_eq!(find(booted, &[("INVOCATION_ID", ""), path], true), None);
        assert_eq!(find(booted, &[service, ("PATH", "/nowhere")], true), None);
        assert_eq!(find(&booted.join("not"), &[service, path], true), None);
    }

    #[test]
    fn mixed_spares_a_service_but_no_embedded_supervisor() {
        let embedded = KillingUnit::OfEmbedded("web.service".to_owned());
        let service = KillingUnit::OfService("jobs.service".to_owned());
        for (mode, of_embedded, of_service) in [
            (Some("process"), true, true),
            (Some("none"), true, true),
            (Some("mixed"), false, true),
            (Some("control-group"), false, false),
            (None, false, false),
        ] {
            assert_eq!(embedded.spares(mode), of_embedded, "{mode:?}");
            assert_eq!(service.spares(mode), of_service, "{mode:?}");
        }
    }

    #[test]
    fn the_innermost_unit_counts() {
        for (groups, service) in [
            ("0::/system.slice/web.service\n", Some("web.service")),
            (
                "0::/system.slice/web.service/workers/3\n",
                Some("web.service"),
            ),
            ("0::/system.slice/run-r1.scope\n", None),
            (
                "0::/user.slice/user-7.slice/user@7.service/app.slice/run-u5.scope\n",
                None,
            ),
            (
                "0::/user.slice/user-7.slice/user@7.service/app.slice/a.service\n",
                Some("a.service"),
            ),
            ("0::/user.slice/user-7.slice/session-2.scope\n", None),
            ("0::/\n", None),
            (
                "3:cpu:/x.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
                Some("b.service"),
            ),
            ("", None),
        ] {
            assert_eq!(service_in(groups), service, "{groups}");
        }
    }
}
