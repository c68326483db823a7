//! The store against a real server: a schema for each test, on the cluster of the test run.

mod plans;
#[path = "../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "black-box tests use the rest")]
mod server;
mod snapshot;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use self::server::Postgres;
use super::{Clock, PostgresStore};
use crate::target::Target;

/// Replaces the database's clock by what the test says.
const GIVEN_CLOCK: &str = "CREATE OR REPLACE FUNCTION clock() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT pg_catalog.current_setting('dispatcher.given')::bigint $$";

/// Empties a schema; faster than TRUNCATE where there is next to nothing.
const EMPTY: &str = "DELETE FROM dispatchers;
    DELETE FROM lanes;
    DELETE FROM jobs;
    DELETE FROM requests;
    DELETE FROM finished;
    DELETE FROM outputs;
    DELETE FROM attempts;
    DELETE FROM captures;
    DELETE FROM tallies;
    DELETE FROM differences;
    DELETE FROM unsettled;
    DELETE FROM schedules;
    DELETE FROM supervisors;
    DELETE FROM receipts;
    DELETE FROM batches;
    DELETE FROM batch_requests;
    DELETE FROM followers;
    DELETE FROM callbacks;
    ALTER SEQUENCE numbers RESTART;
    ALTER SEQUENCE claims RESTART;
    ALTER TABLE supervisors ALTER COLUMN id RESTART;";

/// The database of this test process. It stays until the cluster ends with its last test.
fn database() -> &'static (Postgres, String) {
    static DATABASE: OnceLock<(Postgres, String)> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let server = Postgres::shared();
        let name = format!("unit_{}", std::process::id());
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        (server, name)
    })
}

/// Schemas that were made and emptied again.
static UNUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A schema for one test.
pub(in crate::store) struct Schema {
    name: String,
}

impl Schema {
    /// An empty one, with nothing of any test before.
    pub(in crate::store) fn empty() -> Self {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(name) = unused {
            return Self { name };
        }
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let schema = Self {
            name: format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        let mut store = PostgresStore::open(&schema.target(), "here".to_owned()).unwrap();
        store
            .link
            .migrate(async |tx| tx.script(GIVEN_CLOCK).await)
            .unwrap();
        schema
    }

    pub(super) fn target(&self) -> Target {
        let (server, database) = database();
        let (port, name) = (server.port(), &self.name);
        let url = format!("postgres://postgres@127.0.0.1:{port}/{database}?schema={name}");
        Target::parse(&url).unwrap()
    }

    pub(in crate::store) fn store(&self, host: &str, clock: Clock) -> PostgresStore {
        PostgresStore::open_with_clock(&self.target(), host.to_owned(), clock).unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut store = PostgresStore::open(&self.target(), "here".to_owned()).unwrap();
        store
            .link
            .migrate(async |tx| tx.script(EMPTY).await)
            .unwrap();
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        unused.push(std::mem::take(&mut self.name));
    }
}
