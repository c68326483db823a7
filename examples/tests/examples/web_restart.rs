//! The job that kills its submitter ends well, and what it started outlives everybody.

use std::process::Command;

use crate::support::{Program, eventually, http, is_alive};

/// Ends the server that the job started, whatever the test found.
struct Kill(u32);

impl Drop for Kill {
    fn drop(&mut self) {
        // It may never have been there.
        let _ = Command::new("kill").arg(self.0.to_string()).status();
    }
}

#[test]
fn a_server_replaces_itself() {
    let program = Program::new(env!("CARGO_BIN_EXE_web_restart"));
    let mut server = program.serve(&["serve", "0"]);
    let address = server.address.clone();
    let pid_of = || -> Option<u32> {
        let answer = http(&address, "GET /", "").ok()?;
        answer.body.trim().parse().ok()
    };
    assert_eq!(pid_of(), Some(server.child.id()));

    let accepted = http(&address, "POST /restart", "").expect("it answers");
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let job = accepted.body.trim();
    let gone = server.child.wait().expect("it is our child");
    assert!(!gone.success(), "it was killed: {gone}");
    let new = eventually("the new server", pid_of);
    let _kill = Kill(new);
    assert_ne!(new, server.child.id());

    let ended = eventually("the end of the job", || {
        let job = program.json(&["show", job, "--json"]);
        (job["state"] == "succeeded").then_some(job)
    });
    assert_eq!(ended["output"], new, "{ended}");

    // The supervisor leaves when it has been idle; the server does not leave with it.
    eventually("the supervisor to leave", || {
        let status = program.json(&["status", "--json"]);
        let open = status["supervisors"].as_array().map(Vec::len);
        (open == Some(0)).then_some(())
    });
    assert!(is_alive(new));
    assert_eq!(pid_of(), Some(new));
}
