//! A web server with the service inside: jobs are run by it, and SIGTERM ends both in order.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};

use crate::support::{Program, Server, eventually, http, is_alive};

struct Application {
    program: Program,
    server: Server,
}

impl Application {
    fn start(program: Program) -> Self {
        let folder = program.folder();
        let folder = folder.to_str().expect("text");
        let server = program.serve(&["--port", "0", "--folder", folder]);
        eventually("the service to be ready", || {
            let answer = http(&server.address, "GET /ready", "").ok()?;
            (answer.status == 200).then_some(())
        });
        Self { program, server }
    }

    fn welcome(&self, to: &str, step_ms: u64) {
        let body: Value = json!({ "to": to, "step_ms": step_ms });
        let answer = http(&self.server.address, "POST /welcome", &body.to_string());
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    fn welcomed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn file(&self) -> PathBuf {
        self.program.folder().join("welcomes")
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.server.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{kill}");
    }

    fn end(&mut self) -> ExitStatus {
        eventually("it ends", || self.server.child.try_wait().expect("a child"))
    }
}

/// Directories of supervisors; one that ends takes its own along.
fn supervisors(application: &Application) -> usize {
    let state = application.program.state();
    std::fs::read_dir(state.join("supervisors")).map_or(0, Iterator::count)
}

#[test]
fn jobs_of_requests_are_run_by_the_service_inside() {
    let application = Application::start(Program::new(env!("CARGO_BIN_EXE_embedded_service")));
    for name in ["ann", "bob", "cid"] {
        application.welcome(name, 0);
    }
    let all = ["welcome, ann", "welcome, bob", "welcome, cid"];
    eventually("everybody to be welcomed", || {
        (application.welcomed() == all).then_some(())
    });
    assert_eq!(supervisors(&application), 1, "nobody else was started");
}

#[test]
fn on_sigterm_requests_end_first_and_what_runs_finishes() {
    let mut application = Application::start(Program::new(env!("CARGO_BIN_EXE_embedded_service")));
    // Two workers: both are busy, and one job waits.
    for name in ["ann", "bob", "cid"] {
        application.welcome(name, 2_000);
    }
    eventually("both workers to be busy", || {
        let live = std::fs::read_dir(application.program.state().join("live")).ok()?;
        // What each has written so far.
        (live.count() == 2).then_some(())
    });
    application.terminate();
    assert_eq!(application.end().code(), Some(0));
    assert!(http(&application.server.address, "GET /ready", "").is_err());
    assert_eq!(application.welcomed(), ["welcome, ann", "welcome, bob"]);
    assert_eq!(supervisors(&application), 0, "it left nothing behind");
    // Whoever was told "accepted" is served, if only by the next server.
    let next = Application::start(application.program);
    eventually("the last one to be welcomed", || {
        (next.welcomed().len() == 3).then_some(())
    });
    assert!(is_alive(next.server.child.id()));
}
