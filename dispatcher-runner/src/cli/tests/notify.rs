//! Submitting and waiting: output, exit codes, interruptions.

use std::fs;

use dispatcher_core::{JobState, Panic};

use super::*;

#[test]
fn a_job_is_waited_for_and_its_output_passed_through() {
    let mut program = program();
    program.then(|_| {}).then(|store| {
        let end = End {
            stdout: "hello\n",
            stderr: "careful\n",
            ..End::default()
        };
        run_next(store, &end);
    });
    let ran = program.run("notifydispatcher CliIdle");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "hello\n", "careful\n")
    );
}

#[test]
fn live_output_comes_before_the_end_and_only_once() {
    let mut program = program();
    let live = program.state_folder().join("live");
    fs::create_dir_all(&live).unwrap();
    let claimed = Rc::new(RefCell::new(None));
    let (slot, folder) = (claimed.clone(), live.clone());
    program.then(move |store| {
        let job = claim(store);
        fs::write(folder.join(format!("{}.1.out", job.job)), "one\n").unwrap();
        *slot.borrow_mut() = Some(job);
    });
    program.then(|_| {});
    program.then(move |store| {
        let job = claimed.borrow_mut().take().unwrap();
        fs::remove_file(live.join(format!("{}.1.out", job.job))).unwrap();
        let end = End {
            stdout: "one\ntwo\n",
            ..End::default()
        };
        finish(store, &job, &end);
    });
    let ran = program.run("notifydispatcher CliIdle");
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\ntwo\n"));
}

#[test]
fn every_attempt_is_shown_in_order() {
    let mut program = program();
    program.then(|store| {
        let end = End {
            cause: failure("no"),
            next: Next::Retry {
                after: Duration::ZERO,
            },
            stdout: "first\n",
            ..End::default()
        };
        run_next(store, &end);
    });
    program.then(|store| {
        let end = End {
            stdout: "second\n",
            ..End::default()
        };
        run_next(store, &end);
    });
    let ran = program.run("notifydispatcher CliIdle --retries 1");
    assert_eq!((ran.code, ran.out.as_str()), (0, "first\nsecond\n"));
}

#[test]
fn causes_become_exit_codes() {
    let panic = Panic {
        message: "boom".into(),
        location: "x.rs:1:2".into(),
        backtrace: String::new(),
    };
    for (cause, code) in [
        (failure("no"), 1),
        (
            Cause::Discarded {
                message: "no".into(),
            },
            1,
        ),
        (Cause::Panicked(panic), 1),
        (Cause::Exited { code: 3 }, 3),
        (Cause::Exited { code: 0 }, 1),
        (
            Cause::Signalled {
                signal: 11,
                core: false,
                oom_suspected: false,
            },
            139,
        ),
        (Cause::TimedOut, 124),
        (Cause::MemoryLimit, 137),
        (Cause::CpuLimit, 152),
        (Cause::OutOfMemory, 137),
        (Cause::Expired, 75),
        (
            Cause::MissingRequirement {
                names: vec!["x".into()],
            },
            78,
        ),
        (Cause::SpawnFailed { errno: 11 }, 126),
        (Cause::ProtocolError { what: "x".into() }, 70),
        (Cause::WorkerLost, 70),
    ] {
        let mut program = program();
        let told = cause.clone();
        program.then(move |store| {
            let end = End {
                cause: told.clone(),
                next: Next::Fail,
                ..End::default()
            };
            run_next(store, &end);
        });
        let ran = program.run("notifydispatcher CliIdle");
        assert_eq!(ran.code, code, "{cause:?}");
        assert!(ran.err.starts_with("error: CliIdle "), "{}", ran.err);
        let sentence = cause.sentence(&Options::default());
        assert!(
            ran.err.contains(&format!("because: it {sentence}\n")),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("\ntry: `show "), "{}", ran.err);
    }
}

#[test]
fn the_first_interruption_cancels_and_waits() {
    let mut program = program();
    program.interrupts = [0, 1].into();
    program.then(|store| drop(claim(store)));
    program.then(|store| {
        // The supervisor hears of it and stops the attempt.
        let supervisor = store.supervisors().unwrap()[0].id;
        let asked = store.cancellations(supervisor).unwrap();
        let record = store.job(asked[0].job).unwrap().unwrap();
        let job = Claimed {
            job: asked[0].job,
            slot: 0,
            dispatcher: record.summary.dispatcher,
            payload: String::new(),
            options: Options::default(),
            counters: record.summary.counters,
            snoozes: 0,
            waited: Duration::ZERO,
        };
        let end = End {
            cause: Cause::Cancelled {
                by: asked[0].by.clone(),
            },
            next: Next::Cancel,
            ..End::default()
        };
        finish(store, &job, &end);
    });
    let ran = program.run("notifydispatcher CliIdle");
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.err.starts_with("cancelling job "), "{}", ran.err);
    assert!(
        ran.err
            .contains("it was cancelled by an interruption of notifydispatcher")
    );
    assert_eq!(program.host.woken.len(), 1);
}

#[test]
fn the_second_interruption_stops_waiting_at_once() {
    let mut program = program();
    program.interrupts = [1, 0, 1].into();
    program.then(|store| drop(claim(store)));
    // The job was claimed before the first interruption is seen in the second round.
    program.interrupts = [0, 1, 0, 1].into();
    let ran = program.run("notifydispatcher CliIdle");
    assert_eq!(ran.code, 130);
    assert!(ran.err.contains("no longer waiting; job "), "{}", ran.err);
    let job = program.host.store.jobs(&everything()).unwrap().remove(0);
    assert_eq!(job.state, JobState::Running);
}

#[test]
fn interrupting_a_duplicate_leaves_the_other_job_alone() {
    let mut program = program();
    let first = program.submit("CliIdle --unique-key k");
    program.interrupts = [1].into();
    let ran = program.run("notifydispatcher CliIdle --unique-key k");
    assert_eq!(ran.code, 130);
    assert!(ran.err.contains(first.as_str()), "{}", ran.err);
    let state = program.host.store.state(first).unwrap();
    assert_eq!(state, Some(JobState::Queued));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_wait() {
    let mut program = program();
    program.reader = Reader::Gone;
    program.then(|store| {
        let end = End {
            cause: Cause::Exited { code: 3 },
            next: Next::Fail,
            stdout: "nobody reads this\n",
            ..End::default()
        };
        run_next(store, &end);
    });
    assert_eq!(program.run("notifydispatcher CliIdle").code, 3);
    let mut program = super::program();
    program.reader = Reader::Gone;
    assert_eq!(program.run("list").code, 0);
}

#[test]
fn detached_submissions_answer_with_the_id() {
    let mut program = program();
    program.configure("[dispatchers.CliIdle]\nqueue = \"7\"");
    let ran = program.run(
        "notifydispatcher -d cli.login {\"user\":\"ann\"} --priority -2 --timeout 0 --queue 7",
    );
    let id: JobId = ran.out.trim().parse().unwrap();
    let record = program.host.store.job(id).unwrap().unwrap();
    assert_eq!(record.summary.dispatcher, "CliLogin");
    assert_eq!(record.summary.payload, "{\"user\":\"ann\"}");
    assert_eq!(record.options.priority, -2);
    assert_eq!(record.options.timeout, None);
    assert_eq!(record.options.queue, "7");
    let ran = program.run("notifydispatcher -d CliIdle --unique-key k --json");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["duplicate"], false);
}

#[test]
fn a_label_that_nobody_declared_is_refused() {
    let mut program = program();
    for (label, said) in [
        (
            "slow",
            "because: dispatchers and configuration know `default`\ntry: declare it",
        ),
        ("defualt", "try: did you mean `default`?"),
        ("Default", "try: did you mean `default`?"),
        ("a,b", "error: --queue cannot be `a,b`"),
    ] {
        let ran = program.run(&format!("notifydispatcher -d CliIdle --queue {label}"));
        assert_eq!(ran.code, 64, "{label}: {}", ran.err);
        assert!(ran.err.contains(said), "{label}: {}", ran.err);
    }
    assert_eq!(program.host.store.jobs(&everything()).unwrap().len(), 0);
    program.submit("CliIdle --queue default");
    program.configure("[service]\nqueues = [\"fast\"]\n[dispatchers.CliLogin]\nqueue = \"slow\"");
    for label in ["slow", "fast", "default"] {
        let id = program.submit(&format!("CliIdle --queue {label}"));
        let record = program.host.store.job(id).unwrap().unwrap();
        assert_eq!(record.options.queue, label);
    }
}

#[test]
fn payloads_come_from_files_too() {
    let mut program = program();
    let file = program.folder.path().join("payload.json");
    fs::write(&file, "{\"user\": \"bob\"}\n").unwrap();
    let id = program.submit(&format!("CliLogin @{}", file.display()));
    let record = program.host.store.job(id).unwrap().unwrap();
    assert_eq!(record.summary.payload, "{\"user\": \"bob\"}\n");
}

#[test]
fn refused_submissions_say_why_and_exit_by_kind() {
    let mut program = program();
    for (line, code, what) in [
        (
            "notifydispatcher CliLogni",
            64,
            "no dispatcher is called `CliLogni`",
        ),
        (
            "notifydispatcher clilogin",
            64,
            "no dispatcher is called `clilogin`",
        ),
        (
            "notifydispatcher CliLogin {",
            64,
            "the payload is not JSON; nothing was stored",
        ),
        (
            "notifydispatcher CliLogin @/nowhere",
            64,
            "cannot read the payload from /nowhere",
        ),
        (
            "notifydispatcher CliLogin --timeout soon",
            64,
            "--timeout cannot be `soon`",
        ),
        (
            "notifydispatcher",
            64,
            "notifydispatcher needs <Name> [JSON | @file | -]",
        ),
    ] {
        let ran = program.run(line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(
            ran.err.starts_with(&format!("error: {what}\nbecause: ")),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("\ntry: "), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
    for _ in 0..3 {
        program.submit("CliLogin");
    }
    assert_eq!(program.run("notifydispatcher CliLogin").code, 69);
    program.host.broken = true;
    let ran = program.run("jobs");
    assert_eq!(ran.code, 74);
    assert!(ran.err.contains("the state is "), "{}", ran.err);
}

#[test]
fn json_of_a_waited_job_stands_alone_on_stdout() {
    let mut program = program();
    program.then(|store| {
        let end = End {
            stdout: "chatter\n",
            output: Some("[1]"),
            ..End::default()
        };
        run_next(store, &end);
    });
    let ran = program.run("notifydispatcher CliIdle --json");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["state"], "succeeded");
    assert_eq!(value["output"], serde_json::json!([1]));
    assert_eq!(ran.err, "chatter\n");
}

pub(super) fn everything() -> crate::store::JobFilter {
    crate::store::JobFilter {
        limit: 100,
        ..crate::store::JobFilter::default()
    }
}
