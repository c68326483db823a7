//! Application A has a report made by application B, which is killed and restarted meanwhile.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::{Program, http};

const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TOKEN: &str = "a-token-for-reading-jobs";

fn server() -> Program {
    Program::new(env!("CARGO_BIN_EXE_reports_server")).with("DISPATCHER_BACKEND_SECRET", SECRET)
}

fn sender(address: &str) -> Program {
    Program::new(env!("CARGO_BIN_EXE_reports_sender"))
        .with("DISPATCHER_BACKEND_URL", &format!("http://{address}"))
        .with("DISPATCHER_BACKEND_SECRET", SECRET)
        .with("DISPATCHER_BACKEND_TOKEN", TOKEN)
}

#[test]
fn a_report_is_made_though_the_server_dies() {
    let program = server();
    let mut running = program.serve(&["--port", "0", "--token", TOKEN]);
    let address = running.address.clone();
    let figures = program.folder().join("figures");
    let path = figures.to_str().expect("text");
    let sender = sender(&address);
    let mut waiting = sender
        .command(&["7", path])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example can be started");
    let mut said = BufReader::new(waiting.stdout.take().expect("it was piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says what it sent");
    assert!(line.starts_with("sent "), "{line}");

    running.child.kill().expect("it runs");
    running.child.wait().expect("it is a child");
    assert!(http(&address, "GET /", "").is_err(), "it is gone");
    // The job goes on without it.
    std::fs::write(&figures, "40\n2\n").expect("the folder is there");
    let port = address.rsplit(':').next().expect("a port");
    let again = program.serve(&["--port", port, "--token", TOKEN]);
    assert_eq!(again.address, address);

    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("it says the rest");
    let status = waiting.wait().expect("it is a child");
    assert_eq!(rest, "succeeded\n{\"month\":7,\"total\":42}\n");
    assert!(status.success(), "{status:?}");
    let own = http(&address, "GET /", "").expect("it answers");
    assert_eq!(own.body, "reports\n", "its own routes are there as well");
}

#[test]
fn a_server_that_is_not_there_is_a_failed_result() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    drop(listener);
    let output = sender(&address).run(&["7", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("not sent: the other side cannot be reached"),
        "{said}"
    );
}

#[test]
fn a_server_that_receives_nothing_has_no_routes() {
    let program =
        Program::new(env!("CARGO_BIN_EXE_reports_server")).with("DISPATCHER_IS_BACKEND", "false");
    let running = program.serve(&["--port", "0", "--token", TOKEN]);
    let answer = http(&running.address, "POST /v1/jobs", "{}").expect("it answers");
    assert_eq!(answer.status, 404, "{answer:?}");
}
