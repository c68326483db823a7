//! Jobs in PostgreSQL, from outside: several hosts, any client, and everything that goes wrong with
//! a server and the way to it.

mod enqueue;
mod faults;
mod hosts;
mod http;
mod leases;
mod promises;
mod storm;

use std::process::{Child, Command, Output};

use dispatcher_tests::{
    Database, Home, HostService, PATIENCE, Postgres, begin, eventually, kill, on_host, said,
};
use serde_json::Value;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

const HOSTS: [&str; 3] = ["one", "two", "three"];

/// Some hosts, and the database that they share.
struct Site<'p> {
    // Goes first: its processes use the database.
    home: Home,
    database: Database<'p>,
    /// Where they find it.
    url: String,
}

impl Site<'static> {
    /// One of many on the cluster of this run.
    fn new() -> Self {
        Self::on(Postgres::of_process())
    }
}

impl<'p> Site<'p> {
    fn on(server: &'p Postgres) -> Self {
        let database = server.database();
        Self {
            home: Home::new(FIXTURE),
            url: database.url(),
            database,
        }
    }

    fn psql(&self, statements: &str) -> String {
        self.database.psql(statements)
    }

    fn try_psql(&self, statements: &str) -> Output {
        self.database.try_psql(statements)
    }

    /// The program on a host.
    fn command(&self, host: &str, arguments: &[&str]) -> Command {
        on_host(&self.home, host, &self.url, arguments)
    }

    /// What the program prints on a host.
    fn answer(&self, host: &str, arguments: &[&str]) -> String {
        let output = self.command(host, arguments).output();
        let output = output.expect("the program starts");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            said(&output.stderr)
        );
        said(&output.stdout).trim().to_owned()
    }

    /// The program on a host, with this on standard input.
    fn start(&self, host: &str, arguments: &[&str], input: &Value) -> Child {
        let input = input.to_string();
        begin(&mut self.command(host, arguments), input.as_bytes())
    }

    /// Sends the same job several times from one host; their ids.
    fn submit(&self, host: &str, name: &str, payload: &Value, jobs: u32) -> Vec<String> {
        let arguments = ["submit", name, &jobs.to_string()];
        let child = self.start(host, &arguments, payload);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output.stderr));
        said(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Sends many jobs in one statement.
    fn send(&self, dispatcher: &str, payload: &str, jobs: u32) {
        let sent = self.psql(&format!(
            "SELECT count(*) FROM dispatcher.enqueue_many('{dispatcher}', \
             array_fill('{payload}'::jsonb, ARRAY[{jobs}]))"
        ));
        assert_eq!(sent, jobs.to_string());
    }

    /// A service on a host, whose row is open.
    fn serve(&self, host: &str) -> HostService {
        HostService::start(&self.home, host, &self.url).open(&self.database)
    }

    /// One on each host.
    fn serve_everywhere(&self) -> [HostService; 3] {
        HOSTS.map(|host| self.serve(host))
    }

    /// One whose lease is over in a moment.
    fn serve_leased(&self, host: &str) -> HostService {
        HostService::start_with(&self.home, host, &self.url, "5s").open(&self.database)
    }

    /// Ends everything on a host at once, as a loss of power does.
    fn lose(&self, host: &str) {
        let entry = format!("XDG_STATE_HOME={}", self.home.file(host).display());
        eventually("everything on the host is dead", PATIENCE, || {
            let left = self.home.processes_with(&entry);
            left.iter().for_each(|it| kill(it.pid));
            left.is_empty()
        });
    }

    /// Jobs in a state, of all dispatchers.
    fn count(&self, state: u8) -> u32 {
        let statement = format!("SELECT count(*) FROM dispatcher.everything WHERE state = {state}");
        self.psql(&statement).parse().expect("a number")
    }

    /// Waits until every job has succeeded, each once, and none ran beside itself.
    fn all_succeed(&self, jobs: u32) {
        eventually("all jobs succeed", PATIENCE * 2, || {
            let done = self.count(2);
            assert_eq!(self.count(3), 0, "none failed");
            done == jobs
        });
        assert_eq!(self.home.read("violations"), "");
        let successes = "SELECT count(*) FROM dispatcher.attempts
            WHERE outcome::json->>'cause' = 'succeeded'";
        assert_eq!(self.psql(successes), jobs.to_string());
    }
}
