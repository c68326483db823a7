//! `memory_limit` kept by the kernel, in control groups of their own, where a subtree is delegated.
//!
//! Each test says whether it was run for real. Where it was not, the reader of control groups is
//! tested on recorded files alone (`process/cgroup/tests.rs`), and limits by sampling
//! (`outcomes.rs`). `scripts/uml` brings a machine where all of it is for real, and says so with
//! `DISPATCHER_TEST_CGROUP=required`: there a test that cannot be run for real fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_tests::{
    Home, Kind, PATIENCE, Seen, eventually, kill, pass, said, with_own_mounts, within,
};
use rustix::fs::{XattrFlags, setxattr};
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const WAYS: [&str; 2] = ["process", "exec"];

/// The group below which a supervisor makes others; none is said on stderr.
fn subtree(home: &Home) -> Option<PathBuf> {
    let output = home.output(["doctor", "--json"], b"");
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let finding = findings
        .as_array()
        .and_then(|all| all.iter().find(|it| it["subject"] == "cgroup"))
        .expect("the doctor looks at control groups");
    let text = finding["text"].as_str().expect("a text");
    if finding["grade"] != "ok" {
        let required =
            std::env::var_os("DISPATCHER_TEST_CGROUP").is_some_and(|it| it == "required");
        assert!(!required, "DISPATCHER_TEST_CGROUP=required, but {text}");
        eprintln!("tested on recorded files only: {text}");
        return None;
    }
    let below = text
        .strip_prefix("v2, delegated: ")
        .and_then(|rest| rest.strip_suffix("; memory_limit is exact"))
        .expect("it names the group");
    eprintln!("tested for real, below {below}");
    Some(below.into())
}

/// A job of the fixture, as the waiting command tells it.
fn run(home: &Home, deed: &Value, options: &Value) -> (i32, Value) {
    let payload = json!({ "deed": deed, "options": options }).to_string();
    let output = home.output(["notifydispatcher", "Act", &payload, "--json"], b"");
    let record = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().expect("no signal ends it"), record)
}

fn groups_in(base: &Path) -> Vec<String> {
    let entries = fs::read_dir(base).expect("it is there").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("dispatcher-attempt-"))
        .collect()
}

fn has_no_group(base: &Path, record: &Value) -> bool {
    let id = record["id"].as_str().expect("an id");
    !groups_in(base).iter().any(|name| name.contains(id))
}

#[test]
fn out_of_memory_is_the_kernels_word() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let Some(base) = subtree(&home) else {
        return;
    };
    for way in WAYS {
        for deed in ["allocate", "allocate_in_child"] {
            let options = json!({
                "memory_limit": 50 * MIB,
                "isolation": way,
                "retries": 1,
                "backoff": { "kind": "constant", "delay": 10 },
            });
            let (code, record) = run(&home, &json!({ deed: 100 * MIB }), &options);
            assert_eq!(code, 137, "{record:#}");
            assert_eq!(record["state"], "failed");
            assert_eq!(record["attempt"], 2);
            for attempt in record["attempts"].as_array().expect("attempts") {
                assert_eq!(attempt["outcome"]["cause"], "out_of_memory", "{record:#}");
                let peak = attempt["outcome"]["usage"]["tree_peak_kib"].as_u64();
                assert!(peak.is_none_or(|kib| kib <= 50 * 1024), "{record:#}");
            }
            assert_eq!(
                record["sentence"],
                "was killed by the kernel: out of memory (limit 50MiB)"
            );
            assert!(has_no_group(&base, &record), "its groups are removed");
        }
    }
}

#[test]
fn a_job_within_its_limit_is_left_alone() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let Some(base) = subtree(&home) else {
        return;
    };
    let (code, record) = run(
        &home,
        &json!({ "allocate_in_child": 20 * MIB }),
        &json!({ "memory_limit": 100 * MIB }),
    );
    assert_eq!(code, 0, "{record:#}");
    let peak = record["outcome"]["usage"]["tree_peak_kib"].as_u64();
    // Not told before Linux 5.19.
    assert!(peak.is_none_or(|kib| (20 * 1024..=100 * 1024).contains(&kib)));
    assert!(has_no_group(&base, &record));
    // Without a limit there is no group, so nobody knows about the tree.
    let (_, record) = run(&home, &json!("succeed"), &json!({}));
    assert_eq!(record["outcome"]["usage"]["tree_peak_kib"], Value::Null);
}

#[test]
fn a_process_that_is_left_behind_has_no_limit_any_more() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let Some(base) = subtree(&home) else {
        return;
    };
    let options = json!({ "memory_limit": 100 * MIB });
    let (code, record) = run(&home, &json!("leave_child"), &options);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(record["outcome"]["left_processes"], 1, "{record:#}");
    let id = record["id"].as_str().expect("an id");
    let group = base.join(format!("dispatcher-attempt-{id}.1"));
    eventually("its limit is lifted", PATIENCE, || {
        fs::read_to_string(group.join("memory.max")).is_ok_and(|text| text == "max\n")
    });
    // Once it is gone, so is the group: the next supervisor sees to that, if not this one.
    for seen in home.tagged() {
        kill(seen.pid);
    }
    eventually("its group is removed", PATIENCE, || {
        let (_, record) = run(&home, &json!("succeed"), &options);
        has_no_group(&base, &record) && !group.exists()
    });
}

/// Somebody was killed for lack of memory while the job ran: perhaps it was the job's turn, too.
#[test]
fn a_kill_beside_a_lack_of_memory_is_told_with_a_hint() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    if subtree(&home).is_none() {
        return;
    }
    let start = |name: &str| {
        let id = home.submit("Act", &json!({ "deed": { "mark": name } }));
        home.wait_for(name);
        let worker = eventually("it has a process", PATIENCE, || {
            let found = home.of_kind(Kind::Worker);
            let is_its = |seen: &&Seen| seen.arguments.iter().any(|word| word.contains(&id));
            found.iter().find(is_its).map(|seen| seen.pid)
        });
        (id, worker)
    };
    let sentence = |(id, worker): (String, i32)| {
        kill(worker);
        home.wait(&id);
        let output = home.output(["show", &id, "--json"], b"");
        let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(record["outcome"]["cause"], "signalled", "{record:#}");
        record["sentence"].as_str().expect("a sentence").to_owned()
    };
    let before = start("first");
    let options = json!({ "memory_limit": 50 * MIB });
    let (code, record) = run(&home, &json!({ "allocate": 100 * MIB }), &options);
    assert_eq!(code, 137, "{record:#}");
    let hinted = sentence(before);
    // Once a second it is noticed; a job that begins after that has nothing to do with it.
    pass(Duration::from_millis(1_500));
    let plain = sentence(start("second"));
    assert_eq!(plain, "was killed by SIGKILL");
    assert!(
        hinted.starts_with(&plain) && hinted.contains("memory"),
        "{hinted}"
    );
}

/// As `systemd-run --scope` with `Delegate=yes` does it: a group of its own, marked, with nobody
/// else inside.
const SCOPE: &str = r#"echo 0 > "$DISPATCHER_TEST_HOME/scope/cgroup.procs" || exit 1
while [ "$1" != -- ]; do shift; done
shift
exec "$@""#;

/// A group that a manager handed over, with a link to it in the directory of a test.
struct Scope(PathBuf);

impl Scope {
    fn make(base: &Path, home: &Home) -> Self {
        let name = home.path().file_name().expect("it has one");
        let group = base.join(format!("dispatcher-test-{}", name.to_string_lossy()));
        fs::create_dir(&group).expect("the subtree is delegated");
        let scope = Self(group);
        setxattr(&scope.0, "user.delegate", b"1", XattrFlags::empty()).expect("it can be marked");
        std::os::unix::fs::symlink(&scope.0, home.file("scope")).expect("a link");
        scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let removed = within(PATIENCE, || {
            for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(entry.path());
            }
            fs::remove_dir(&self.0).is_ok()
        });
        assert!(
            removed.is_some() || std::thread::panicking(),
            "somebody stays in {}",
            self.0.display()
        );
    }
}

#[test]
fn a_supervisor_makes_room_in_a_scope_of_its_own() {
    with_own_mounts("a_supervisor_makes_room_in_a_scope_of_its_own", || {
        mount("none", "/run", "tmpfs", MountFlags::empty(), None).expect("a mount of its own");
        fs::create_dir_all("/run/systemd/system").expect("the mount can be written");
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        let Some(base) = subtree(&home) else {
            return;
        };
        let control = base.join("cgroup.subtree_control");
        fs::write(&control, "+memory").expect("the subtree is delegated");
        let scope = Scope::make(&base, &home);
        let program = home.file("systemd-run");
        fs::write(&program, format!("#!/bin/sh\n{SCOPE}\n")).expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let deed = json!({ "allocate": 100 * MIB });
        let options = json!({ "memory_limit": 50 * MIB });
        let payload = json!({ "deed": deed, "options": options }).to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = home
            .command(["notifydispatcher", "Act", &payload, "--json"])
            .env("PATH", format!("{}:{path}", home.path().display()))
            .env("INVOCATION_ID", "6b1c")
            .output()
            .expect("it starts");
        let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(record["outcome"]["cause"], "out_of_memory", "{record:#}");
        assert!(has_no_group(&scope.0, &record));
        let supervisor = home.of_kind(Kind::Supervisor).remove(0);
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", supervisor.pid));
        let groups = groups.expect("it lives");
        assert!(groups.contains("/dispatcher-supervisor\n"), "{groups}");
        home.end_service();
        eventually("its groups are empty", PATIENCE, || {
            fs::read_to_string(scope.0.join("cgroup.events"))
                .is_ok_and(|text| text.contains("populated 0"))
        });
        let log = said(home.log().as_bytes());
        assert!(!log.contains("no control group"), "{log}");
    });
}
