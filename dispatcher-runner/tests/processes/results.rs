//! What workers answer.

use dispatcher_core::message::{SupervisorMessage, WorkResult, WorkerMessage};
use dispatcher_core::{ExitStatus, Options, Panic};
use libtest_mimic::Trial;

use crate::bench::{Bench, Way, wait_until};
use crate::both;
use crate::jobs::Act;
use crate::process::Limits;

pub(crate) fn trials() -> Vec<Trial> {
    [
        both("failures", failures),
        both("panics", panics),
        both("progress_comes_in_order", progress_comes_in_order),
        both("a_payload_that_does_not_fit", a_payload_that_does_not_fit),
        both("an_unknown_dispatcher", an_unknown_dispatcher),
        both("a_missing_library", a_missing_library),
        both("a_missing_directory", a_missing_directory),
        both("a_large_payload", a_large_payload),
        both("garbage_on_the_channel", garbage_on_the_channel),
        both(
            "a_supervisor_that_says_nothing",
            a_supervisor_that_says_nothing,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn failures(way: Way) {
    let mut bench = Bench::new();
    let failed = |message: &str, retry_after_ms| WorkResult::Failed {
        message: message.into(),
        causes: Vec::new(),
        retry_after_ms,
    };
    let cases = [
        (Act::Fail("no".into()), failed("no", None)),
        (
            Act::RetryAfter { ms: 250 },
            failed("asked to be retried in 250ms", Some(250)),
        ),
        (
            Act::Discard("never".into()),
            WorkResult::Discarded {
                message: "never".into(),
            },
        ),
        (Act::Snooze { ms: 5 }, WorkResult::Snoozed { delay_ms: 5 }),
    ];
    for (act, expected) in cases {
        let job = bench.run(way, &[act]);
        assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
        assert_eq!(job.result(), expected);
    }
}

fn panics(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[Act::Panic("oh no".into())]);
    bench.exited(&job);
    let WorkResult::Panicked(Panic {
        message, location, ..
    }) = job.result()
    else {
        panic!("{:?}", job.result())
    };
    assert_eq!(message, "oh no");
    assert!(location.contains("jobs.rs:"), "{location}");
    wait_until(|| job.stderr.text().contains("oh no"));
}

fn progress_comes_in_order(way: Way) {
    let mut bench = Bench::new();
    let acts: Vec<Act> = (0..100)
        .map(|step| Act::Progress(f64::from(step) / 100.0, step.to_string()))
        .collect();
    let job = bench.run(way, &acts);
    bench.exited(&job);
    job.result();
    let messages = job.messages.lock().unwrap();
    let texts: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            WorkerMessage::Progress { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect();
    let expected: Vec<String> = (0..100).map(|step| step.to_string()).collect();
    assert_eq!(texts, expected);
    assert!(matches!(
        messages[0],
        WorkerMessage::Hello { protocol: 1, .. }
    ));
}

/// Runs a start of its own making and returns the result.
fn result(way: Way, dispatcher: &str, payload: &str, options: Options) -> WorkResult {
    let mut bench = Bench::new();
    let mut job = bench.spawn(way, Limits::default());
    let start = job.start(dispatcher, payload.to_owned(), options);
    job.say(&SupervisorMessage::Start(Box::new(start)));
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    job.result()
}

fn a_payload_that_does_not_fit(way: Way) {
    let WorkResult::Discarded { message } = result(way, "Probe", "[7]", Options::default()) else {
        panic!("not discarded")
    };
    assert!(message.contains("invalid type: integer"), "{message}");
}

fn an_unknown_dispatcher(way: Way) {
    let found = result(way, "probe.alias", "{\"acts\":[]}", Options::default());
    assert_eq!(found, WorkResult::Succeeded);
    let missing = result(way, "Prob", "{}", Options::default());
    let WorkResult::MissingRequirement { names } = missing else {
        panic!("{missing:?}")
    };
    assert!(
        names[0].contains("no dispatcher is called `Prob`"),
        "{names:?}"
    );
}

fn a_missing_library(way: Way) {
    let options = Options {
        package_includes: vec!["libc.so.6".into(), "libnowhere.so.9".into()],
        ..Options::default()
    };
    let missing = result(way, "Probe", "{\"acts\":[]}", options);
    let WorkResult::MissingRequirement { names } = missing else {
        panic!("{missing:?}")
    };
    assert_eq!(names.len(), 1);
    assert!(
        names[0].starts_with("libnowhere.so.9: cannot open"),
        "{names:?}"
    );
}

fn a_missing_directory(way: Way) {
    let options = Options {
        working_directory: Some("/nowhere".into()),
        ..Options::default()
    };
    let WorkResult::Failed {
        message, causes, ..
    } = result(way, "Probe", "{\"acts\":[]}", options)
    else {
        panic!("not failed")
    };
    assert_eq!(message, "cannot enter the working directory /nowhere");
    assert!(causes[0].starts_with("No such file"));
}

fn a_large_payload(way: Way) {
    let mut bench = Bench::new();
    // Every character is escaped twice on its way: in the payload and in the message around it.
    let text = "\"".repeat(900_000);
    let job = bench.run(way, &[Act::Print(text.clone())]);
    bench.exited(&job);
    assert_eq!(job.result(), WorkResult::Succeeded);
    wait_until(|| job.stdout.text() == text);
}

fn garbage_on_the_channel(way: Way) {
    let mut bench = Bench::new();
    let too_large = {
        let mut bytes = Vec::new();
        dispatcher_core::frame::Frame::control(vec![b' '; 6_000_000]).encode(&mut bytes);
        bytes.truncate(64);
        bytes
    };
    let cases: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\n\r\n", "GET / HTTP"),
        (&[0xff; 100], "no frame"),
        (&too_large, "6000000 bytes"),
    ];
    for (bytes, said) in cases {
        let mut job = bench.spawn(way, Limits::default());
        std::io::Write::write_all(&mut job.control, bytes).unwrap();
        assert_eq!(bench.exited(&job).status, ExitStatus::Exited(70));
        wait_until(|| job.stderr.text().contains(said));
        assert!(!job.said_result());
    }
}

fn a_supervisor_that_says_nothing(way: Way) {
    let mut bench = Bench::new();
    let job = bench.spawn(way, Limits::default());
    bench.spawned(&job);
    job.control.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(70));
}
