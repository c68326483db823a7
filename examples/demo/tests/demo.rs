//! The demo is run as its reader would run it: three programs that talk over PostgreSQL.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::time::Duration;

use dispatcher_tests::{PATIENCE, eventually, free_port, terminate, within};

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        terminate(self.0.id());
        eventually("it ends", PATIENCE, || self.has_ended());
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // Killed at once, it would leave its own children behind.
        terminate(self.0.id());
        if within(Duration::from_secs(10), || self.has_ended()).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[test]
fn bursts_are_run_listed_and_cancelled() {
    let folder = std::env::temp_dir().join(format!("dispatcher-demo-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let port = free_port().to_string();
    let here = env!("CARGO_MANIFEST_DIR");
    let mut postgres = Command::new(format!("{here}/postgres"));
    let log = File::create(folder.join("postgres.log")).expect("a file");
    let mut postgres = Running(
        postgres
            .arg(&port)
            .stdout(log.try_clone().expect("it"))
            .stderr(log)
            .spawn()
            .expect("it starts"),
    );
    let text = include_str!("../dispatcher.toml").replace("54329", &port);
    fs::write(folder.join("dispatcher.toml"), text).expect("a file");
    let program = |path: &str| {
        let mut command = Command::new(path);
        command
            .current_dir(&folder)
            .env("DISPATCHER_CONFIG", "dispatcher.toml");
        command.env(
            "DISPATCHER_DATABASE_URL",
            format!("sqlite:{}/state.db", folder.display()),
        );
        command
    };
    let log = File::create(folder.join("service.log")).expect("a file");
    let mut service = program(env!("CARGO_BIN_EXE_demo-service"));
    let mut service = Running(service.arg("serve").stderr(log).spawn().expect("it starts"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    eventually("the service listens", PATIENCE, || {
        read("service.log").contains("messages are taken from PostgreSQL")
    });
    let output = program(env!("CARGO_BIN_EXE_demo-bursts"))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = read("service.log");
    assert!(output.status.success(), "{output:?}\n{log}");
    assert!(said.contains("\"node_id\": \"demo\""), "{said}\n{log}");
    assert!(said.contains("cancelled by its uuid: 1"), "{said}\n{log}");
    assert!(said.contains("cancelled by their task: "), "{said}\n{log}");
    assert!(!said.contains("nobody answers"), "{said}\n{log}");
    let jobs = || {
        let output = program(env!("CARGO_BIN_EXE_demo-service"))
            .args(["jobs", "--limit", "1000"])
            .output();
        String::from_utf8_lossy(&output.expect("it starts").stdout).into_owned()
    };
    eventually("a heartbeat is on record", PATIENCE, || {
        jobs().contains("Heartbeat")
    });
    eventually("nothing is left", PATIENCE, || {
        let output = program(env!("CARGO_BIN_EXE_demo-service"))
            .args(["jobs", "--state", "running"])
            .output();
        let running = String::from_utf8_lossy(&output.expect("it starts").stdout).into_owned();
        !running.contains("Work")
    });
    let listed = program(env!("CARGO_BIN_EXE_demo-service"))
        .args(["jobs", "--state", "cancelled", "--limit", "1000", "--json"])
        .output();
    all_long_ones_are_cancelled(&listed.expect("it starts").stdout);
    service.end();
    postgres.end();
    fs::remove_dir_all(&folder).expect("nobody uses it");
}

/// Short ones that had no turn yet are cancelled, too; the duplicate was dropped.
fn all_long_ones_are_cancelled(listed: &[u8]) {
    let cancelled = String::from_utf8_lossy(listed);
    assert_eq!(cancelled.matches("600000").count(), 20, "{cancelled}");
}
