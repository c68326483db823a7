//! Promise 9: everything is on record: state, attempts, start and end, cause of death by name, exit
//! code or signal, CPU and memory used, captured output, build.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::{Cause, ExitStatus, JobState};
use dispatcher_tests::{Attempt, Home, said};
use serde_json::{Value, json};

const CPU: Duration = Duration::from_millis(150);
const BYTES: u64 = 48 << 20;

fn now_ms() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(time.expect("after 1970").as_millis()).expect("before the year 292 million")
}

/// `device-inode-size-mtime` of the program.
fn build() -> String {
    let file = std::fs::metadata(env!("CARGO_BIN_EXE_fixture")).expect("it was built");
    let mtime = file.mtime() * 1_000_000_000 + file.mtime_nsec();
    format!(
        "{:x}-{:x}-{:x}-{mtime:x}",
        file.dev(),
        file.ino(),
        file.size()
    )
}

fn check_work(attempt: &Attempt, began: i64, ended: i64) {
    let outcome = &attempt.outcome;
    assert_eq!(outcome.cause, Cause::Exited { code: 3 }, "{attempt:#?}");
    assert_eq!(outcome.exit_status, Some(ExitStatus::Exited(3)));
    let started = attempt.started_at.expect("it ran");
    assert!(began <= started && started <= attempt.ended_at && attempt.ended_at <= ended);
    assert!(attempt.run_time >= CPU, "{attempt:#?}");
    let usage = &outcome.usage;
    let used = Duration::from_micros(usage.user_us + usage.system_us);
    assert!(used >= CPU && used < attempt.run_time + CPU, "{attempt:#?}");
    assert!(usage.max_rss_kib >= BYTES / 1024, "{attempt:#?}");
    assert!(usage.max_rss_kib < 4 * BYTES / 1024, "{attempt:#?}");
    assert_eq!(said(&attempt.stdout), "written to stdout\n");
    assert_eq!(said(&attempt.stderr), "written to stderr\n");
    assert_eq!(attempt.build, build());
    assert!(attempt.pid.is_some(), "{attempt:#?}");
}

#[test]
fn everything_is_on_record() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for isolation in ["process", "exec"] {
        let cpu_ms = u64::try_from(CPU.as_millis()).expect("it is short");
        let deed = json!({ "work": { "cpu_ms": cpu_ms, "bytes": BYTES, "exit": 3 } });
        let options = json!({
            "isolation": isolation,
            "retries": 1,
            "backoff": { "kind": "constant", "delay": 10 },
        });
        let began = now_ms();
        let id = home.submit("Act", &json!({ "deed": deed, "options": options }));
        let job = home.wait(&id);
        let ended = now_ms();
        assert_eq!(job.state, JobState::Failed, "{job:#?}");
        assert_eq!((job.attempt, job.failures), (2, 1), "{job:#?}");
        assert!(began <= job.submitted_at && job.submitted_at <= ended);
        assert!(job.ended_at.is_some_and(|at| at <= ended), "{job:#?}");
        let numbers: Vec<u32> = job.attempts.iter().map(|one| one.attempt).collect();
        assert_eq!(numbers, [1, 2]);
        for attempt in &job.attempts {
            check_work(attempt, began, ended);
        }
        assert_ne!(job.attempts[0].pid, job.attempts[1].pid);
        assert!(job.attempts[0].ended_at <= job.attempts[1].started_at.expect("it ran"));
        check_show(&home, &id);
    }
}

/// A user gets at all of it.
fn check_show(home: &Home, id: &str) {
    let job = home.job(id);
    let shown = home.output(["show", id, "--json"], b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let times = ["submitted_at", "started_at", "ended_at"];
    assert!(
        times.iter().all(|time| shown[time].is_string()),
        "{shown:#}"
    );
    assert_eq!(shown["state"], "failed");
    assert_eq!(shown["build"], build());
    for (at, attempt) in job.attempts.iter().enumerate() {
        let told = &shown["attempts"][at];
        assert_eq!(told["outcome"]["cause"], "exited", "{told:#}");
        assert_eq!(told["outcome"]["exit_status"], json!({ "exited": 3 }));
        let usage = &attempt.outcome.usage;
        assert_eq!(told["outcome"]["usage"]["user_us"], usage.user_us);
        assert_eq!(told["outcome"]["usage"]["max_rss_kib"], usage.max_rss_kib);
        assert_eq!(told["pid"], attempt.pid.expect("it ran"));
        assert_eq!(told["build"], attempt.build);
        assert_eq!(told["stderr_end"], "written to stderr\n");
    }
    let text = said(&home.output(["show", id], b"").stdout);
    assert!(text.contains("it exited with code 3"), "{text}");
    assert!(
        text.contains("last lines of stderr\n  written to stderr"),
        "{text}"
    );
    let logs = home.output(["logs", id], b"");
    assert_eq!(said(&logs.stdout), "written to stdout\n");
    assert_eq!(said(&logs.stderr), "written to stderr\n");
}

#[test]
fn a_signal_is_on_record() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let sent = |signal| (signal, json!({ "signal": signal }));
    // Rust's own handler takes the first SEGV that somebody sends; a real one ends the process.
    for (signal, deed) in [sent(6), sent(9), sent(15), (11, json!("null_pointer"))] {
        let job = home.run("Act", &json!({ "deed": deed }));
        let [attempt] = &job.attempts[..] else {
            panic!("one attempt: {job:#?}")
        };
        let Some(ExitStatus::Signalled { signal: seen, core }) = attempt.outcome.exit_status else {
            panic!("a signal: {job:#?}")
        };
        let cause = Cause::Signalled {
            signal,
            core,
            oom_suspected: false,
        };
        assert_eq!((seen, &attempt.outcome.cause), (signal, &cause), "{job:#?}");
    }
}

/// The process on record is the one that ran.
#[test]
fn what_the_job_gave_is_on_record() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for isolation in ["process", "exec"] {
        let payload = json!({ "deed": "report", "options": { "isolation": isolation } });
        let job = home.run("Act", &payload);
        let output: Value =
            serde_json::from_str(job.output.as_deref().expect("it gave one")).expect("JSON");
        assert_eq!(output["pid"], job.attempts[0].pid.expect("it ran"));
        assert_eq!(output["tag"], format!("{}.1", job.id));
        let told = home.output(["output", &job.id], b"");
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!(told, output);
    }
}

/// Of a flood the start and the end are kept, and how much is missing.
#[test]
fn a_flood_is_on_record_at_its_ends() {
    const HEAD: usize = 64 * 1024;
    const TAIL: usize = 192 * 1024;
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for isolation in ["process", "exec"] {
        for (written, kept, dropped) in [
            (HEAD + TAIL, HEAD + TAIL, 0),
            (HEAD + TAIL + 1, HEAD + TAIL, 1),
            (5 << 20, HEAD + TAIL, (5 << 20) - HEAD - TAIL),
        ] {
            let deed = json!({ "write": [written, 5] });
            let payload = json!({ "deed": deed, "options": { "isolation": isolation } });
            let job = home.run("Act", &payload);
            assert_eq!(job.state, JobState::Succeeded, "{:?}", job.outcome);
            let attempt = &job.attempts[0];
            let lengths = (attempt.stdout.len(), attempt.stdout_tail.len());
            assert_eq!(lengths, (HEAD, kept - HEAD), "{written} bytes");
            assert_eq!(attempt.stdout_dropped, dropped as u64, "{written} bytes");
            assert_eq!(said(&attempt.stderr), "eeeee");
        }
    }
}
