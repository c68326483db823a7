//! Promises 5 and 9: what goes in comes out, and what happened on one host is on record for all.

use std::fs;
use std::path::Path;

use dispatcher_tests::{AWKWARD_TEXTS, Form, PATIENCE, awkward_mebibyte, eventually, said};
use serde_json::{Value, json};

use super::super::Site;

fn record(name: &str, text: &str, isolation: &str) -> Value {
    json!({ "file": name, "text": text, "options": { "isolation": isolation } })
}

impl Site<'_> {
    /// Sends it from a host that runs nothing.
    fn send_as(&self, form: Form, payload: &Value) {
        let command = |words: &[&str]| self.command("two", words);
        form.send(&self.home, command, "Record", payload);
    }
}

/// Sent on one host, or by nobody's host, and run on another.
#[test]
fn arguments_arrive_as_sent() {
    let site = Site::new();
    let _service = site.serve("one");
    let mut sent = Vec::new();
    for (at, text) in AWKWARD_TEXTS.iter().enumerate() {
        for (form, isolation) in Form::ALL.iter().zip(["process", "exec"].iter().cycle()) {
            let name = format!("{form:?}-{at}");
            site.send_as(*form, &record(&name, text, isolation));
            sent.push((name, *text));
        }
        // PostgreSQL's JSON cannot hold it, as the documents say.
        if !text.contains('\0') {
            let name = format!("SQL-{at}");
            let json = record(&name, text, "process");
            let sent_by_sql = format!("SELECT dispatcher.enqueue('Record', $json${json}$json$)");
            assert_eq!(site.psql(&sent_by_sql).len(), 16);
            sent.push((name, *text));
        }
    }
    site.all_succeed(u32::try_from(sent.len()).expect("a few"));
    for (name, text) in sent {
        let arrived = fs::read(site.home.file(&name)).expect("the job wrote it");
        assert_eq!(arrived, text.as_bytes(), "{name}");
    }
    // Where senders and where jobs are at work.
    let touched = [site.home.path(), Path::new("/")].map(|path| path.join("here").exists());
    assert_eq!(touched, [false, false], "nothing was run");
}

#[test]
fn a_mebibyte_arrives_as_sent() {
    let site = Site::new();
    let _service = site.serve("one");
    let text = awkward_mebibyte();
    let forms = [Form::File, Form::Input, Form::Value];
    for form in forms {
        site.send_as(form, &record(&format!("{form:?}"), &text, "process"));
    }
    site.all_succeed(3);
    for form in forms {
        let arrived = fs::read(site.home.file(&format!("{form:?}"))).expect("the job wrote it");
        assert!(arrived == text.as_bytes(), "{form:?}");
    }
}

#[test]
fn everything_is_on_record_elsewhere() {
    let site = Site::new();
    let service = site.serve("one");
    let deed = json!({ "work": { "cpu_ms": 100, "bytes": 32 << 20, "exit": 3 } });
    let backoff = json!({ "kind": "constant", "delay": 10 });
    let options = json!({ "retries": 1, "backoff": backoff });
    let payload = json!({ "deed": deed, "options": options });
    let sent = site.submit("two", "Act", &payload, 1);
    let given = site.submit("two", "Act", &json!({ "deed": "report" }), 1);
    eventually("they end", PATIENCE, || {
        (site.count(3), site.count(2)) == (1, 1)
    });
    // Nobody on its host is there any more to ask.
    service.end();
    let shown = site.answer("three", &["show", &sent[0], "--json"]);
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
    let logs = site.command("three", &["logs", &sent[0]]).output();
    let logs = logs.expect("the program starts");
    assert_eq!(said(&logs.stdout), "written to stdout\n");
    assert_eq!(said(&logs.stderr), "written to stderr\n");
    let output = site.answer("three", &["output", &given[0]]);
    let output: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(output["tag"], format!("{}.1", given[0]));
}
