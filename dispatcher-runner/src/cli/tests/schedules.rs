//! What `schedule` says, about schedules on record and ticks that were decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dispatcher_core::{DecidedTick, TickFate};

use super::*;
use crate::client::ScheduleProblem;

/// Tidies up.
#[derive(Dispatcher, Serialize, Deserialize, Default)]
#[dispatcher(
    name = "CliNightly",
    schedule = "30 2 * * *",
    timezone = "Europe/Berlin",
    overlap = "queue",
    jitter = "1m"
)]
struct Nightly;

impl Process for Nightly {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// On a clock that nobody has.
#[derive(Dispatcher, Serialize, Deserialize, Default)]
#[dispatcher(
    name = "CliNowhere",
    schedule = "daily",
    timezone = "Atlantis/Poseidonis"
)]
struct Nowhere;

impl Process for Nowhere {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// A program with schedules, at 2026-09-21 14:13:20 UTC by its store.
fn scheduled(definitions: &[&'static Definition]) -> (Program, Arc<AtomicI64>) {
    let mut program = program();
    let now = Arc::new(AtomicI64::new(NOW));
    program.host.store = MemoryStore::with_clock(Arc::clone(&now));
    let mut registry = Registry::builder().with(Idle::definition());
    for definition in definitions {
        registry = registry.with(definition);
    }
    program.registry = registry.build().unwrap();
    (program, now)
}

fn nightly() -> (Program, Arc<AtomicI64>) {
    scheduled(&[Nightly::definition()])
}

const JOB: [u8; 10] = [7; 10];
const TICK: UnixMs = NOW - 13 * 60_000 - 20_000;

fn decided(fate: TickFate, job: Option<JobId>) -> DecidedTick {
    DecidedTick {
        tick: TICK,
        fate,
        job,
    }
}

#[test]
fn a_list_shows_five_times_by_the_clock_of_the_zone() {
    let (mut program, now) = nightly();
    let ran = program.run("schedule list");
    assert_eq!(
        ran.out,
        "NAME        SCHEDULE                            LAST TICK  NEXT\n\
         CliNightly  every day at 02:30 (Europe/Berlin)  none yet   Tue 2026-09-22 02:30 +02:00  in 10h16m\n\
         \x20                                                          Wed 2026-09-23 02:30 +02:00\n\
         \x20                                                          Thu 2026-09-24 02:30 +02:00\n\
         \x20                                                          Fri 2026-09-25 02:30 +02:00\n\
         \x20                                                          Sat 2026-09-26 02:30 +02:00\n"
    );
    // Three days before the clocks are set back.
    now.store(NOW + 31 * 86_400_000, Ordering::Relaxed);
    let text = program.run("schedule list").out;
    let times: Vec<_> = text
        .lines()
        .map(|line| line.rsplit("2026-").next())
        .collect();
    assert!(times.contains(&Some("10-25 02:30 +02:00")), "{text}");
    assert!(times.contains(&Some("10-26 02:30 +01:00")), "{text}");
    let listed: serde_json::Value =
        serde_json::from_str(&program.run("schedule list --json").out).unwrap();
    assert_eq!(
        listed[0],
        serde_json::json!({
            "name": "CliNightly",
            "schedule": "30 2 * * *",
            "timezone": "Europe/Berlin",
            "words": "every day at 02:30",
            "missed": "once",
            "overlap": "queue",
            "jitter_ms": 60_000,
            "paused": false,
            "last": null,
            "next": [
                "2026-10-23T02:30:00+02:00",
                "2026-10-24T02:30:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-26T02:30:00+01:00",
                "2026-10-27T02:30:00+01:00",
            ],
        })
    );
}

#[test]
fn a_zone_that_is_not_known_is_told_and_the_others_are_listed() {
    let (mut program, _) = scheduled(&[Nightly::definition(), Nowhere::definition()]);
    for command in ["schedule list", "schedule install --print"] {
        let ran = program.run(command);
        assert_eq!(ran.code, 78);
        let told = "error: the schedule of CliNowhere cannot be followed\nbecause: ";
        assert!(ran.err.starts_with(told), "{}", ran.err);
        assert!(ran.err.contains("Atlantis/Poseidonis"), "{}", ran.err);
    }
    let listed = program.run("schedule list").out;
    assert!(listed.contains("02:30 +02:00"), "{listed}");
    assert!(
        listed.contains("CliNowhere  every day at 00:00 (Atlantis/Poseidonis)"),
        "{listed}"
    );
    assert!(listed.contains("never"), "{listed}");
}

#[test]
fn without_schedules_there_is_nothing_to_list_or_install() {
    let (mut program, _) = scheduled(&[]);
    let ran = program.run("schedule list");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(ran.err, "no dispatcher of this program has a schedule\n");
    assert_eq!(program.run("schedule list --json").out, "[]\n");
    let ran = program.run("schedule install");
    assert_eq!(ran.code, 78);
    assert!(
        ran.err
            .starts_with("error: there is nothing for a timer to do\n")
    );
}

#[test]
fn mistakes_in_the_line_are_told() {
    let (mut program, _) = nightly();
    for (line, what) in [
        (
            "schedule",
            "schedule needs <list | install | remove | tick>",
        ),
        ("schedule lits", "schedule cannot `lits`"),
        (
            "schedule tick --print",
            "schedule tick has no option --print",
        ),
        (
            "schedule remove --crontab",
            "schedule remove has no option --crontab",
        ),
        (
            "schedule install --crontab --systemd",
            "--systemd and --crontab exclude each other",
        ),
    ] {
        let ran = program.run(line);
        assert_eq!(ran.code, 64, "{line}");
        assert!(
            ran.err.starts_with(&format!("error: {what}\n")),
            "{}",
            ran.err
        );
    }
    let ran = program.run("schedule lits");
    assert!(
        ran.err.contains("did you mean `schedule list`?"),
        "{}",
        ran.err
    );
    program.registry = Registry::default();
    let ran = program.run("schedule tick");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("app has no schedules of its own"),
        "{}",
        ran.err
    );
}

#[test]
fn a_tick_tells_each_fate() {
    let (mut program, _) = nightly();
    let job = JobId::from_bytes(JOB);
    let at = "2026-09-21T14:00:00.000Z";
    for (fate, code, told) in [
        (
            TickFate::Submitted,
            0,
            format!("CliNightly: tick {at} submitted as job {job}\n"),
        ),
        (
            TickFate::Duplicate,
            0,
            format!("CliNightly: tick {at} job {job} stood for it\n"),
        ),
        (
            TickFate::Overlapped,
            0,
            format!("CliNightly: tick {at} dropped: job {job} was unfinished\n"),
        ),
        (
            TickFate::Missed,
            0,
            format!("CliNightly: tick {at} missed\n"),
        ),
        (
            TickFate::QueueFull,
            69,
            format!(
                "error: the tick of CliNightly at {at} submitted nothing\n\
                 because: as many of its jobs are unfinished as max_queue allows\n\
                 try: see `jobs --dispatcher CliNightly`, or raise max_queue\n"
            ),
        ),
        (
            TickFate::Refused("restic\u{1b} is missing".to_owned()),
            78,
            format!(
                "error: the tick of CliNightly at {at} submitted nothing\n\
                 because: restic\u{fffd} is missing\n\
                 try: set that right; the next tick tries again\n"
            ),
        ),
    ] {
        program.host.ticked = TickReport {
            decided: vec![("CliNightly", decided(fate.clone(), Some(job)))],
            ..TickReport::default()
        };
        let ran = program.run("schedule tick");
        let said = if code == 0 { &ran.out } else { &ran.err };
        assert_eq!((ran.code, said), (code, &told));
        let ran = program.run("schedule tick --json");
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(ran.code, code);
        assert_eq!(report["decided"][0]["fate"], fate.as_str());
        assert_eq!(report["decided"][0]["tick"], at);
        assert_eq!(report["decided"][0]["dispatcher"], "CliNightly");
        assert_eq!(report["decided"][0]["job"], job.as_str());
    }
}

#[test]
fn a_quiet_tick_is_silent_and_problems_are_not() {
    let (mut program, _) = nightly();
    let ran = program.run("schedule tick");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    program.host.ticked.next_in = Some(Duration::from_millis(1_500));
    let ran = program.run("schedule tick --json");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let quiet = serde_json::json!({ "decided": [], "problems": [], "next_in_ms": 1_500 });
    assert_eq!(report, quiet);
    program.host.ticked.problems.push(ScheduleProblem {
        dispatcher: "CliNowhere",
        reason: "no such zone".to_owned(),
    });
    let ran = program.run("schedule tick");
    assert_eq!(ran.code, 78);
    assert!(
        ran.err
            .contains("the schedule of CliNowhere cannot be followed\nbecause: no such zone")
    );
}

/// What a newer build says of the schedule counts; its default payload is this program's own.
#[test]
fn the_newest_build_decides_when() {
    let (mut program, _) = nightly();
    let row = DispatcherRow {
        name: "CliNightly".to_owned(),
        build: Build {
            modified_ns: 2,
            id: "2".to_owned(),
        },
        options: dispatcher_core::DispatcherOptions {
            schedule: Some(dispatcher_core::ScheduleOptions {
                expression: "hourly".to_owned(),
                ..dispatcher_core::ScheduleOptions::default()
            }),
            ..dispatcher_core::DispatcherOptions::default()
        },
        about: String::new(),
    };
    program
        .host
        .store
        .register(std::slice::from_ref(&row))
        .unwrap();
    let text = program.run("schedule list").out;
    assert!(text.contains("CliNightly  every hour (UTC)"), "{text}");
    // One that only the newer build can make is left to that.
    let idle = DispatcherRow {
        name: "CliIdle".to_owned(),
        ..row
    };
    program.host.store.register(&[idle]).unwrap();
    assert!(!program.run("schedule list").out.contains("CliIdle"));
}
