//! Somebody holds an old snapshot while many jobs pass: no dead row can be removed, and the queue
//! must not grow slower and slower over them.

use std::time::{Duration, Instant};

use super::*;
use crate::store::conformance::{ending, group, job, open, register, request};
use crate::store::{Next, Store as _};

const BATCH: usize = 100;

/// Jobs in all, and how much slower the last tenth may be than the first.
fn size() -> (usize, f64) {
    match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
        Ok("long") => (1_000_000, 1.25),
        // Too short to be measured well beside other tests: a cost that grows with every job that
        // has passed would be ten times as high at the end.
        Ok(_) | Err(_) => (10_000, 4.0),
    }
}

#[test]
fn an_old_snapshot_stops_nobody() {
    let schema = Schema::empty();
    let (server, database) = database();
    let mut store = PostgresStore::open_with_clock(
        &schema.target(),
        "here".to_owned(),
        Clock::Given(std::sync::Arc::new(1_700_000_000_000.into())),
    )
    .unwrap();
    register(&mut store, "A");
    let supervisor = open(&mut store);
    let mut holder = std::process::Command::new("psql");
    holder.args(["-X", "-q", "-U", "postgres", "-d", database, "-h"]);
    holder.arg(server.directory());
    holder.args(["-p", &server.port().to_string()]);
    let mut holder = holder.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let begin =
        b"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class \\g /dev/null\n";
    std::io::Write::write_all(holder.stdin.as_mut().unwrap(), begin).unwrap();
    let held = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
        AND query LIKE '%pg_class%' AND datname = current_database()";
    while server.psql(database, held) != "1" {
        std::thread::yield_now();
    }
    let (jobs, slower_max) = size();
    let batches = jobs / BATCH;
    let mut times: Vec<Duration> = Vec::with_capacity(batches);
    let mut done = Vec::new();
    let mut passed = 0;
    for _ in 0..batches {
        let began = Instant::now();
        let sent = store.submit(&[group((0..BATCH).map(|_| job("A")).collect())]);
        assert!(sent[0].is_ok());
        let mut wanted = request(supervisor, &["A"], BATCH as u32);
        wanted.worker_slots = BATCH as u32;
        let (recorded, claim) = store.record_and_claim(&done, &wanted).unwrap();
        passed += recorded.len();
        done = claim
            .jobs
            .iter()
            .map(|it| ending(it, Next::Succeed))
            .collect();
        assert_eq!(done.len(), BATCH);
        times.push(began.elapsed());
    }
    passed += store.record(&done).unwrap().len();
    assert_eq!(passed, batches * BATCH);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let tenth = batches / 10;
    let first: Duration = times[..tenth].iter().sum();
    let last: Duration = times[batches - tenth..].iter().sum();
    let slower = last.as_secs_f64() / first.as_secs_f64();
    eprintln!("{jobs} jobs: first tenth {first:?}, last {last:?}, {slower:.2} times as long");
    assert!(slower < slower_max, "{slower} times as long at the end");
}
