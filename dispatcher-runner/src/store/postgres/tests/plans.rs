//! Plans of the statements that read or write what hangs on jobs, and of those that all jobs pass:
//! none of them may read a whole table.

use super::*;

macro_rules! statements {
    ($($name:literal ($($type:literal),*),)+) => { [$(($name, sql!($name), &[$($type),*])),+] };
}

/// With the types of their parameters.
const HOT: [(&str, &str, &[&str]); 15] = statements![
    "batch"("text"),
    "callback_again"("bigint", "bigint"),
    "callback_delete"("bigint"),
    "callbacks_end"("bigint[]"),
    "callbacks_is_due"(),
    "callbacks_take"("bigint", "bigint"),
    "cancel_look"("text[]"),
    "claim"("bigint", "bigint[]", "integer[]"),
    "end"("bigint[]", "smallint[]", "text[]"),
    "expired"("bigint"),
    "fenced"("text[]", "bigint[]"),
    "job"("text"),
    "lost_jobs"("bigint"),
    "prune_batches"("bigint", "bigint"),
    "receipt"("text", "text"),
];

/// Statements of functions, with what stands there for a variable.
const INNER: [&str; 5] = [
    "SELECT key FROM receipts ORDER BY key LIMIT 64 FOR UPDATE SKIP LOCKED",
    "SELECT key FROM receipts ORDER BY key DESC LIMIT 1",
    "SELECT q.jobs FROM batches AS b JOIN batch_requests AS q ON q.batch = b.key WHERE b.id = 'x'",
    "UPDATE batches SET pending = pending - 1 WHERE key = 1 RETURNING pending",
    "UPDATE jobs AS j SET batch = 1 FROM requests AS r WHERE r.id = ANY ('{a,b}') AND j.key = r.job",
];

fn plan(schema: &Schema, prepare: &str, explain: &str) -> String {
    let (server, database) = database();
    let script = format!(
        "SET search_path = {}, pg_catalog; SET enable_seqscan = off; SET jit = off; \
         SET plan_cache_mode = force_generic_plan; SET dispatcher.given = '0'; {prepare} {explain}",
        schema.name,
    );
    server.psql(database, &script)
}

/// Supervisors and dispatchers are few.
fn reads_a_table(plan: &str) -> bool {
    let scans = plan.lines().filter(|line| line.contains("Seq Scan on"));
    scans
        .filter(|line| !line.contains("supervisors") && !line.contains("dispatchers"))
        .count()
        > 0
}

#[test]
fn no_hot_statement_reads_a_table() {
    let schema = Schema::empty();
    for (name, statement, types) in HOT {
        let (of_types, values) = match types {
            [] => (String::new(), String::new()),
            types => (
                format!("({})", types.join(", ")),
                format!("({})", vec!["NULL"; types.len()].join(", ")),
            ),
        };
        let prepare = format!("PREPARE hot{of_types} AS {statement};");
        let plan = plan(&schema, &prepare, &format!("EXPLAIN EXECUTE hot{values}"));
        assert!(!reads_a_table(&plan), "{name}:\n{plan}");
    }
    for statement in INNER {
        let plan = plan(&schema, "", &format!("EXPLAIN {statement}"));
        assert!(!reads_a_table(&plan), "{statement}:\n{plan}");
    }
}
