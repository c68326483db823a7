//! Workers that cannot start, or never live long: what is said of them, and how the pool comes back.

use std::fs;
use std::time::{Duration, Instant};

use dispatcher_tests::{Home, PATIENCE, Probe, Serving, eventually, said};

use crate::{FIXTURE, PHP, PYTHON, pool, replaced, serve};

/// A pool whose worker is this file of the test's directory.
fn scripted(home: &Home, program: &str, name: &str, keys: &str) -> String {
    let script = home.file(name);
    format!("[pools.w]\ncommand = [{program:?}, {script:?}]\n{keys}\n")
}

/// Waits until the pool is degraded, which is told alike wherever one may look.
fn degraded(home: &Home) -> String {
    let why = eventually("the pool is degraded", PATIENCE, || {
        pool(home, "w")["degraded"].as_str().map(str::to_owned)
    });
    for command in ["workers", "status"] {
        let shown = said(&home.output([command], b"").stdout);
        assert!(shown.contains("degraded"), "{command}: {shown}");
    }
    let metrics = said(&home.output(["status", "--metrics"], b"").stdout);
    let sample = dispatcher_tests::sample(&metrics, r#"dispatcher_pool_degraded{pool="w"}"#);
    assert_eq!(sample, Some(1.0), "{metrics}");
    why
}

/// The pool says why it is degraded long before the time for a start is over, to whoever asks.
fn says_why(home: &Home, config: &str, words: &[&str]) -> Serving {
    let began = Instant::now();
    let service = serve(home, config);
    let why = degraded(home);
    let mut probe = Probe::connect(home);
    let (kind, _, text) = probe.refusal("w", "Ann");
    assert_eq!(kind, "degraded", "{text}");
    for word in words {
        assert!(
            why.contains(word) && text.contains(word),
            "{word} in {why} and {text}"
        );
    }
    // The default is a minute.
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    service
}

fn mended(home: &Home, script: &str, language: crate::Language) {
    language.write(home, script, "");
    let mut probe = Probe::connect(home);
    eventually("the pool comes back", PATIENCE, || {
        probe.exec("w", "Ann")["reply"]["body"] == "hello Ann"
    });
    assert!(pool(home, "w")["degraded"].is_null());
    assert!(replaced(home, "w", "boot_failed") > 0);
}

#[test]
fn a_missing_script_is_quoted_in_php() {
    let home = Home::new(FIXTURE);
    let config = scripted(&home, "php", "missing.php", "");
    let _service = says_why(
        &home,
        &config,
        &[
            "exited with status 1",
            "Could not open input file",
            "missing.php",
        ],
    );
    mended(&home, "missing.php", PHP);
}

#[test]
fn a_missing_script_is_quoted_in_python() {
    let home = Home::new(FIXTURE);
    let config = scripted(&home, "python3", "missing.py", "");
    let _service = says_why(
        &home,
        &config,
        &["exited with status 2", "can't open file", "missing.py"],
    );
    mended(&home, "missing.py", PYTHON);
}

#[test]
fn a_syntax_error_is_quoted_in_php() {
    let home = Home::new(FIXTURE);
    let config = scripted(&home, "php", "broken.php", "");
    fs::copy(PHP.beside("syntax_error.php"), home.file("broken.php")).expect("it can be copied");
    let _service = says_why(&home, &config, &["exited with status 255", "Parse error"]);
    mended(&home, "broken.php", PHP);
}

#[test]
fn a_syntax_error_is_quoted_in_python() {
    let home = Home::new(FIXTURE);
    let config = scripted(&home, "python3", "broken.py", "");
    fs::write(home.file("broken.py"), "def serve(body:\n").expect("it can be written");
    let _service = says_why(&home, &config, &["exited with status 1", "SyntaxError"]);
    mended(&home, "broken.py", PYTHON);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let home = Home::new(FIXTURE);
    let config = "[pools.w]\ncommand = [\"no-such-program\"]";
    let _service = says_why(&home, config, &["no-such-program", "No such file"]);
}

#[test]
fn a_program_that_prints_something_else_is_quoted() {
    let home = Home::new(FIXTURE);
    let config =
        "[pools.w]\ncommand = [\"sh\", \"-c\", \"echo Welcome to this shell; sleep 1000\"]";
    let _service = says_why(&home, config, &["Welcome to this shell"]);
}

#[test]
fn a_program_that_never_says_hello_has_its_time() {
    let home = Home::new(FIXTURE);
    let config = "[pools.w]\ncommand = [\"sleep\", \"1000\"]\nspawn_timeout = \"200ms\"";
    let _service = says_why(&home, config, &["200ms"]);
}

#[test]
fn workers_that_crash_at_every_task_are_made_less_and_less_often() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &PYTHON.pool("workers = 1"));
    let mut probe = Probe::connect(&home);
    let mut refused = Vec::new();
    while refused.last().is_none_or(|kind| kind != "degraded") {
        assert!(refused.len() < 10, "{refused:?}");
        refused.push(probe.refusal("w", "exit 9").0);
    }
    let why = degraded(&home);
    assert!(why.contains("exited with status 9"), "{why}");
    // Whoever asks for something better is served as soon as one is made again.
    eventually("the pool comes back", PATIENCE, || {
        probe.exec("w", "Ann")["reply"]["body"] == "hello Ann"
    });
    assert!(pool(&home, "w")["degraded"].is_null());
    assert_eq!(replaced(&home, "w", "crashed"), refused.len() as u64 - 1);
}
