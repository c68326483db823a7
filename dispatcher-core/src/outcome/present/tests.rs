//! The outcome table of the documentation, cell by cell.

use std::time::Duration;

use super::*;
use crate::Panic;

fn options() -> Options {
    Options {
        memory_limit: Some(512 << 20),
        cpu_limit: Some(Duration::from_secs(90)),
        expires: Some(Duration::from_secs(7200)),
        ..Options::default()
    }
}

fn panicked(location: &str) -> Cause {
    Cause::Panicked(Panic {
        message: "index out of bounds\nnote: more".into(),
        location: location.into(),
        backtrace: "0: main".into(),
    })
}

fn signalled(signal: i32, core: bool, oom_suspected: bool) -> Cause {
    Cause::Signalled {
        signal,
        core,
        oom_suspected,
    }
}

type Row = (Cause, &'static str, Option<u8>, &'static str);

fn table() -> Vec<Row> {
    [
        said_by_the_job(),
        said_by_the_kernel(),
        limits(),
        said_by_us(),
    ]
    .concat()
}

fn said_by_the_job() -> Vec<Row> {
    let causes = vec!["permission denied".into(), "os error 13".into()];
    let failed = Cause::Failed {
        message: "cannot renew".into(),
        causes,
    };
    let discarded = Cause::Discarded {
        message: "no such domain".into(),
    };
    vec![
        (Cause::Snoozed, "snoozed", None, "asked to be run later"),
        (Cause::Succeeded, "succeeded", Some(0), "succeeded"),
        (
            failed,
            "failed",
            Some(1),
            "failed: cannot renew: permission denied: os error 13",
        ),
        (
            discarded,
            "discarded",
            Some(1),
            "failed and asked not to be retried: no such domain",
        ),
        (
            panicked("src/a.rs:3:5"),
            "panicked",
            Some(1),
            "panicked at src/a.rs:3:5: index out of bounds…",
        ),
        (
            panicked(""),
            "panicked",
            Some(1),
            "panicked: index out of bounds…",
        ),
    ]
}

fn said_by_the_kernel() -> Vec<Row> {
    vec![
        (
            Cause::Exited { code: 0 },
            "exited",
            Some(1),
            "exited with code 0, but without a result",
        ),
        (
            Cause::Exited { code: 3 },
            "exited",
            Some(3),
            "exited with code 3",
        ),
        (
            Cause::Exited { code: 255 },
            "exited",
            Some(255),
            "exited with code 255",
        ),
        (
            signalled(11, true, false),
            "signalled",
            Some(139),
            "was killed by SIGSEGV (core dumped)",
        ),
        (
            signalled(9, false, true),
            "signalled",
            Some(137),
            "was killed by SIGKILL, probably by the kernel, which ran out of memory meanwhile",
        ),
        (
            signalled(15, false, false),
            "signalled",
            Some(143),
            "was killed by SIGTERM",
        ),
    ]
}

fn limits() -> Vec<Row> {
    vec![
        (
            Cause::TimedOut,
            "timed_out",
            Some(124),
            "ran longer than its timeout of 5m and was stopped",
        ),
        (
            Cause::MemoryLimit,
            "memory_limit",
            Some(137),
            "used more memory than its limit of 512MiB and was stopped",
        ),
        (
            Cause::CpuLimit,
            "cpu_limit",
            Some(152),
            "used more CPU time than its limit of 1m30s and was stopped",
        ),
        (
            Cause::OutOfMemory,
            "out_of_memory",
            Some(137),
            "was killed by the kernel: out of memory (limit 512MiB)",
        ),
    ]
}

fn said_by_us() -> Vec<Row> {
    let cancelled = |by: &str| Cause::Cancelled { by: by.into() };
    let missing = Cause::MissingRequirement {
        names: vec!["certbot".into(), "openssl".into()],
    };
    let protocol = Cause::ProtocolError {
        what: "died before its hello".into(),
    };
    vec![
        (
            cancelled("pid 12 (app)"),
            "cancelled",
            Some(130),
            "was cancelled by pid 12 (app)",
        ),
        (cancelled(""), "cancelled", Some(130), "was cancelled"),
        (
            Cause::Expired,
            "expired",
            Some(75),
            "waited longer than its expiry of 2h and was not started",
        ),
        (
            missing,
            "missing_requirement",
            Some(78),
            "needs what is not there: certbot, openssl",
        ),
        (
            protocol,
            "protocol_error",
            Some(70),
            "broke the protocol with its supervisor: died before its hello",
        ),
        (
            Cause::WorkerLost,
            "worker_lost",
            Some(70),
            "was lost together with its supervisor or host",
        ),
        (
            Cause::Shutdown,
            "shutdown",
            None,
            "was stopped by a shutdown and is queued again",
        ),
    ]
}

#[test]
fn every_cell() {
    for (cause, name, code, sentence) in table() {
        assert_eq!(cause.name(), name);
        assert_eq!(cause.exit_code(), code, "{name}");
        assert_eq!(cause.sentence(&options()), sentence, "{name}");
    }
}

#[test]
fn the_name_is_the_word_in_rows() {
    for (cause, name, ..) in table() {
        let row = serde_json::to_value(&cause).unwrap();
        assert_eq!(row["cause"], name);
        assert_eq!(serde_json::from_value::<Cause>(row).unwrap(), cause);
    }
}

#[test]
fn a_failed_start_names_the_error() {
    let cause = Cause::SpawnFailed { errno: 11 };
    assert_eq!(
        (cause.name(), cause.exit_code()),
        ("spawn_failed", Some(126))
    );
    let sentence = cause.sentence(&options());
    assert!(sentence.starts_with("could not be started: "), "{sentence}");
    assert!(sentence.ends_with("(os error 11)"), "{sentence}");
}

#[test]
fn every_exit_status_keeps_its_code_but_success() {
    for code in 1..=255 {
        assert_eq!(Cause::Exited { code }.exit_code(), u8::try_from(code).ok());
    }
    for (code, exit) in [(0, 1), (256, 1), (257, 1), (-1, 255), (i32::MIN, 1)] {
        assert_eq!(Cause::Exited { code }.exit_code(), Some(exit), "{code}");
    }
}

#[test]
fn every_signal_has_a_code() {
    for signal in 1..=64 {
        let code = u8::try_from(128 + signal).unwrap();
        assert_eq!(signalled(signal, false, false).exit_code(), Some(code));
    }
    for signal in [i32::MIN, -1, 128, i32::MAX] {
        assert_eq!(signalled(signal, false, false).exit_code(), Some(255));
    }
}

#[test]
fn limits_that_are_not_set_are_not_named() {
    let options = Options {
        timeout: None,
        ..Options::default()
    };
    for (cause, sentence) in [
        (
            Cause::TimedOut,
            "ran longer than its timeout and was stopped",
        ),
        (
            Cause::MemoryLimit,
            "used more memory than its limit and was stopped",
        ),
        (
            Cause::CpuLimit,
            "used more CPU time than its limit and was stopped",
        ),
        (
            Cause::OutOfMemory,
            "was killed by the kernel: out of memory",
        ),
        (
            Cause::Expired,
            "waited longer than its expiry and was not started",
        ),
    ] {
        assert_eq!(cause.sentence(&options), sentence);
    }
}

#[test]
fn signals_have_names() {
    for (signal, name) in [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (31, "SIGSYS"),
        (34, "SIGRTMIN"),
        (37, "SIGRTMIN+3"),
        (64, "SIGRTMIN+30"),
        (0, "signal 0"),
        (-1, "signal -1"),
        (i32::MIN, "signal -2147483648"),
        (32, "signal 32"),
        (65, "signal 65"),
    ] {
        assert_eq!(signal_name(signal), name);
    }
}

#[test]
fn words_of_a_job_are_one_bounded_line() {
    assert_eq!(words("  a\nb"), "a…");
    assert_eq!(words("a\r\n"), "a");
    assert_eq!(words(""), "");
    assert_eq!(
        words(&"é".repeat(1000)).chars().count(),
        WORDS_CHARS_MAX + 1
    );
}
