//! Every cell of exit status × what was said × who asked it to stop, against one table.

use super::*;
use crate::Panic;

/// Columns: result, stop, error of the spawn, exit, word of the kernel, hello, link, CPU limit.
/// The first row that fits names the cause; `*` fits all.
const TABLE: [([&str; 8], &str); 19] = [
    (
        ["succeeded", "*", "*", "*", "*", "*", "*", "*"],
        "succeeded",
    ),
    (["failed", "*", "*", "*", "*", "*", "*", "*"], "failed"),
    (
        ["discarded", "*", "*", "*", "*", "*", "*", "*"],
        "discarded",
    ),
    (["snoozed", "*", "*", "*", "*", "*", "*", "*"], "snoozed"),
    (["panicked", "*", "*", "*", "*", "*", "*", "*"], "panicked"),
    (
        ["missing", "*", "*", "*", "*", "*", "*", "*"],
        "missing_requirement",
    ),
    (
        ["-", "timed out", "*", "*", "*", "*", "*", "*"],
        "timed_out",
    ),
    (
        ["-", "cancelled", "*", "*", "*", "*", "*", "*"],
        "cancelled",
    ),
    (
        ["-", "memory", "*", "*", "*", "*", "*", "*"],
        "memory_limit",
    ),
    (
        ["-", "protocol", "*", "*", "*", "*", "*", "*"],
        "protocol_error",
    ),
    (["-", "shutdown", "*", "*", "*", "*", "*", "*"], "shutdown"),
    (["-", "-", "errno", "*", "*", "*", "*", "*"], "spawn_failed"),
    (["-", "-", "-", "-", "*", "*", "*", "*"], "worker_lost"),
    (
        ["-", "-", "-", "*", "killed", "*", "*", "*"],
        "out_of_memory",
    ),
    (["-", "-", "-", "XCPU", "*", "*", "*", "any"], "cpu_limit"),
    (["-", "-", "-", "KILL", "*", "*", "*", "over"], "cpu_limit"),
    (
        ["-", "-", "-", "*", "*", "mute", "framed", "*"],
        "protocol_error",
    ),
    (["-", "-", "-", "0", "*", "*", "status", "*"], "succeeded"),
    (["-", "-", "-", "*", "*", "*", "*", "*"], "by exit"),
];

const CPU_LIMIT_US: u64 = 1_000_000;

fn results() -> Vec<(&'static str, Option<WorkResult>)> {
    let panic = Panic {
        message: "no".into(),
        location: "a.rs:1:1".into(),
        backtrace: String::new(),
    };
    vec![
        ("-", None),
        ("succeeded", Some(WorkResult::Succeeded)),
        (
            "failed",
            Some(WorkResult::Failed {
                message: "no".into(),
                causes: vec!["why".into()],
                retry_after_ms: None,
            }),
        ),
        (
            "discarded",
            Some(WorkResult::Discarded {
                message: "no".into(),
            }),
        ),
        ("snoozed", Some(WorkResult::Snoozed { delay_ms: 1 })),
        ("panicked", Some(WorkResult::Panicked(panic))),
        (
            "missing",
            Some(WorkResult::MissingRequirement {
                names: vec!["x".into()],
            }),
        ),
    ]
}

fn stops() -> Vec<(&'static str, Option<StopReason>)> {
    vec![
        ("-", None),
        ("timed out", Some(StopReason::TimedOut)),
        ("cancelled", Some(StopReason::Cancelled { by: "me".into() })),
        ("memory", Some(StopReason::MemoryLimit)),
        (
            "protocol",
            Some(StopReason::Protocol {
                what: "noise".into(),
            }),
        ),
        ("shutdown", Some(StopReason::Shutdown)),
    ]
}

fn exits() -> Vec<(&'static str, Option<ExitStatus>)> {
    let signalled = |signal, core| Some(ExitStatus::Signalled { signal, core });
    vec![
        ("-", None),
        ("0", Some(ExitStatus::Exited(0))),
        ("3", Some(ExitStatus::Exited(3))),
        ("KILL", signalled(SIGKILL, false)),
        ("SEGV", signalled(11, true)),
        ("XCPU", signalled(SIGXCPU, true)),
    ]
}

const MEMORY: [(&str, MemoryVerdict); 3] = [
    ("silent", MemoryVerdict::Silent),
    ("suspected", MemoryVerdict::Suspected),
    ("killed", MemoryVerdict::Killed),
];
/// No limit, one that was not reached, one that was.
const CPU: [(&str, Option<u64>, u64); 3] = [
    ("-", None, CPU_LIMIT_US),
    ("under", Some(CPU_LIMIT_US), CPU_LIMIT_US - 1),
    ("over", Some(CPU_LIMIT_US), CPU_LIMIT_US),
];

/// Calls `look` with the names of a cell and what was seen in it.
fn each_cell(mut look: impl FnMut([&'static str; 8], &Evidence<'_>)) {
    let (results, stops) = (results(), stops());
    for (result_name, result) in &results {
        for (stop_name, stop) in &stops {
            for (errno_name, spawn_errno) in [("-", None), ("errno", Some(11))] {
                for (exit_name, exit) in exits() {
                    for (memory_name, memory) in MEMORY {
                        for (hello_name, hello) in [("hello", true), ("mute", false)] {
                            for (link_name, link) in [
                                ("framed", LinkKind::Framed),
                                ("status", LinkKind::ExitStatus),
                            ] {
                                for (cpu_name, cpu_limit_us, used) in CPU {
                                    let names = [
                                        *result_name,
                                        stop_name,
                                        errno_name,
                                        exit_name,
                                        memory_name,
                                        hello_name,
                                        link_name,
                                        cpu_name,
                                    ];
                                    let usage = Usage {
                                        user_us: used / 2,
                                        system_us: used - used / 2,
                                        ..Usage::default()
                                    };
                                    look(
                                        names,
                                        &Evidence {
                                            link,
                                            hello,
                                            result: result.as_ref(),
                                            stop: stop.as_ref(),
                                            spawn_errno,
                                            exit,
                                            usage,
                                            cpu_limit_us,
                                            memory,
                                        },
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn fits(pattern: [&str; 8], names: [&str; 8]) -> bool {
    let mut columns = pattern.into_iter().zip(names);
    columns.all(|(pattern, name)| match pattern {
        "*" => true,
        "any" => name != "-",
        _ => pattern == name,
    })
}

#[test]
fn every_cell_has_the_cause_of_the_table() {
    let (mut cells, mut used) = (0_u32, [0_u32; TABLE.len()]);
    each_cell(|names, evidence| {
        cells += 1;
        let row = TABLE.iter().position(|(pattern, _)| fits(*pattern, names));
        let row = row.expect("the last row fits everything");
        used[row] += 1;
        let expected = match (TABLE[row].1, evidence.exit) {
            ("by exit", Some(ExitStatus::Exited(_))) => "exited",
            ("by exit", Some(ExitStatus::Signalled { .. })) => "signalled",
            (name, _) => name,
        };
        assert_eq!(classify(evidence).name(), expected, "{names:?}");
    });
    assert_eq!(cells, 7 * 6 * 2 * 6 * 3 * 2 * 2 * 3);
    assert!(used.iter().all(|count| *count > 0), "{used:?}");
}

#[test]
fn a_cause_carries_what_was_seen() {
    each_cell(|names, evidence| match classify(evidence) {
        Cause::Exited { code } => assert_eq!(evidence.exit, Some(ExitStatus::Exited(code))),
        Cause::Signalled {
            signal,
            core,
            oom_suspected,
        } => {
            assert_eq!(evidence.exit, Some(ExitStatus::Signalled { signal, core }));
            let hint = signal == SIGKILL && evidence.memory == MemoryVerdict::Suspected;
            assert_eq!(oom_suspected, hint, "{names:?}");
        }
        Cause::SpawnFailed { errno } => assert_eq!(evidence.spawn_errno, Some(errno)),
        Cause::Cancelled { by } => assert_eq!(by, "me"),
        Cause::ProtocolError { what } if names[1] == "protocol" => assert_eq!(what, "noise"),
        Cause::ProtocolError { what } => {
            let words = match names[3] {
                "0" => "it exited with status 0 before its hello",
                "3" => "it exited with status 3 before its hello",
                "KILL" => "it was killed by signal 9 before its hello",
                "SEGV" => "it was killed by signal 11 before its hello",
                _ => "it was killed by signal 24 before its hello",
            };
            assert_eq!(what, words);
        }
        Cause::Failed { message, causes } => {
            assert_eq!(
                (message.as_str(), causes.as_slice()),
                ("no", &["why".into()][..])
            );
        }
        Cause::Discarded { message } => assert_eq!(message, "no"),
        Cause::Panicked(panic) => assert_eq!(panic.location, "a.rs:1:1"),
        Cause::MissingRequirement { names } => assert_eq!(names, ["x"]),
        Cause::Succeeded
        | Cause::Snoozed
        | Cause::TimedOut
        | Cause::MemoryLimit
        | Cause::CpuLimit
        | Cause::OutOfMemory
        | Cause::WorkerLost
        | Cause::Shutdown
        | Cause::Expired => {}
    });
}
