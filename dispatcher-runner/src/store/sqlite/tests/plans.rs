//! Plans of the statements whose cost must not grow with the queue or with history.

use super::*;

/// Tables whose size is the number of queue labels in use, of dispatchers, or of supervisors.
const SMALL: [&str; 6] = ["l", "t", "d", "s", "supervisors", "CONSTANT ROW"];

macro_rules! statements {
    ($($name:literal,)+) => { [$(($name, sql!($name))),+] };
}

const HOT: [(&str, &str); 42] = statements![
    "attempt_insert",
    "batch",
    "batch_count",
    "batch_request",
    "batches_old",
    "callbacks_end",
    "callbacks_is_due",
    "callbacks_take",
    "cancel_look",
    "cancel_running",
    "cancellations",
    "capture",
    "claim",
    "claims_of",
    "end_queued",
    "end_running",
    "expired",
    "fenced",
    "fenced_by_key",
    "find",
    "heads",
    "is_anything_ready",
    "job",
    "lanes_ready",
    "lanes_unfinished",
    "latest_output",
    "lost_jobs",
    "next_due",
    "progress",
    "promote_due",
    "receipt",
    "receipts_count",
    "receipts_prune",
    "release_held",
    "request",
    "requeue",
    "schedule",
    "schedules",
    "state",
    "supervisors",
    "supervisors_open",
    "twins",
];

fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let mut explained = connection.prepare(&explain).unwrap();
    // Parameters stay unbound: a plan needs no values.
    let mut rows = explained.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get(3).unwrap());
    }
    lines
}

#[test]
fn no_hot_statement_scans_jobs() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    for (name, statement) in HOT {
        for line in plan(&store.connection, statement) {
            let scanned = line.strip_prefix("SCAN ");
            let scanned = scanned.map(|rest| rest.split(" USING").next().unwrap_or(rest));
            let small = scanned.is_none_or(|table| SMALL.contains(&table));
            assert!(small, "{name}: {line}");
        }
    }
}

#[test]
fn claims_sort_nothing() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    for (name, statement) in HOT {
        if ![
            "heads",
            "promote_due",
            "expired",
            "release_held",
            "twins",
            "find",
        ]
        .contains(&name)
        {
            continue;
        }
        let lines = plan(&store.connection, statement);
        let sorts = lines.iter().any(|line| line.contains("TEMP B-TREE"));
        assert!(!sorts, "{name}: {lines:#?}");
    }
    let heads = plan(&store.connection, sql!("heads"));
    assert_eq!(
        heads,
        [
            "SEARCH jobs USING COVERING INDEX jobs_ready (dispatcher=? AND queue=? AND (rank,seq)>(?,?))"
        ]
    );
}

/// SQLite may prepare a statement anew when a value bound to it changes, at a high price.
#[test]
fn nothing_is_prepared_twice() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let serial = row("A", |options| {
        options.on_duplicate = dispatcher_core::OnDuplicate::Serial;
    });
    store.register(&[serial]).unwrap();
    let supervisor = open(&mut store);
    for _ in 0..30 {
        accept(&mut store, job("A"));
        for one in claim(&mut store, supervisor, &["A"], 1) {
            end(&mut store, &one, Next::Succeed);
        }
    }
    for (name, statement) in HOT {
        let prepared = store.connection.prepare_cached(statement).unwrap();
        let again = prepared.get_status(rusqlite::StatementStatus::RePrepare);
        assert!(again < 5, "{name} was prepared {again} more times");
    }
}
