//! `dispatcher.enqueue` from SQL and from Python, in anybody's transaction.

use std::process::{Command, Stdio};
use std::thread;

use dispatcher_tests::{PATIENCE, eventually, said};

use super::Site;

#[test]
fn from_psql() {
    let site = Site::new();
    let _service = site.serve("one");
    let id = site.psql("SELECT dispatcher.enqueue('Racer', '{}')");
    assert_eq!(id.len(), 16, "{id}");
    eventually("it ran", PATIENCE, || site.home.read("ran").trim() == id);
    let shown = site.answer("two", &["show", &id, "--json"]);
    assert!(shown.contains("SQL, postgres (psql)"), "{shown}");
    let many = site.psql(
        "SELECT string_agg(id, ' ') FROM dispatcher.enqueue_many(
            'Racer', ARRAY['{}', '{}', '{}']::jsonb[], '{\"priority\": 3, \"timeout\": 60}') AS id",
    );
    assert_eq!(many.split(' ').count(), 3);
    eventually("they ran", PATIENCE, || {
        site.home.read("ran").lines().count() == 4
    });
    let held = site.psql(
        "SELECT dispatcher.enqueue('Racer', '{}', '{\"delay\": 3600, \"unique_key\": \"k\"}')",
    );
    let again = "SELECT dispatcher.enqueue('Racer', '{\"x\": 1}', '{\"unique_key\": \"k\"}')";
    assert_eq!(site.psql(again), held, "the survivor answers");
    let unfinished = "SELECT run_at - submitted_at FROM dispatcher.jobs";
    assert_eq!(site.psql(unfinished), "3600000");
}

#[test]
fn what_cannot_work_is_refused() {
    let site = Site::new();
    let _service = site.serve("one");
    for (statement, why) in [
        (
            "SELECT dispatcher.enqueue('racer', '{}')",
            "no dispatcher is called racer",
        ),
        (
            "SELECT dispatcher.enqueue('Racer', '{}', '{\"dealy\": 1}')",
            "there is no option dealy",
        ),
        (
            "SELECT dispatcher.enqueue('Racer', '{}', '{\"priority\": \"high\"}')",
            "the option priority cannot be \"high\"",
        ),
        (
            "SELECT dispatcher.enqueue('Racer', '{}', '{\"delay\": -1}')",
            "the option delay cannot be -1",
        ),
        (
            "SELECT dispatcher.enqueue('Racer', to_jsonb(repeat('x', 2100000)))",
            "more than 2097152 bytes",
        ),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT dispatcher.enqueue('Ten', '{}'); COMMIT",
            "cannot be sent at isolation level repeatable read",
        ),
    ] {
        let output = site.try_psql(statement);
        let text = said(&output.stderr);
        assert!(!output.status.success(), "{statement}");
        assert!(text.contains(why), "{statement}: {text}");
    }
    assert_eq!(site.psql("SELECT count(*) FROM dispatcher.requests"), "0");
    // Nothing is counted there, so nothing can be counted wrong.
    site.psql(
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT dispatcher.enqueue('Racer', '{}'); COMMIT",
    );
    eventually("it ran", PATIENCE, || site.count(2) == 1);
}

#[test]
fn from_python_inside_a_transaction() {
    let site = Site::new();
    let _service = site.serve("one");
    let script = r#"
import sys, psycopg2
connection = psycopg2.connect(sys.argv[1])
def send(cursor):
    cursor.execute("SELECT dispatcher.enqueue(%s, %s)", ("Racer", "{}"))
    return cursor.fetchone()[0]
cursor = connection.cursor()
cursor.execute("CREATE TABLE orders (job text)")
connection.commit()
cursor.execute("INSERT INTO orders VALUES (%s)", (send(cursor),))
connection.rollback()
cursor.execute("INSERT INTO orders VALUES (%s)", (send(cursor),))
connection.commit()
"#;
    let output = Command::new("/usr/bin/python3")
        .args(["-c", script, &site.url])
        .output()
        .expect("python3 with psycopg2");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let order = site.psql("SELECT job FROM orders");
    assert_eq!(site.psql("SELECT id FROM dispatcher.requests"), order);
    eventually("it ran", PATIENCE, || site.home.read("ran").trim() == order);
}

/// `job.spawn_in(&transaction)`.
#[test]
fn from_rust_inside_a_transaction() {
    let site = Site::new();
    let _service = site.serve("one");
    let gone = site.answer("one", &["submit-in", &site.url, "rollback"]);
    assert_eq!(gone.lines().count(), 2, "{gone}");
    let sent = site.answer("one", &["submit-in", &site.url, "commit"]);
    eventually("they ran", PATIENCE, || {
        site.home.read("ran").lines().count() == 2
    });
    let ran = site.home.read("ran");
    let mut ran: Vec<&str> = ran.lines().collect();
    let mut sent: Vec<&str> = sent.lines().collect();
    ran.sort_unstable();
    sent.sort_unstable();
    assert_eq!(ran, sent);
}

#[test]
fn fifty_connections_keep_to_the_limit() {
    let site = Site::new();
    // The program makes its dispatchers known when it serves. Then there is nobody to run any.
    drop(site.serve("one"));
    let database = &site.database;
    let accepted: u32 = thread::scope(|scope| {
        let senders: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    let output = database
                        .try_psql("SELECT dispatcher.enqueue('Ten', '{\"gate\": \"never\"}')");
                    if !output.status.success() {
                        let text = said(&output.stderr);
                        assert!(
                            text.contains("the queue of Ten is full: 10 of 10"),
                            "{text}"
                        );
                    }
                    u32::from(output.status.success())
                })
            })
            .collect();
        senders
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum()
    });
    assert_eq!(accepted, 10);
    let stored = "SELECT count(*) FROM dispatcher.jobs AS j JOIN dispatcher.dispatchers AS d \
                  ON d.id = j.dispatcher WHERE d.name = 'Ten'";
    assert_eq!(site.psql(stored), "10");
}

/// A transaction that has sent to a limited dispatcher and stays open holds up other senders to it,
/// as the documents say, and nobody else: what it blocks is not the work.
#[test]
fn a_long_transaction_stops_no_work() {
    let site = Site::new();
    let _service = site.serve("one");
    let session = format!("{}?application_name=long", site.url);
    let mut long = Command::new("psql")
        .args(["-X", "-q", "-d", &session])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("psql starts");
    let mut orders = long.stdin.take().expect("it is piped");
    let first =
        "BEGIN; SELECT dispatcher.enqueue('Exclusive', '{\"name\": \"long\", \"run_ms\": 1}');\n";
    std::io::Write::write_all(&mut orders, first.as_bytes()).expect("it is read");
    eventually("it holds its lock", PATIENCE, || {
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'long' \
                    AND state = 'idle in transaction'";
        site.psql(idle) == "1"
    });
    site.send("Storm", r#"{"ms": 1}"#, 20);
    eventually("the others ran", PATIENCE, || site.count(2) == 20);
    let waiting = site.try_psql(
        "SET lock_timeout = '200ms'; SELECT dispatcher.enqueue('Exclusive', '{\"name\": \"x\"}')",
    );
    let text = said(&waiting.stderr);
    assert!(text.contains("lock timeout"), "{text}");
    std::io::Write::write_all(&mut orders, b"COMMIT;\n").expect("it is read");
    drop(orders);
    assert!(long.wait().expect("it is a child").success());
    eventually("it ran as well", PATIENCE, || site.count(2) == 21);
}
