//! A throw-away PostgreSQL cluster for a test run, made from the packages of the system.
//!
//! All tests of a run share one: each holds a shared lock on the cluster's folder, and a warden
//! ends the server when nobody has held one for a while. Every test has a database of its own in
//! it. A test that stops or breaks the server takes a cluster of its own. The server is named by
//! its folder and ended by its process id.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The account of the server, which refuses to run as root.
const ACCOUNT: &str = "postgres";
/// Ends a shared cluster when its last test has gone: asks every few seconds, and keeps newcomers
/// waiting while it ends the server.
const WARDEN: &str = r#"
cd "$1" || exit 0
while sleep 5; do
    [ -e ready ] || exit 0
    flock --exclusive --nonblock users sh -c '
        rm -f ready
        pid=$(head -n 1 data/postmaster.pid) && kill -INT "$pid" &&
            while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -rf data' && exit 0
done"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    programs: PathBuf,
    ends: Ends,
}

#[derive(Debug)]
enum Ends {
    /// With the last test that holds this.
    WithOthers { _users: File },
    /// With this value.
    WithThis { _directory: tempfile::TempDir },
}

/// A database that ends with this value.
#[derive(Debug)]
pub struct Database<'p> {
    server: &'p Postgres,
    name: String,
}

impl Postgres {
    /// The cluster of this test run.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn shared() -> Self {
        let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| "alone".to_owned());
        let directory = std::env::temp_dir().join(format!("dispatcher-postgres-{run}"));
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        let starting = lock_file(&directory.join("starting"));
        starting.lock().expect("a lock");
        let users = lock_file(&directory.join("users"));
        users.lock_shared().expect("a lock");
        let ready = directory.join("ready");
        let known = fs::read_to_string(&ready).ok();
        let port = known.and_then(|port| port.parse().ok());
        let mut server = Self {
            port: port.unwrap_or(0),
            programs: programs(),
            ends: Ends::WithOthers { _users: users },
            directory,
        };
        if port.is_none() {
            server.begin();
            fs::write(&ready, server.port.to_string()).expect("it can be written");
            let mut warden = Command::new("setsid");
            warden.args(["--fork", "sh", "-c", WARDEN, "warden"]);
            warden.arg(&server.directory).stdin(Stdio::null());
            warden.stdout(Stdio::null()).stderr(Stdio::null());
            assert!(warden.status().expect("a warden").success());
        }
        server
    }

    /// The same, for as long as this process.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn of_process() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(Self::shared)
    }

    /// A cluster that only this value uses.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn alone() -> Self {
        let mut server = Self::not_started();
        server.begin();
        server
    }

    /// A cluster that nobody has started yet, at a port that nobody listens on.
    ///
    /// # Panics
    /// When there is no PostgreSQL.
    #[must_use]
    pub fn not_started() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dispatcher-postgres-")
            .tempdir()
            .expect("a directory for temporary files");
        Self {
            directory: directory.path().to_owned(),
            port: free_port(),
            programs: programs(),
            ends: Ends::WithThis {
                _directory: directory,
            },
        }
    }

    /// Makes the cluster and starts its server.
    ///
    /// # Panics
    /// When it does not start.
    pub fn begin(&mut self) {
        open_to_account(&self.directory);
        let data = self.data();
        let _ = fs::remove_dir_all(&data);
        let mut initdb = self.as_account("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg("--username=postgres").arg(&data);
        succeed(&mut initdb);
        if self.port == 0 {
            self.port = free_port();
        }
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             fsync = off\nmax_connections = 300\nshared_buffers = 64MB\n\
             log_min_error_statement = error\n",
            self.port,
            self.directory.display()
        );
        let mut file = OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))
            .expect("initdb wrote it");
        file.write_all(settings.as_bytes()).expect("it is written");
        self.start();
    }

    /// Starts the server of a cluster that was stopped.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self) {
        succeed(self.control("start").args(["-w", "-t", "60"]));
    }

    /// Stops the server, as a crash would.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn crash(&self) {
        succeed(self.control("stop").args(["-w", "-m", "immediate"]));
    }

    /// Crashes it and starts it again: `pg_ctl restart -m immediate`.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart_immediately(&self) {
        succeed(self.control("restart").args(["-w", "-m", "immediate"]));
    }

    /// The port on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new database.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }

    /// What `psql` prints for these statements, without any decoration.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn psql(&self, database: &str, statements: &str) -> String {
        let output = self.try_psql(database, statements);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// The same for statements that may fail.
    ///
    /// # Panics
    /// When there is no `psql`.
    pub fn try_psql(&self, database: &str, statements: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
        ]);
        psql.arg("-h").arg(&self.directory);
        psql.args([
            "-p",
            &self.port.to_string(),
            "-d",
            database,
            "-c",
            statements,
        ]);
        psql.stdin(Stdio::null()).output().expect("psql starts")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn control(&self, action: &str) -> Command {
        let mut command = self.as_account("pg_ctl");
        command.arg(action).arg("-D").arg(self.data());
        command.arg("-l").arg(self.directory.join("server.log"));
        command
    }

    /// One of the server's programs, under an account that it accepts.
    fn as_account(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={ACCOUNT}"));
            command.arg(format!("--regid={ACCOUNT}"));
            command.arg("--clear-groups").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        match &self.ends {
            Ends::WithOthers { .. } => {}
            Ends::WithThis { .. } => {
                let _ = self
                    .control("stop")
                    .args(["-w", "-m", "immediate"])
                    .output();
            }
        }
    }
}

impl Database<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.server.port)
    }

    /// The same behind another port.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }

    /// [`Postgres::psql`] in this database.
    pub fn psql(&self, statements: &str) -> String {
        self.server.psql(&self.name, statements)
    }

    /// [`Postgres::try_psql`] in this database.
    pub fn try_psql(&self, statements: &str) -> Output {
        self.server.try_psql(&self.name, statements)
    }

    /// Has the server end those connections to this database that fit a condition on
    /// `pg_stat_activity`. How many there were; none when nobody can say.
    pub fn end_connections(&self, condition: &str) -> Option<u32> {
        // PostgreSQL's own word for a connection's process, which is none of ours.
        let ended = self.try_psql(&format!(
            "SELECT count(pg_terminate_back\
             end(pid)) FROM pg_stat_activity WHERE datname = current_database() \
             AND query NOT LIKE '%pg_stat_activity%' AND {condition}"
        ));
        String::from_utf8_lossy(&ended.stdout).trim().parse().ok()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        drop(self.server.try_psql("postgres", &statement));
    }
}

/// A port of the loopback that nobody uses at the moment.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Where the server's programs lie: Debian keeps them out of the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .max();
    newest.expect("PostgreSQL is not installed: scripts/prepare installs it")
}

fn lock_file(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options.open(path).expect("the directory can be written")
}

/// Gives the folder to the server's account, where this is another one.
fn open_to_account(directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (user, group) = ids_of(ACCOUNT).expect("the account of the package `postgresql`");
    chown(directory, Some(user), Some(group)).expect("root may do so");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("root may do so");
}

fn ids_of(account: &str) -> io::Result<(u32, u32)> {
    let text = fs::read_to_string("/etc/passwd")?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .find(|fields| fields.first() == Some(&account))
        .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .ok_or_else(|| io::Error::other(format!("there is no account {account}")))
}

fn succeed(command: &mut Command) {
    // Not a pipe: the server would keep it open.
    let log = tempfile::tempfile().expect("a file");
    let error = log.try_clone().expect("a descriptor");
    let status = command.stdout(log.try_clone().expect("a descriptor"));
    let status = status.stderr(error).status().expect("the program starts");
    if !status.success() {
        let mut said = String::new();
        let mut log = log;
        let _ = io::Seek::rewind(&mut log);
        let _ = io::Read::read_to_string(&mut log, &mut said);
        panic!("{command:?}: {said}");
    }
}
