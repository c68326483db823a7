//! Several runners on one database, each with a folder of its own, as hosts have.

use std::fs::{self, File};
use std::process::{Child, Command};

use dispatcher_tests::{Database, Home, PATIENCE, Postgres, eventually, kill, terminate};

use super::{FIXTURE, answer, count, on_host};

/// A service on one of the hosts.
pub(crate) struct Service {
    child: Child,
    log: std::path::PathBuf,
}

impl Service {
    pub(crate) fn start(home: &Home, host: &str, url: &str) -> Self {
        Self::start_with(home, host, url, "60s")
    }

    pub(crate) fn start_with(home: &Home, host: &str, url: &str, lease: &str) -> Self {
        let log = home.file(&format!("{host}.log"));
        let mut command = on_host(home, host, url, &["serve"]);
        command.env("DISPATCHER_STORE_LEASE", lease);
        command.env_remove("DISPATCHER_LOG");
        // A host that has a configuration has it there.
        let config = home.file(&format!("{host}.toml"));
        if config.exists() {
            command.arg("--config").arg(config);
        }
        let append = File::options().create(true).append(true).open(&log);
        command.stderr(append.expect("the directory can be written"));
        let child = command.spawn().expect("the program starts");
        Self { child, log }
    }

    /// Starts one, and waits until its row is open.
    pub(crate) fn started(home: &Home, host: &str, url: &str, database: &Database<'_>) -> Self {
        Self::start(home, host, url).open(database)
    }

    /// The same, with a lease that is over in a moment.
    pub(crate) fn leased(home: &Home, host: &str, url: &str, database: &Database<'_>) -> Self {
        Self::start_with(home, host, url, "5s").open(database)
    }

    fn open(self, database: &Database<'_>) -> Self {
        let pid = self.child.id();
        eventually("the service is open", PATIENCE, || {
            let rows = format!("SELECT count(*) FROM dispatcher.supervisors WHERE pid = {pid}");
            let asked = database.try_psql(&rows);
            asked.status.success() && asked.stdout.starts_with(b"1")
        });
        self
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        let ended = self.child.try_wait().expect("it is a child");
        ended.is_none()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn end(mut self) {
        terminate(self.child.id());
        let status = self.child.wait().expect("it is a child");
        assert!(status.success(), "{status:?}: {}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        kill(i32::try_from(self.child.id()).unwrap_or_default());
        let _ = self.child.wait();
    }
}

/// Sends many jobs in one statement.
pub(crate) fn send(database: &Database<'_>, dispatcher: &str, payload: &str, jobs: u32) {
    let sent = database.psql(&format!(
        "SELECT count(*) FROM dispatcher.enqueue_many('{dispatcher}', \
         array_fill('{payload}'::jsonb, ARRAY[{jobs}]))"
    ));
    assert_eq!(sent, jobs.to_string());
}

/// Waits until every job has succeeded, and none ran beside itself.
pub(crate) fn all_succeed(home: &Home, database: &Database<'_>, jobs: u32) {
    eventually("all jobs succeed", PATIENCE * 2, || {
        let done = count(database, 2);
        assert_eq!(count(database, 3), 0, "none failed");
        done == jobs
    });
    assert_eq!(home.read("violations"), "");
    let attempts = database.psql("SELECT count(*) FROM dispatcher.attempts");
    assert!(attempts.parse::<u32>().expect("a number") >= jobs);
}

#[test]
fn three_hosts_share_the_work() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let services =
        ["one", "two", "three"].map(|host| Service::started(&home, host, &url, &database));
    send(&database, "Storm", r#"{"ms": 5}"#, 150);
    all_succeed(&home, &database, 150);
    let ran_by = "SELECT count(DISTINCT pid) FROM dispatcher.attempts";
    assert_eq!(database.psql(ran_by), "150", "a process each");
    services.into_iter().for_each(Service::end);
    assert_eq!(
        database.psql("SELECT count(*) FROM dispatcher.supervisors"),
        "0"
    );
}

/// One at a time over all hosts, and each as often as it was sent.
#[test]
fn a_limit_of_concurrency_holds_over_hosts() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let _services =
        ["one", "two", "three"].map(|host| Service::started(&home, host, &url, &database));
    for round in 0..3 {
        send(&database, "Exclusive", r#"{"name": "x", "run_ms": 2}"#, 10);
        eventually("all of a round have run", PATIENCE, || {
            count(&database, 2) == 10 * (round + 1)
        });
    }
    assert_eq!(home.read("violations"), "");
    let lines = home.read("order");
    let starts = lines.lines().filter(|line| line.starts_with("start"));
    assert_eq!(starts.count(), 30);
}

/// `spawn_process()` and the command line, with a detached supervisor of the host.
#[test]
fn a_submitter_is_served_without_a_service() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let said = answer(
        &home,
        "one",
        &url,
        &[
            "notifydispatcher",
            "Shell",
            r#"{"line": "echo over there"}"#,
        ],
    );
    assert_eq!(said, "over there");
    let jobs = answer(&home, "two", &url, &["jobs", "--json"]);
    assert!(jobs.contains("succeeded"), "{jobs}");
    assert_eq!(count(&database, 2), 1);
}

/// What a host holds is not taken over by another one as long as nothing says that it is gone.
#[test]
fn a_service_elsewhere_is_left_alone() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let _one = Service::started(&home, "one", &url, &database);
    send(&database, "Storm", r#"{"gate": "gate"}"#, 1);
    eventually("it runs", PATIENCE, || count(&database, 1) == 1);
    // Longer than the interval of rescue: the other one looks at the rows several times.
    let mut two = Service::started(&home, "two", &url, &database);
    send(&database, "Racer", "{}", 30);
    eventually("the others ran", PATIENCE, || count(&database, 2) == 30);
    dispatcher_tests::pass(std::time::Duration::from_secs(5));
    assert_eq!(count(&database, 1), 1);
    let attempt = "SELECT max(attempt) FROM dispatcher.jobs";
    assert_eq!(database.psql(attempt), "1");
    assert!(two.is_alive());
    home.open_gate("gate");
    all_succeed(&home, &database, 31);
}

/// The password of the URL is nowhere to be read but where it is needed.
#[test]
fn a_password_is_not_shown() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url().replace("postgres@", "postgres:s3cret@");
    let shown = |command: &mut Command| {
        let output = command.output().expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains("s3cret"), "{text}");
        text
    };
    for arguments in [&["config", "show"][..], &["status"], &["doctor"], &["jobs"]] {
        let text = shown(&mut on_host(&home, "one", &url, arguments));
        assert!(text.contains("postgres://postgres@127.0.0.1"), "{text}");
    }
    let wrong = url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
    shown(&mut on_host(&home, "one", &wrong, &["status"]));
    shown(&mut on_host(
        &home,
        "one",
        "postgres://u:s3cret@h/d?schema=S3",
        &["status"],
    ));
}
