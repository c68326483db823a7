//! A supervisor that a systemd service starts outlives it, or says that it will not.
//!
//! What stands for systemd here is a directory and two scripts, where only the test sees them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dispatcher_tests::{Home, Kind, PATIENCE, eventually, said, terminate, with_own_mounts};
use rustix::mount::{MountFlags, mount, mount_bind};

/// Says what it was asked and becomes the program, as the real one does.
const RUN: &str = r#"echo "$*" >> "$DISPATCHER_TEST_HOME/asked"
while [ "$1" != -- ]; do shift; done
shift
exec "$@""#;
const REFUSE: &str = r#"echo "$*" >> "$DISPATCHER_TEST_HOME/asked"
echo 'Failed to start transient scope unit' >&2
exit 1"#;

/// A machine that systemd is in charge of, with this `systemd-run`.
fn booted(run: &str) -> Home {
    mount("none", "/run", "tmpfs", MountFlags::empty(), None).expect("a mount of its own");
    fs::create_dir_all("/run/systemd/system").expect("the mount can be written");
    let home = Home::new(env!("CARGO_BIN_EXE_odd"));
    fs::create_dir(home.file("bin")).expect("the directory can be written");
    script(&home, "systemd-run", run);
    home
}

fn script(home: &Home, name: &str, text: &str) {
    let path = home.file("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the directory can be written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
}

/// A command in a service, or outside of any.
fn command(home: &Home, words: &[&str], service: &str) -> Command {
    let mut command = home.command(words);
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = home.file("bin");
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.env("INVOCATION_ID", service);
    command.stdin(Stdio::null());
    command
}

fn ran(home: &Home, words: &[&str], service: &str) -> String {
    let output = command(home, words, service).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout)
}

/// A job that keeps its supervisor busy until the end of the test.
const JOB: [&str; 4] = [
    "notifydispatcher",
    "--detach",
    "Gate",
    r#"{"gate":"never"}"#,
];

#[test]
fn a_service_starts_its_supervisor_in_a_scope() {
    with_own_mounts("a_service_starts_its_supervisor_in_a_scope", || {
        let home = booted(RUN);
        ran(&home, &JOB, "4f1d");
        let asked = home.read("asked");
        assert_eq!(asked.lines().count(), 1, "{asked}");
        assert!(
            asked.contains("--scope --collect")
                && asked.contains("--property=Delegate=yes")
                && asked.contains("/exe dispatcher-supervisor"),
            "{asked}"
        );
        // It is shown under its own name, and there is one.
        let found = home.of_kind(Kind::Supervisor);
        let [supervisor] = &found[..] else {
            panic!("{found:#?}")
        };
        assert_eq!(supervisor.arguments[0], env!("CARGO_BIN_EXE_odd"));
        assert_eq!(supervisor.arguments.len(), 3, "{supervisor:?}");
        // Who comes next finds it.
        ran(&home, &JOB, "4f1d");
        assert_eq!(home.read("asked").lines().count(), 1);
    });
}

#[test]
fn without_a_scope_it_is_started_all_the_same() {
    with_own_mounts("without_a_scope_it_is_started_all_the_same", || {
        let home = booted(REFUSE);
        ran(&home, &JOB, "4f1d");
        assert_eq!(home.read("asked").lines().count(), 1);
        assert!(home.log().contains("Failed to start transient scope unit"));
        assert_eq!(home.of_kind(Kind::Supervisor).len(), 1);
    });
}

#[test]
fn outside_of_a_service_nobody_is_asked() {
    with_own_mounts("outside_of_a_service_nobody_is_asked", || {
        let home = booted(RUN);
        ran(&home, &JOB, "");
        assert_eq!(home.read("asked"), "");
    });
}

#[test]
fn status_warns_of_the_service_that_takes_its_supervisor_with_it() {
    with_own_mounts(
        "status_warns_of_the_service_that_takes_its_supervisor_with_it",
        || {
            let home = booted(REFUSE);
            ran(&home, &JOB, "4f1d");
            let found = home.of_kind(Kind::Supervisor);
            let group = home.file("cgroup");
            fs::write(&group, "0::/system.slice/web.service\n").expect("it can be written");
            let shown = format!("/proc/{}/cgroup", found[0].pid);
            mount_bind(&group, Path::new(&shown)).expect("a mount of its own");
            for (mode, warned) in [("control-group", true), ("process", false), ("mixed", true)] {
                script(&home, "systemctl", &format!("echo {mode}"));
                let status = eventually("it is open", PATIENCE, || {
                    let status = ran(&home, &["status"], "");
                    status.contains("1 open").then_some(status)
                });
                let about = status.contains("control group of web.service");
                assert_eq!(about, warned, "{mode}: {status}");
            }
            script(&home, "systemctl", "exit 1");
            assert!(ran(&home, &["status"], "").contains("web.service"));
        },
    );
}

#[test]
fn status_does_not_warn_of_a_service_whose_unit_is_as_it_should_be() {
    with_own_mounts(
        "status_does_not_warn_of_a_service_whose_unit_is_as_it_should_be",
        || {
            let home = booted(REFUSE);
            let mut service = command(&home, &["serve"], "4f1d");
            let mut service = service
                .stderr(Stdio::null())
                .spawn()
                .expect("the program starts");
            eventually("the service is open", PATIENCE, || {
                ran(&home, &["status"], "").contains("1 open")
            });
            let group = home.file("cgroup");
            fs::write(&group, "0::/system.slice/jobs.service\n").expect("it can be written");
            let shown = format!("/proc/{}/cgroup", service.id());
            mount_bind(&group, Path::new(&shown)).expect("a mount of its own");
            for (mode, warned) in [
                ("control-group", true),
                ("process", false),
                ("mixed", false),
            ] {
                script(&home, "systemctl", &format!("echo {mode}"));
                let status = ran(&home, &["status"], "");
                let about = status.contains("Set KillMode=mixed in that unit");
                assert_eq!(about, warned, "{mode}: {status}");
                assert_eq!(status.contains("jobs.service"), warned, "{mode}: {status}");
            }
            terminate(service.id());
            assert!(service.wait().expect("it is a child").success());
        },
    );
}

#[test]
fn the_sample_unit_is_one() {
    let unit = dispatcher_tests::workspace().join("docs/systemd/dispatcher.service");
    let unit = fs::read_to_string(unit).expect("it is there");
    // What every service of ours needs, whoever changes the rest.
    for line in [
        "Type=notify",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "Delegate=yes",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line}");
    }
    let home = Home::new(env!("CARGO_BIN_EXE_odd"));
    let program = "/usr/local/bin/myapp";
    assert!(unit.contains(program));
    let here = home.file("myapp.service");
    fs::write(&here, unit.replace(program, env!("CARGO_BIN_EXE_odd"))).expect("a file");
    let checked = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&here)
        .output();
    let output = match checked {
        Ok(output) => output,
        Err(error) => {
            // Not every machine that can run the tests has systemd.
            eprintln!("not verified: systemd-analyze: {error}");
            return;
        }
    };
    let text = said(&output.stdout) + &said(&output.stderr);
    assert!(
        output.status.success() && !text.contains("myapp.service"),
        "{text}"
    );
}
