//! Promises 5 and 9: what goes in comes out, and what happened on one host is on record for all.

use dispatcher_tests::{AWKWARD_TEXTS, Home, PATIENCE, Postgres, eventually, said};
use serde_json::{Value, json};

use super::super::hosts::{Service, all_succeed};
use super::super::{FIXTURE, answer, count, on_host};
use super::{start, submit};

#[derive(Debug, Clone, Copy)]
enum Way {
    /// JSON as an argument of the command line.
    Argument,
    /// JSON in a file.
    File,
    /// JSON on standard input.
    Input,
    /// A value of the program.
    Value,
    /// `dispatcher.enqueue`.
    Sql,
}

const WAYS: [Way; 5] = [Way::Argument, Way::File, Way::Input, Way::Value, Way::Sql];

fn record(name: &str, text: &str, isolation: &str) -> Value {
    json!({ "file": name, "text": text, "options": { "isolation": isolation } })
}

/// Sent on one host, or by nobody's host, and run on another.
#[test]
fn arguments_arrive_as_sent() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let _service = Service::started(&home, "one", &url, &database);
    let mut sent = Vec::new();
    for (at, text) in AWKWARD_TEXTS.iter().enumerate() {
        for (way, isolation) in WAYS.iter().zip(["process", "exec"].iter().cycle()) {
            let name = format!("{way:?}-{at}");
            let payload = record(&name, text, isolation);
            // PostgreSQL's JSON cannot hold it, as the documents say.
            if matches!(way, Way::Sql) && text.contains('\0') {
                continue;
            }
            send(&home, *way, &url, &payload, |sql| database.psql(sql));
            sent.push((name, *text));
        }
    }
    all_succeed(&home, &database, u32::try_from(sent.len()).expect("a few"));
    for (name, text) in sent {
        let arrived = std::fs::read(home.file(&name)).expect("the job wrote it");
        assert_eq!(arrived, text.as_bytes(), "{name}");
    }
    assert!(!home.file("here").exists(), "nothing was run");
}

fn send(home: &Home, way: Way, url: &str, payload: &Value, psql: impl Fn(&str) -> String) {
    let json = payload.to_string();
    let notify = |argument: &str, input: &Value| {
        let arguments = ["notifydispatcher", "Record", argument, "--detach"];
        let child = start(home, "two", url, &arguments, input);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{way:?} {json}: {output:#?}");
    };
    match way {
        Way::Argument => notify(&json, &Value::Null),
        Way::File => {
            std::fs::write(home.file("payload"), &json).expect("a file");
            notify("@payload", &Value::Null);
        }
        Way::Input => notify("-", payload),
        Way::Value => drop(submit(home, "two", url, "Record", payload, 1)),
        Way::Sql => {
            let sent = format!("SELECT dispatcher.enqueue('Record', $json${json}$json$)");
            assert_eq!(psql(&sent).len(), 16);
        }
    }
}

#[test]
fn a_mebibyte_arrives_as_sent() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let _service = Service::started(&home, "one", &url, &database);
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text.push_str(AWKWARD_TEXTS[text.len() % AWKWARD_TEXTS.len()]);
        text.push('x');
    }
    let ways = [Way::File, Way::Input, Way::Value];
    for way in ways {
        let payload = record(&format!("{way:?}"), &text, "process");
        send(&home, way, &url, &payload, |sql| database.psql(sql));
    }
    all_succeed(&home, &database, 3);
    for way in ways {
        let arrived = std::fs::read(home.file(&format!("{way:?}"))).expect("the job wrote it");
        assert!(arrived == text.as_bytes(), "{way:?}");
    }
}

#[test]
fn everything_is_on_record_elsewhere() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let service = Service::started(&home, "one", &url, &database);
    let deed = json!({ "work": { "cpu_ms": 100, "bytes": 32 << 20, "exit": 3 } });
    let backoff = json!({ "kind": "constant", "delay": 10 });
    let options = json!({ "retries": 1, "backoff": backoff });
    let payload = json!({ "deed": deed, "options": options });
    let sent = submit(&home, "two", &url, "Act", &payload, 1);
    let given = submit(&home, "two", &url, "Act", &json!({ "deed": "report" }), 1);
    eventually("they end", PATIENCE, || {
        (count(&database, 3), count(&database, 2)) == (1, 1)
    });
    // Nobody on its host is there any more to ask.
    service.end();
    let shown = answer(&home, "three", &url, &["show", &sent[0], "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["state"], "failed", "{shown:#}");
    for time in ["submitted_at", "started_at", "ended_at"] {
        assert!(shown[time].is_string(), "{time}: {shown:#}");
    }
    let attempts = shown["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{shown:#}");
    for attempt in attempts {
        let outcome = &attempt["outcome"];
        assert_eq!(outcome["cause"], "exited", "{attempt:#}");
        assert_eq!(outcome["exit_status"], json!({ "exited": 3 }));
        let usage = &outcome["usage"];
        assert!(usage["user_us"].as_u64() > Some(50_000), "{attempt:#}");
        assert!(
            usage["max_rss_kib"].as_u64() >= Some(32 << 10),
            "{attempt:#}"
        );
        assert_eq!(attempt["stderr_end"], "written to stderr\n");
        assert_eq!(attempt["build"], shown["build"]);
        assert!(attempt["pid"].is_u64(), "{attempt:#}");
    }
    let logs = on_host(&home, "three", &url, &["logs", &sent[0]]).output();
    let logs = logs.expect("the program starts");
    assert_eq!(said(&logs.stdout), "written to stdout\n");
    assert_eq!(said(&logs.stderr), "written to stderr\n");
    let output = answer(&home, "three", &url, &["output", &given[0]]);
    let output: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(output["tag"], format!("{}.1", given[0]));
}
