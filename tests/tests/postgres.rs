//! Jobs in PostgreSQL: what a test run has for it.

use dispatcher_tests::Postgres;

#[test]
fn a_database_of_its_own() {
    let server = Postgres::shared();
    let database = server.database();
    assert_eq!(database.psql("SELECT 1 + 1"), "2");
}
