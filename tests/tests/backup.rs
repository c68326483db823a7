//! What the guide says of backups: a copy that is made under load is whole, and can be run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Serving, eventually, said};
use rusqlite::Connection;
use serde_json::json;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// The two ways of the guide, as Python writes them.
const VACUUM_INTO: &str = "import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', [sys.argv[2]])";
const BACKUP: &str = "import sqlite3, sys
sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))";

fn copy(script: &str, from: &Path, to: &Path) {
    let output = Command::new("python3")
        .args(["-c", script])
        .args([from, to])
        .output();
    let output = output.expect("scripts/prepare installs Python");
    assert!(output.status.success(), "{}", said(&output.stderr));
}

/// Ids and states of the jobs of a state file, which is whole.
fn jobs(file: &Path) -> Vec<(String, i64)> {
    let connection = Connection::open(file).expect("a state file");
    let whole: String = connection
        .query_one("PRAGMA integrity_check", (), |row| row.get(0))
        .expect("it can be checked");
    assert_eq!(whole, "ok");
    let mut rows = connection
        .prepare("SELECT id, state FROM jobs")
        .expect("the table is there");
    let jobs = rows.query_map((), |row| {
        let id: Vec<u8> = match row.get_ref(0)? {
            rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
                bytes.to_owned()
            }
            other => panic!("{other:?} is no id"),
        };
        Ok((format!("{id:?}"), row.get(1)?))
    });
    let jobs = jobs.expect("a query").collect::<Result<_, _>>();
    jobs.expect("ids and states")
}

fn a_copy_is_whole_and_runs(script: &str) {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &["--workers", "4"]);
    // These run from beginning to end of the copying.
    let gated = home.submit_many("Act", &json!({"deed": {"wait_for": "gate"}}), 2);
    for job in &gated {
        home.wait_running(job);
    }
    let work = json!({"deed": {"run": 20}});
    let first = home.submit_many("Act", &work, 60);
    let mut submitter = home
        .command(["submit", "Act", "200"])
        .stdin(payload(&home, &work))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    eventually("work has begun", PATIENCE, || {
        home.stands(&first[0]).0 != JobState::Queued
    });
    // While jobs are claimed, recorded and submitted.
    let before: BTreeSet<_> = jobs(&home.database()).into_iter().map(|it| it.0).collect();
    let copies: Vec<_> = (0..4)
        .map(|at| home.file(&format!("copy-{at}.db")))
        .collect();
    for to in &copies {
        copy(script, &home.database(), to);
    }
    assert!(submitter.wait().expect("it ends").success());
    for file in &copies {
        let copied: BTreeSet<_> = jobs(file).into_iter().map(|it| it.0).collect();
        assert!(
            copied.is_superset(&before),
            "everything acknowledged is in it"
        );
    }
    let stopped = home.output(["stop", "--now"], b"");
    assert!(stopped.status.success(), "{}", said(&stopped.stderr));
    assert_eq!(service.end().code(), Some(0));

    let other = Home::new(FIXTURE);
    fs::create_dir_all(other.state()).expect("a folder");
    fs::copy(&copies[1], other.database()).expect("a copy of the copy");
    let restored = jobs(&copies[1]);
    let unfinished = restored.iter().filter(|(_, state)| *state < 2).count();
    assert!(unfinished >= gated.len(), "what ran is in it");
    other.open_gate("gate");
    let _service = Serving::start(&other, &["--workers", "4"]);
    eventually("every job of the copy ends", PATIENCE, || {
        let jobs = jobs(&other.database());
        assert_eq!(jobs.len(), restored.len(), "none is lost, none is new");
        jobs.iter().all(|(_, state)| *state >= 2)
    });
}

/// What the submitter reads.
fn payload(home: &Home, work: &serde_json::Value) -> fs::File {
    let path = home.file("payload.json");
    fs::write(&path, work.to_string()).expect("it can be written");
    fs::File::open(path).expect("it was written")
}

#[test]
fn vacuum_into() {
    a_copy_is_whole_and_runs(VACUUM_INTO);
}

#[test]
fn the_backup_interface() {
    a_copy_is_whole_and_runs(BACKUP);
}
