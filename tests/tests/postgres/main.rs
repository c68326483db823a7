//! Jobs in PostgreSQL, from outside: several hosts, any client, and everything that goes wrong with
//! a server and the way to it.

mod enqueue;
mod faults;
mod hosts;
mod http;
mod leases;
mod promises;
mod storm;

use std::process::Command;

use dispatcher_tests::{Database, Home, PATIENCE, eventually, kill};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// The program on one host of several: with a folder of its own, on the same database.
fn on_host(home: &Home, host: &str, url: &str, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command
        .env("DISPATCHER_DATABASE_URL", url)
        .env("XDG_STATE_HOME", home.file(host));
    command
}

/// Ends everything on a host at once, as a loss of power does.
fn lose_machine(home: &Home, host: &str) {
    let entry = format!("XDG_STATE_HOME={}", home.file(host).display());
    eventually("everything on the host is dead", PATIENCE, || {
        let left = home.processes_with(&entry);
        left.iter().for_each(|it| kill(it.pid));
        left.is_empty()
    });
}

/// What the program prints on a host.
fn answer(home: &Home, host: &str, url: &str, arguments: &[&str]) -> String {
    let output = on_host(home, host, url, arguments).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Jobs in a state, of all dispatchers.
fn count(database: &Database<'_>, state: u8) -> u32 {
    let statement = format!("SELECT count(*) FROM dispatcher.everything WHERE state = {state}");
    database.psql(&statement).parse().expect("a number")
}
