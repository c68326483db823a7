//! What cannot be asked of the seam: the second time after a commit in doubt, and a schema of before.

use super::super::link::Link;
use super::*;
use crate::store::conformance::{accept, claim, ending, group, job, open};
use crate::store::{NewBatch, Next, Recorded, Store as _, Submission};

/// What `submit_message` says to one job.
fn submitted(schema: &Schema, message: &str, job: &str, resumed: bool) -> String {
    let (server, database) = database();
    let none = "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
    let columns = format!(
        "'{{{job}}}', '{{A}}', '{{1}}', '{{{job}}}', '{{f}}', '{{default}}', '{{0}}', '{{0}}', \
         '{{null}}', ARRAY['{{}}'], '{{test}}', '{{1}}', '{{build}}', '{{null}}'"
    );
    let said = server.psql(
        database,
        &format!(
            "SET dispatcher.given = '0'; SELECT id, duplicate, refusal, replay_of \
             FROM {}.submit_message('{message}', {resumed}, {none}, {columns})",
            schema.name
        ),
    );
    said.replace('\n', " ")
}

#[test]
fn a_message_of_a_call_that_is_resumed_is_no_replay() {
    let schema = Schema::empty();
    let receipt = format!(
        r#"{{"receipt": {{"sender": "s", "id": "m", "hash": "{}", "note": "note", "keep": 9,
            "count_max": 9}}, "batch": {{"id": "b"}}}}"#,
        "00".repeat(32)
    );
    let job = "0000000000000001";
    let told = format!("{job}|f||");
    assert_eq!(submitted(&schema, &receipt, job, false), told);
    assert_eq!(submitted(&schema, &receipt, job, true), told);
    let other = "0000000000000002";
    let replay = format!("|||note {told}");
    assert_eq!(submitted(&schema, &receipt, job, false), replay);
    assert_eq!(submitted(&schema, &receipt, other, true), replay);
    // Without a receipt its own jobs tell.
    let batch = r#"{"batch": {"id": "c"}}"#;
    let (third, told) = ("0000000000000003", "0000000000000003|f||");
    assert_eq!(submitted(&schema, batch, third, false), told);
    assert_eq!(submitted(&schema, batch, third, true), told);
    let refused = r#"||{"batch_exists": {"id": "c"}}|"#;
    assert_eq!(submitted(&schema, batch, other, true), refused);
    let (server, database) = database();
    let counts = format!(
        "SELECT (SELECT count(*) FROM {0}.requests), (SELECT sum(pending) FROM {0}.batches)",
        schema.name
    );
    assert_eq!(server.psql(database, &counts), "2|2");
}

#[test]
fn a_schema_with_jobs_is_brought_up_to_date() {
    const BEFORE: [&str; 3] = [
        include_str!("../migrations/0001_first.sql"),
        include_str!("../migrations/0002_submission.sql"),
        include_str!("../migrations/0003_enqueue.sql"),
    ];
    // With the clock of the server: no other test could use it.
    let target = target_of("before_messages");
    let mut link = Link::new(target.clone(), Clock::System).unwrap();
    let made = link.migrate(async |tx| {
        tx.script("CREATE SCHEMA before_messages").await?;
        tx.run(sql!("migrations_table"), with![]).await?;
        for (number, migration) in (1_i32..).zip(BEFORE) {
            tx.script(migration).await?;
            tx.run(sql!("migration_done"), with![number => INT4])
                .await?;
        }
        tx.script("SELECT dispatcher_named('A'), enqueue('A')")
            .await
    });
    made.unwrap();
    let mut store = PostgresStore::open(&target, "here".to_owned()).unwrap();
    let waiting = store.jobs(&crate::store::conformance::all()).unwrap();
    let supervisor = open(&mut store);
    let claimed = claim(&mut store, supervisor, &["A"], 1).remove(0);
    assert_eq!(claimed.job, waiting[0].id);
    let last = accept(&mut store, job("B"));
    let with_batch = Submission {
        batch: Some(NewBatch {
            id: "b".to_owned(),
            on_finished: None,
        }),
        ..group(vec![job("A")])
    };
    store.submit(&[with_batch]).remove(0).unwrap();
    let recorded = store.record(&[ending(&claimed, Next::Succeed)]).unwrap();
    assert!(matches!(recorded[..], [Recorded::Applied(_)]));
    let batch = store.batch("b").unwrap().unwrap();
    assert_eq!((batch.counts.total, batch.counts.pending), (1, 1));
    assert!(store.job(last).unwrap().unwrap().batch.is_none());
}
