//! A durable insert into SQLite without Dispatcher: what a submission is compared with.

use std::path::Path;

/// One row a transaction, write-ahead log, synced: what SQLite itself asks for durability.
pub(crate) struct DurableInsert {
    connection: rusqlite::Connection,
    number: usize,
}

impl DurableInsert {
    pub(crate) fn open(directory: &Path) -> rusqlite::Result<Self> {
        let connection = rusqlite::Connection::open(directory.join("baseline.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE jobs (id TEXT PRIMARY KEY, name TEXT, payload TEXT) STRICT;",
        )?;
        Ok(Self {
            connection,
            number: 0,
        })
    }

    pub(crate) fn step(&mut self) -> rusqlite::Result<()> {
        self.number += 1;
        self.connection
            .prepare_cached(include_str!("sql/bench_insert.sql"))?
            .execute(&[(":id", &format!("{:016}", self.number))])
            .map(drop)
    }
}
