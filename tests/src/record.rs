//! What the state file says, read beside the program that writes it.
//!
//! Read only. The names of tables and columns stand here and nowhere else in the tests.

use std::path::Path;
use std::time::Duration;

use dispatcher_core::{JobState, Options, Outcome};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};
use serde::de::DeserializeOwned;

/// A job on record.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Name of its dispatcher.
    pub dispatcher: String,
    /// Where it stands.
    pub state: JobState,
    /// Attempts started.
    pub attempt: u32,
    /// Attempts that counted as failures.
    pub failures: u32,
    /// Attempts lost with their supervisor.
    pub lost: u32,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it gave to `Context::output`, JSON.
    pub output: Option<String>,
    /// What was submitted, JSON.
    pub payload: String,
    /// Its frozen options.
    pub options: Options,
    /// Milliseconds since 1970.
    pub submitted_at: i64,
    /// Milliseconds since 1970; of the last attempt.
    pub started_at: Option<i64>,
    /// Milliseconds since 1970.
    pub ended_at: Option<i64>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt on record.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Milliseconds since 1970.
    pub ended_at: i64,
    /// How long it ran.
    pub run_time: Duration,
    /// Its process.
    pub pid: Option<i32>,
    /// The build that ran it.
    pub build: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Start of what it wrote.
    pub stdout: Vec<u8>,
    /// Start of what it wrote.
    pub stderr: Vec<u8>,
    /// End of a long stdout.
    pub stdout_tail: Vec<u8>,
    /// Bytes of stdout that were not kept.
    pub stdout_dropped: u64,
}

const ATTEMPTS: &str = "
SELECT a.attempt, a.started_at, a.ended_at, a.run_us, a.pid, a.build, a.outcome,
    c.stdout_head, c.stderr_head, c.stdout_tail, c.stdout_dropped
FROM attempts AS a
JOIN jobs AS j ON j.key = a.job
LEFT JOIN captures AS c ON c.job = a.job AND c.attempt = a.attempt
WHERE j.id = ?1
ORDER BY a.attempt";

const JOB: &str = "
SELECT j.id, d.name, j.state, j.attempt, j.failures, j.lost,
    CASE WHEN j.state < 2 THEN NULL ELSE COALESCE(j.outcome, (
        SELECT a.outcome FROM attempts AS a WHERE a.job = j.key AND a.attempt = j.attempt
    )) END,
    o.output, r.payload, r.options, j.submitted_at, j.started_at, j.ended_at
FROM jobs AS j
JOIN dispatchers AS d ON d.id = j.dispatcher
JOIN requests AS r ON r.job = j.key
LEFT JOIN outputs AS o ON o.job = j.key
WHERE j.id = ?1";

/// Each of these jobs, of one attempt, ended before the next one began.
///
/// # Panics
/// When two of them overlap.
pub fn assert_one_at_a_time(mut jobs: Vec<Job>) {
    jobs.sort_by_key(|job| job.started_at);
    for pair in jobs.windows(2) {
        let ended = pair[0].attempts[0].ended_at;
        let started = pair[1].attempts[0].started_at.expect("it ran");
        assert!(started >= ended, "they overlap: {pair:#?}");
    }
}

/// Opens a state file for reading; `None` while there is none.
pub(crate) fn open(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    connection.busy_timeout(Duration::from_secs(30)).ok()?;
    // So that this reader, should it be the last to leave, changes nothing.
    let config = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(config, true).ok()?;
    Some(connection)
}

pub(crate) fn job(connection: &Connection, id: &str) -> Option<Job> {
    let attempts = connection
        .prepare_cached(ATTEMPTS)
        .and_then(|mut found| found.query_map([id], attempt)?.collect())
        .expect("attempts can be read");
    let job = connection
        .prepare_cached(JOB)
        .and_then(|mut found| found.query_row([id], row).optional())
        .expect("a job can be read");
    job.map(|job| Job { attempts, ..job })
}

/// State and attempts of a job: what a close aim needs.
pub(crate) fn stands(connection: &Connection, id: &str) -> Option<(JobState, u32)> {
    connection
        .prepare_cached("SELECT state, attempt FROM jobs WHERE id = ?1")
        .and_then(|mut found| {
            let row = |row: &Row<'_>| Ok((state(row, 0)?, row.get(1)?));
            found.query_row([id], row).optional()
        })
        .expect("a job can be read")
}

/// Whether a new state file has its tables by now.
pub(crate) fn is_complete(connection: &Connection) -> bool {
    let count = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'jobs'";
    let count: rusqlite::Result<u32> = connection.query_one(count, [], |row| row.get(0));
    count.is_ok_and(|count| count == 1)
}

pub(crate) fn ids(connection: &Connection) -> Vec<String> {
    connection
        .prepare_cached("SELECT id FROM jobs ORDER BY key")
        .and_then(|mut found| found.query_map([], |row| row.get(0))?.collect())
        .expect("jobs can be read")
}

/// How many jobs of a dispatcher are unfinished; `None` before the first is stored.
pub(crate) fn unfinished(connection: &Connection, dispatcher: &str) -> Option<u32> {
    const UNFINISHED: &str = "
SELECT COUNT(*) FROM jobs AS j JOIN dispatchers AS d ON d.id = j.dispatcher
WHERE d.name = ?1 AND j.state < 2";
    let mut found = connection.prepare_cached(UNFINISHED).ok()?;
    found.query_row([dispatcher], |row| row.get(0)).ok()
}

/// Every row of every table as text.
pub(crate) fn dump(connection: &Connection) -> Vec<String> {
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .and_then(|mut found| found.query_map([], |row| row.get(0))?.collect())
        .expect("tables can be read");
    let mut rows = Vec::new();
    for table in tables {
        let mut found = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .expect("a table can be read");
        let columns = found.column_count();
        let texts = found.query_map([], |row| {
            let values: Result<Vec<rusqlite::types::Value>, _> =
                (0..columns).map(|at| row.get(at)).collect();
            Ok(format!("{table}: {:?}", values?))
        });
        let texts: Result<Vec<String>, _> = texts.expect("a table can be read").collect();
        rows.extend(texts.expect("a row can be read"));
    }
    rows
}

fn row(row: &Row<'_>) -> rusqlite::Result<Job> {
    let outcome: Option<String> = row.get(6)?;
    Ok(Job {
        id: row.get(0)?,
        dispatcher: row.get(1)?,
        state: state(row, 2)?,
        attempt: row.get(3)?,
        failures: row.get(4)?,
        lost: row.get(5)?,
        outcome: outcome.map(|text| json(&text)),
        output: row.get(7)?,
        payload: row.get(8)?,
        options: json(&row.get::<_, String>(9)?),
        submitted_at: row.get(10)?,
        started_at: row.get(11)?,
        ended_at: row.get(12)?,
        attempts: Vec::new(),
    })
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let bytes = |at| {
        row.get::<_, Option<Vec<u8>>>(at)
            .map(Option::unwrap_or_default)
    };
    Ok(Attempt {
        attempt: row.get(0)?,
        started_at: row.get(1)?,
        ended_at: row.get(2)?,
        run_time: Duration::from_micros(row.get::<_, i64>(3)?.unsigned_abs()),
        pid: row.get(4)?,
        build: row.get(5)?,
        outcome: json(&row.get::<_, String>(6)?),
        stdout: bytes(7)?,
        stderr: bytes(8)?,
        stdout_tail: bytes(9)?,
        stdout_dropped: row.get::<_, Option<i64>>(10)?.unwrap_or(0).unsigned_abs(),
    })
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<JobState> {
    let number: u8 = row.get(column)?;
    Ok(JobState::ALL[usize::from(number)])
}

fn json<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
