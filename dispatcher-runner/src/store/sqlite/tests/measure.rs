//! Prints what operations cost; asserts nothing. Run with optimisation and `--run-ignored all`.

use std::thread;
use std::time::Instant;

use super::*;
use crate::store::group::StoreThread;

fn per_job(what: &str, jobs: usize, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let time = start.elapsed();
    let us = time.as_secs_f64() * 1e6 / jobs as f64;
    eprintln!("{what}: {us:.1} us a job, {:.0} a second", 1e6 / us);
}

fn fill(store: &mut SqliteStore, jobs: usize) {
    for _ in 0..jobs.div_ceil(1000) {
        let jobs = (0..jobs.min(1000)).map(|_| job("A")).collect();
        store.submit(&[group(jobs)]).remove(0).unwrap();
    }
}

/// Claims and records everything in batches of 100.
fn drain(store: &mut SqliteStore, supervisor: SupervisorId, jobs: usize) {
    let mut request = crate::store::conformance::request(supervisor, &["A"], 100);
    request.worker_slots = 100;
    let mut left = jobs;
    let (mut claiming, mut recording) = (Duration::ZERO, Duration::ZERO);
    while left > 0 {
        let start = Instant::now();
        let claimed = store.claim(&request).unwrap().jobs;
        claiming += start.elapsed();
        let records: Vec<_> = claimed
            .iter()
            .take(left)
            .map(|one| crate::store::conformance::ending(one, Next::Succeed))
            .collect();
        let start = Instant::now();
        store.record(&records).unwrap();
        recording += start.elapsed();
        left -= records.len();
    }
    let us = |time: Duration| time.as_secs_f64() * 1e6 / jobs as f64;
    eprintln!(
        "  claim {:.1} us, record {:.1} us",
        us(claiming),
        us(recording)
    );
}

#[test]
#[ignore = "a measurement"]
fn costs() {
    let (directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    register(&mut store, "A");
    let bare = plain(&directory.path().join("bare.db"));
    bare.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))
        .unwrap();
    bare.execute_batch("PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        .unwrap();
    let payload = "x".repeat(100);
    per_job("bare durable insert", 1000, || {
        for _ in 0..1000 {
            bare.execute("INSERT INTO t (x) VALUES (?1)", [&payload])
                .unwrap();
        }
    });
    for queued in [0, 10_000, 200_000] {
        fill(&mut store, queued);
        let supervisor = open(&mut store);
        let what = format!("submit, one caller, {queued} more queued");
        per_job(&what, 1000, || {
            for _ in 0..1000 {
                accept(&mut store, job("A"));
            }
        });
        per_job(
            "claim and record in batches of 100",
            20_000.min(queued + 1000),
            || {
                drain(&mut store, supervisor, 20_000.min(queued + 1000));
            },
        );
    }
    let client = StoreThread::spawn(Box::new(store)).unwrap();
    per_job("submit, eight callers", 8000, || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        client.submit(group(vec![job("A")])).unwrap();
                    }
                });
            }
        });
    });
}

/// Writers on connections of their own: the longest wait for one submission.
#[test]
#[ignore = "a measurement"]
fn worst_wait() {
    worst("one writer", 1, |_| {});
    worst("four writers, SQLite's own handler", 4, |store| {
        store.connection.busy_timeout(busy::WAIT_MAX).unwrap();
    });
    worst("four writers", 4, |_| {});
}

fn worst(what: &str, writers: usize, prepare: impl Fn(&mut SqliteStore) + Sync) {
    let (_directory, path) = place();
    register(&mut SqliteStore::open(&path).unwrap(), "A");
    let mut waits = thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|_| {
                scope.spawn(|| {
                    let mut store = SqliteStore::open(&path).unwrap();
                    prepare(&mut store);
                    let waits = (0..1000).map(|_| {
                        let start = Instant::now();
                        accept(&mut store, job("A"));
                        start.elapsed()
                    });
                    waits.collect::<Vec<_>>()
                })
            })
            .collect();
        let waits = writers.into_iter().map(|writer| writer.join().unwrap());
        waits.flatten().collect::<Vec<_>>()
    });
    waits.sort_unstable();
    let at = |part: usize| waits[(waits.len() - 1) * part / 1000];
    eprintln!(
        "{what}: median {:?}, 99.9 % {:?}, worst {:?}",
        at(500),
        at(999),
        at(1000)
    );
}
