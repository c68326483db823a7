//! What only a file can get wrong: its place, its version, its locks, its plans.

mod files;
mod plans;
mod power_cut;
mod transitions;

pub(in crate::store) use self::power_cut::in_memory;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::store::Next;
use crate::store::conformance::{
    accept, all, check_counters, claim, end, group, job, job_with, open, register, row, submit,
};

/// A directory, and the path of a state file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    (directory, path)
}

/// A second, plain connection, as a foreign program would have.
fn plain(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Lanes that differ from a recount of the jobs.
const LANES: &str = "SELECT COUNT(*) FROM (
    SELECT dispatcher, queue, unfinished, ready FROM lanes WHERE unfinished > 0
    EXCEPT
    SELECT dispatcher, queue, COUNT(*), SUM(state = 0 AND waits_for = 0)
    FROM jobs WHERE state < 2 GROUP BY dispatcher, queue
)";

/// Tallies that differ from a recount of the jobs.
const TALLIES: &str = "SELECT COUNT(*) FROM (
    SELECT dispatcher, waiting, running, finished FROM tallies
    EXCEPT
    SELECT d.id, TOTAL(j.state = 0), TOTAL(j.state = 1), TOTAL(j.state > 1)
    FROM dispatchers AS d LEFT JOIN jobs AS j ON j.dispatcher = d.id GROUP BY d.id
)";

/// Counters of lanes and tallies equal a recount of the jobs.
fn recount(path: &Path) {
    let connection = plain(path);
    for statement in [LANES, TALLIES] {
        let wrong: i64 = connection
            .query_row(statement, [], |row| row.get(0))
            .unwrap();
        assert_eq!(wrong, 0, "{statement}");
    }
}

#[test]
fn counters_equal_a_recount() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    register(&mut store, "A");
    let serial = row("B", |options| {
        options.on_duplicate = dispatcher_core::OnDuplicate::Serial;
    });
    store.register(&[serial]).unwrap();
    let supervisor = open(&mut store);
    for number in 0..40 {
        let name = ["A", "B"][number % 2];
        accept(
            &mut store,
            job_with(name, |job| {
                job.identity = (number % 4).to_string();
                job.options.queue = format!("q{}", number % 3);
            }),
        );
        let claimed = claim(&mut store, supervisor, &["A", "B"], 2);
        let after = Duration::ZERO;
        let nexts = [Next::Succeed, Next::Retry { after }, Next::Fail];
        for (index, one) in claimed.iter().enumerate() {
            end(&mut store, one, nexts[(number + index) % 3]);
        }
        recount(&path);
    }
    store.rescue(supervisor).unwrap();
    let nothing = Retention {
        age: Duration::ZERO,
        count_per_dispatcher: 0,
    };
    store.prune(&nothing, 7).unwrap();
    recount(&path);
    store.prune(&nothing, usize::MAX).unwrap();
    recount(&path);
    check_counters(&mut store);
}

#[test]
fn options_are_stored_as_differences() {
    let mut texts = OptionTexts::default();
    let default = dispatcher_core::Options::default();
    assert_eq!(texts.text(&default).unwrap(), "{}");
    let other = dispatcher_core::Options {
        timeout: None,
        priority: 3,
        ..default
    };
    let text = texts.text(&other).unwrap().to_owned();
    assert_eq!(
        serde_json::from_str::<dispatcher_core::Options>(&text).unwrap(),
        other
    );
    assert!(text.len() < 60, "{text}");
}

#[test]
fn a_whole_commit_fails_or_none_of_it() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    register(&mut store, "A");
    let pages: i64 = store
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    let limit = |store: &SqliteStore, pages: i64| {
        let statement = format!("PRAGMA max_page_count={pages}");
        let set = store
            .connection
            .query_row(&statement, [], |row| row.get::<_, i64>(0));
        assert_eq!(set.unwrap(), pages);
    };
    limit(&store, pages + 20);
    let big = job_with("A", |job| job.payload = "x".repeat(1024 * 1024));
    let groups = [
        group(vec![job("A")]),
        group(vec![big.clone()]),
        group(vec![job("A")]),
    ];
    let answers = store.submit(&groups);
    for answer in &answers {
        let full = matches!(answer, Err(SubmitError::Store(StoreError::Full { .. })));
        assert!(full, "{answer:?}");
    }
    assert_eq!(answers.len(), 3);
    assert!(store.jobs(&all()).unwrap().is_empty());
    recount(&path);
    accept(&mut store, job("A"));
    limit(&store, pages + 2000);
    accept(&mut store, big);
    recount(&path);
}

#[test]
fn a_held_lock_is_waited_for_with_a_bound() {
    let (_directory, path) = place();
    let wait_max = Duration::from_millis(50);
    let mut store = SqliteStore::open_waiting(&path, wait_max).unwrap();
    register(&mut store, "A");
    let blocker = plain(&path);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    match submit(&mut store, job("A")) {
        Err(SubmitError::Store(StoreError::Busy { waited, .. })) => assert_eq!(waited, wait_max),
        other => panic!("{other:?}"),
    }
    assert!(
        store.jobs(&all()).unwrap().is_empty(),
        "readers are not held up"
    );
    blocker.execute_batch("ROLLBACK").unwrap();
    accept(&mut store, job("A"));
}

#[test]
fn a_long_reader_stops_nobody() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    register(&mut store, "A");
    let reader = plain(&path);
    reader
        .execute_batch("BEGIN; SELECT COUNT(*) FROM jobs;")
        .unwrap();
    for _ in 0..50 {
        let big = job_with("A", |job| job.payload = "x".repeat(200_000));
        accept(&mut store, big);
    }
    assert_eq!(store.jobs(&all()).unwrap().len(), 50);
}
