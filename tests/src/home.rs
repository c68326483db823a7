//! A state directory of its own for one test, and the programs that use it.
//!
//! Every process that a test starts inherits an entry that names the directory; by that entry they
//! are found and ended with the test, however far they went from it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dispatcher_core::JobState;
use rusqlite::Connection;
use serde_json::Value;

use crate::processes::{self, Frozen, Kind, Seen, freeze, is_alive, kill};
use crate::record::{self, Job};
use crate::{PATIENCE, eventually, within};

/// A state directory, and a program that works in it.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
    program: PathBuf,
    connection: OnceCell<Connection>,
}

/// A submission that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Exit code of the submitter.
    pub code: i32,
    /// What it wrote to stderr.
    pub said: String,
}

/// Holds the write lock of a state file, and writes nothing.
#[derive(Debug)]
pub struct WriteLock(Connection);

impl Drop for WriteLock {
    fn drop(&mut self) {
        // Closing the connection lets go of the lock in any case.
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

impl Home {
    /// A new directory for this program: `Home::new(env!("CARGO_BIN_EXE_fixture"))`.
    ///
    /// # Panics
    /// When there is no directory for temporary files.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dispatcher-")
            .tempdir()
            .expect("a directory for temporary files");
        Self {
            directory,
            program: program.into(),
            connection: OnceCell::new(),
        }
    }

    /// The same directory with another program.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory, beside the state.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The folder of the state file.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.file("state")
    }

    /// The state file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state().join("state.db")
    }

    /// The program, with nothing in its environment but what is said here.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command_of(&self.program, arguments)
    }

    /// Another program, with the same environment.
    #[must_use]
    pub fn command_of<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8")
            .env("DISPATCHER_LOG", "debug")
            .env("DISPATCHER_DATABASE_URL", self.url())
            .env("DISPATCHER_TEST_HOME", self.path())
            .stdin(Stdio::null());
        command
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.database().display())
    }

    /// Runs the program to its end with something on standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn output<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Output {
        let child = self.begin(arguments, input);
        child.wait_with_output().expect("a program ends")
    }

    /// Starts the program with something on standard input, and pipes for what it says.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn begin<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Child {
        begin(&mut self.command(arguments), input)
    }

    /// Starts the program with pipes for its standard streams.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        start(&mut self.command(arguments))
    }

    /// Submits a job and returns at once.
    ///
    /// # Errors
    /// When it is refused.
    pub fn try_submit(&self, name: &str, payload: &Value) -> Result<String, Refused> {
        let output = self.output(["submit", name], payload.to_string().as_bytes());
        if output.status.success() {
            return Ok(said(&output.stdout).trim().to_owned());
        }
        Err(Refused {
            code: output.status.code().unwrap_or(-1),
            said: said(&output.stderr),
        })
    }

    /// Submits a job.
    ///
    /// # Panics
    /// When it is refused.
    pub fn submit(&self, name: &str, payload: &Value) -> String {
        self.try_submit(name, payload)
            .unwrap_or_else(|refused| panic!("{name} was refused: {refused:?}"))
    }

    /// Submits the same job several times, one after the other, from one process.
    ///
    /// # Panics
    /// When one is refused.
    pub fn submit_many(&self, name: &str, payload: &Value, count: u32) -> Vec<String> {
        let count = count.to_string();
        let output = self.output(["submit", name, &count], payload.to_string().as_bytes());
        assert!(output.status.success(), "{}", said(&output.stderr));
        said(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Submits a job and waits for its end.
    pub fn run(&self, name: &str, payload: &Value) -> Job {
        self.wait(&self.submit(name, payload))
    }

    /// Waits for the end of a job.
    pub fn wait(&self, id: &str) -> Job {
        self.wait_at_most(id, PATIENCE)
    }

    /// Waits for the end of a job that takes its time.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_at_most(&self, id: &str, time: Duration) -> Job {
        let ended = within(time, || self.stands(id).0.is_terminal());
        let job = self.job(id);
        assert!(
            ended.is_some(),
            "no end within {time:?} of {job:?}\nprocesses: {:#?}",
            self.processes()
        );
        job
    }

    /// Waits until a job runs its n-th attempt.
    pub fn wait_running(&self, id: &str) {
        eventually("a job runs", PATIENCE, || {
            self.stands(id).0 == JobState::Running
        });
    }

    /// State and attempts of a job.
    ///
    /// # Panics
    /// When it is not on record.
    #[must_use]
    pub fn stands(&self, id: &str) -> (JobState, u32) {
        record::stands(self.connection(), id).unwrap_or_else(|| panic!("{id} is not on record"))
    }

    /// A job on record.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn job(&self, id: &str) -> Job {
        record::job(self.connection(), id).unwrap_or_else(|| panic!("{id} is not on record"))
    }

    /// Ids of all jobs, in the order of their submission.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        record::ids(self.connection())
    }

    /// How many jobs of a dispatcher are unfinished; `None` while there is no state file to look at.
    #[must_use]
    pub fn unfinished(&self, dispatcher: &str) -> Option<u32> {
        let connection = record::open(&self.database())?;
        record::unfinished(&connection, dispatcher)
    }

    /// Waits until the n-th job is stored; its id.
    pub fn stored(&self, nth: usize) -> String {
        eventually("a job is stored", PATIENCE, || {
            let there = self.database().exists() && record::is_complete(self.connection());
            there.then(|| self.ids())?.get(nth).cloned()
        })
    }

    /// Every row of the state file as text.
    #[must_use]
    pub fn dump(&self) -> Vec<String> {
        record::dump(self.connection())
    }

    /// Takes the write lock of the state file, and holds it until the answer is dropped.
    ///
    /// # Panics
    /// When the lock cannot be had.
    #[must_use]
    pub fn lock(&self) -> WriteLock {
        let connection = record::open(&self.database()).expect("there is a state file");
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("the lock is free in time");
        WriteLock(connection)
    }

    /// Closes the state file, so that it can be replaced; it is opened again at the next look.
    pub fn let_go(&mut self) {
        drop(self.connection.take());
    }

    /// Whether nobody is in the middle of a write to the state file.
    ///
    /// # Panics
    /// When there is no state file.
    #[must_use]
    pub fn is_unlocked(&self) -> bool {
        let connection = record::open(&self.database()).expect("there is a state file");
        let begun = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
        begun.is_ok()
    }

    fn connection(&self) -> &Connection {
        self.connection
            .get_or_init(|| record::open(&self.database()).expect("there is a state file"))
    }

    /// Living processes of this test.
    #[must_use]
    pub fn processes(&self) -> Vec<Seen> {
        let entry = format!("DISPATCHER_TEST_HOME={}", self.path().display());
        processes::with_environment(&entry)
    }

    /// Living processes of this test with this entry in their environment: those of one of several
    /// hosts, say.
    #[must_use]
    pub fn processes_with(&self, entry: &str) -> Vec<Seen> {
        processes::with_environment(entry)
    }

    /// Living processes of one kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Vec<Seen> {
        let mut found = self.processes();
        found.retain(|seen| seen.kind == kind);
        found
    }

    /// Kinds of all living processes of this test, in their order.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<_> = self.processes().iter().map(|seen| seen.kind).collect();
        kinds.sort();
        kinds
    }

    /// Living processes that carry the tag of an attempt.
    #[must_use]
    pub fn tagged(&self) -> Vec<Seen> {
        let mut found = self.processes();
        found.retain(|seen| seen.tag.is_some());
        found
    }

    /// Waits until no process carries the tag of an attempt.
    pub fn no_tags_left(&self) {
        eventually("nothing carries our tag", PATIENCE, || {
            self.tagged().is_empty()
        });
    }

    /// SIGKILL to all of one kind.
    pub fn kill_all(&self, kinds: &[Kind]) {
        for seen in self.processes() {
            if kinds.contains(&seen.kind) {
                kill(seen.pid);
            }
        }
    }

    /// SIGKILL to all supervisors, and the end of whatever ends with them. Nobody holds a lock
    /// then: a process that has shed its memory may do that for a moment more.
    pub fn end_service(&self) {
        let before = self.processes();
        self.kill_all(&[Kind::Supervisor]);
        eventually("supervisors, keepers and workers end", PATIENCE, || {
            !before.iter().any(|seen| is_alive(seen.pid))
        });
    }

    /// SIGKILL to all of these kinds at one moment: none of them sees the end of another. Whatever
    /// they leave behind lives on.
    pub fn kill_at_once(&self, kinds: &[Kind]) {
        let all = self.processes().into_iter();
        let victims: Vec<i32> = all
            .filter(|seen| kinds.contains(&seen.kind))
            .map(|seen| seen.pid)
            .collect();
        let frozen: Vec<Frozen> = victims.iter().map(|pid| freeze(*pid)).collect();
        for pid in &victims {
            kill(*pid);
        }
        drop(frozen);
        // Whoever submits while they die may take them for alive.
        eventually("they are dead", PATIENCE, || {
            !victims.iter().any(|pid| is_alive(*pid))
        });
    }

    /// Waits until a file is there.
    pub fn wait_for(&self, name: &str) {
        let path = self.file(name);
        eventually(&format!("{name} is written"), PATIENCE, || path.exists());
    }

    /// Makes a file that a job waits for.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn open_gate(&self, name: &str) {
        fs::write(self.file(name), b"").expect("the directory can be written");
    }

    /// What a file holds; empty when there is none.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read(self.file(name)).map_or_else(|_| String::new(), |bytes| said(&bytes))
    }

    /// Its lines, sorted: what jobs noted in whatever order they ran.
    #[must_use]
    pub fn sorted_lines(&self, name: &str) -> Vec<String> {
        let mut lines: Vec<_> = self.read(name).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    /// What jobs of the fixture's `Exclusive` noted when they began, in that order.
    #[must_use]
    pub fn starts(&self) -> Vec<String> {
        let order = self.read("order");
        let starts = order.lines().filter_map(|line| line.strip_prefix("start "));
        starts.map(str::to_owned).collect()
    }

    /// Names of all files below the directory.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let mut names = BTreeSet::new();
        let mut pending = vec![self.path().to_owned()];
        while let Some(directory) = pending.pop() {
            let entries = fs::read_dir(directory).expect("it can be read");
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    pending.push(path.clone());
                }
                names.insert(path);
            }
        }
        names
    }

    /// What supervisors logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(|_| String::new(), |bytes| said(&bytes))
    }

    /// The file in which supervisors log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.state().join("supervisor.log")
    }

    fn end_everything(&self) -> bool {
        let ended = within(PATIENCE, || {
            let left = self.processes();
            for seen in &left {
                kill(seen.pid);
            }
            left.is_empty()
        });
        ended.is_some()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("processes at the failure: {:#?}", self.processes());
        }
        let ended = self.end_everything();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(200)..];
            eprintln!("end of the supervisors' log:\n{}", last.join("\n"));
        } else {
            assert!(ended, "these do not die: {:#?}", self.processes());
        }
    }
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `scripts/prepare` installs what is not built here")
    })
}

/// Starts a program with something on standard input, and pipes for what it says.
///
/// # Panics
/// When it cannot be started.
pub fn begin(command: &mut Command, input: &[u8]) -> Child {
    let mut child = start(command);
    let mut pipe = child.stdin.take().expect("standard input is a pipe");
    // A program that does not read its input says so by its answer.
    let _ = pipe.write_all(input);
    child
}

/// Bytes as text.
#[must_use]
pub fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
