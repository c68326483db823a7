//! Events in an order that is odd but possible, and events that nothing waits for.

use super::*;

fn said(worker: WorkerId, word: Word) -> Event {
    Event::Said { worker, word }
}

/// A worker whose spawn was asked for and not answered.
fn spawning(desk: &mut Desk, options: Options) -> WorkerId {
    desk.give(&[options]);
    let Effect::Spawn { worker, .. } = desk.next() else {
        panic!("a spawn")
    };
    worker
}

fn until_an_effect(desk: &mut Desk) {
    while desk.effects.is_empty() {
        desk.pass();
        desk.absorb_claim();
    }
}

/// The driver reads workers before it reads its keeper.
#[test]
fn a_hello_that_is_heard_before_the_spawn_was_reported_counts() {
    let mut desk = Desk::new(1);
    let worker = spawning(
        &mut desk,
        Options {
            timeout: Some(300 * SECOND),
            ..Options::default()
        },
    );
    desk.tell(said(worker, Word::Hello));
    desk.tell(Event::Spawned { worker });
    until_an_effect(&mut desk);
    assert_eq!(
        desk.monotonic,
        300 * SECOND,
        "its timeout, not that of a hello"
    );
    assert_eq!(desk.next(), Effect::Stop { worker });
}

#[test]
fn a_result_that_is_heard_before_the_spawn_was_reported_counts() {
    let mut desk = Desk::new(1);
    let worker = spawning(
        &mut desk,
        Options {
            grace: 4 * SECOND,
            ..Options::default()
        },
    );
    desk.tell(said(worker, Word::Hello));
    desk.tell(result(worker, WorkResult::Succeeded));
    let job = assignment(0, &Options::default()).job;
    desk.tell(Event::CancelRequested {
        job,
        token: 1,
        by: "me".into(),
    });
    desk.monotonic = SECOND;
    desk.tell(Event::Spawned { worker });
    desk.quiet();
    until_an_effect(&mut desk);
    assert_eq!(desk.monotonic, 4 * SECOND, "the grace after the result");
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, killed());
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
}

#[test]
fn whoever_still_starts_is_killed_at_once_by_a_shutdown_now() {
    let mut desk = Desk::new(1);
    let worker = spawning(&mut desk, Options::default());
    desk.tell(Event::ShutdownRequested(Shutdown::Now));
    assert_eq!(desk.next(), Effect::Close);
    desk.tell(Event::Spawned { worker });
    assert_eq!(desk.next(), Effect::Stop { worker });
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, killed());
    assert_eq!(verdict.next, Next::Release);
}

/// A grandchild that was made without `fork(2)` may hold the channel.
#[test]
fn nothing_that_is_said_after_the_end_changes_it() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options::default());
    desk.exit(worker, ExitStatus::Exited(3), 0);
    desk.tell(said(worker, Word::Output("7".into())));
    desk.tell(result(worker, WorkResult::Succeeded));
    desk.tell(Event::LinkBroken {
        worker,
        what: "late".into(),
    });
    assert!(matches!(desk.next(), Effect::Drain { .. }));
    desk.tell(Event::Drained {
        worker,
        leaked: false,
    });
    let verdict = desk.verdict();
    assert_eq!(verdict.outcome.cause, Cause::Exited { code: 3 });
    assert_eq!(verdict.output, None);
}

#[test]
fn a_record_that_is_told_again_says_the_same() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options {
        retries: 3,
        ..Options::default()
    });
    let first = desk.end(worker, ExitStatus::Exited(1));
    desk.tell(result(worker, WorkResult::Succeeded));
    desk.tell(Event::RecordFailed {
        attempt: of(worker),
    });
    while !matches!(desk.effects.front(), Some(Effect::Record { .. })) {
        desk.absorb_claim();
        if desk.effects.is_empty() {
            desk.pass();
        }
    }
    assert_eq!(desk.verdict(), first);
}

/// A store that answers slowly must not be asked for by a driver that spins.
#[test]
fn nothing_is_due_while_a_claim_is_under_way() {
    let mut desk = Desk::new(1);
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    desk.tell(Event::ClaimFailed {
        lane: Lane::Process,
    });
    desk.quiet();
    desk.pass();
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    desk.monotonic += 2 * SECOND;
    assert_eq!(desk.engine.poll_timeout(), None);
}

#[test]
fn a_row_that_cannot_be_closed_is_tried_again_after_a_while_and_then_left() {
    let mut desk = Desk::new(1);
    desk.absorb_claim();
    desk.tell(Event::ShutdownRequested(Shutdown::Now));
    let mut tries = 0;
    loop {
        match desk.next() {
            Effect::Close => tries += 1,
            Effect::Finish => break,
            other => panic!("{other:?}"),
        }
        let before = desk.monotonic;
        desk.tell(Event::CloseAnswered { closed: false });
        if desk.effects.is_empty() {
            desk.pass();
            assert!(desk.monotonic > before, "it does not spin");
        }
    }
    assert_eq!(tries, 5);
    assert!(desk.monotonic > SECOND && desk.monotonic < 5 * SECOND);
}

#[test]
fn work_for_a_slot_that_is_not_free_is_given_back() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::Woken);
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    let jobs = vec![
        assignment(0, &Options::default()),
        assignment(9, &Options::default()),
    ];
    let now = desk.now();
    let next_due = None;
    let unfit = desk.engine.handle(now, claimed(jobs, next_due));
    unfit.expect_err("that is the driver's mistake");
    desk.collect();
    for _ in 0..2 {
        let Effect::Record { attempt, verdict } = desk.next() else {
            panic!("a record")
        };
        assert_eq!(verdict.next, Next::Release);
        desk.tell(Event::Recorded { attempt });
    }
    assert_eq!(desk.engine.snapshot().live.len(), 1);
    desk.absorb_claim();
    desk.end(worker, ExitStatus::Exited(0));
}

/// What a worker's life is at, and the events that do not fit then.
#[test]
fn events_that_nothing_waits_for_are_refused_and_change_nothing() {
    let worker = WorkerId(0);
    type Step = fn(&mut Desk, WorkerId);
    let starting: Step = |_, _| {};
    let running: Step = |desk, worker| desk.tell(Event::Spawned { worker });
    let draining: Step = |desk, worker| {
        desk.tell(Event::Spawned { worker });
        desk.exit(worker, ExitStatus::Exited(0), 1);
    };
    let recording: Step = |desk, worker| {
        desk.tell(Event::Spawned { worker });
        desk.exit(worker, ExitStatus::Exited(0), 0);
        desk.tell(Event::Drained {
            worker,
            leaked: false,
        });
    };
    let gone: Step = |desk, worker| {
        desk.tell(Event::KeeperLost);
        desk.tell(Event::Recorded {
            attempt: of(worker),
        });
    };
    let lives = [starting, running, draining, recording, gone];
    for (event, odd) in &unfit_events(worker) {
        for life in *odd {
            let mut desk = Desk::new(1);
            assert_eq!(spawning(&mut desk, Options::default()), worker);
            lives[*life](&mut desk, worker);
            desk.effects.clear();
            let before = format!("{:?}", desk.engine);
            let now = desk.now();
            let refused = desk.engine.handle(now, event.clone());
            assert!(refused.is_err(), "{event:?} in life {life}");
            assert_eq!(
                format!("{:?}", desk.engine),
                before,
                "{event:?} in life {life}"
            );
        }
    }
}

/// Events about a worker, and the lives in which nothing waits for them.
fn unfit_events(worker: WorkerId) -> [(Event, &'static [usize]); 7] {
    let exited = || Event::Exited {
        worker,
        status: ExitStatus::Exited(0),
        usage: Usage::default(),
        strays: 0,
        memory: MemoryVerdict::Silent,
    };
    [
        (Event::Spawned { worker }, &[1, 2, 3, 4]),
        (
            Event::SpawnFailed {
                worker,
                errno: 11,
                transient: true,
            },
            &[1, 2, 3, 4],
        ),
        // The end of a process whose beginning was not reported is an end.
        (exited(), &[2, 3, 4]),
        (Event::Buried { worker, left: 0 }, &[0, 1, 3, 4]),
        (
            Event::Drained {
                worker,
                leaked: true,
            },
            &[0, 1, 3, 4],
        ),
        (
            Event::Recorded {
                attempt: of(worker),
            },
            &[0, 1, 2, 4],
        ),
        (
            Event::RecordFailed {
                attempt: of(worker),
            },
            &[0, 1, 2, 4],
        ),
    ]
}

#[test]
fn answers_to_what_was_not_asked_are_refused() {
    let mut desk = Desk::new(1);
    desk.absorb_claim();
    let now = desk.now();
    let next_due = None;
    for event in [
        Event::Claimed {
            lane: Lane::Process,
            jobs: vec![],
            next_due,
        },
        Event::ClaimFailed {
            lane: Lane::Process,
        },
        Event::CloseAnswered { closed: false },
    ] {
        desk.engine.handle(now, event).expect_err("nobody asked");
    }
    desk.collect();
    desk.quiet();
    // The row is closed, whoever did it: nothing more can be claimed.
    desk.engine
        .handle(now, Event::CloseAnswered { closed: true })
        .expect_err("nobody asked");
    desk.collect();
    assert_eq!(desk.next(), Effect::Close);
}

#[test]
fn the_longest_times_do_not_overflow() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options {
        timeout: Some(Duration::MAX),
        grace: Duration::MAX,
        ..Options::default()
    });
    desk.monotonic = 1000 * SECOND;
    let job = assignment(0, &Options::default()).job;
    desk.tell(Event::CancelRequested {
        job,
        token: 1,
        by: "me".into(),
    });
    assert_eq!(desk.next(), Effect::Stop { worker });
    desk.tell(Event::ShutdownRequested(Shutdown::Drain(Duration::MAX)));
    desk.tell(Event::ShutdownRequested(Shutdown::Now));
    assert_eq!(desk.next(), Effect::Close);
    assert_eq!(desk.next(), Effect::Kill { worker });
}

#[test]
fn a_superseded_supervisor_takes_nothing_new_once_the_store_agrees() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::Superseded);
    assert_eq!(desk.next(), Effect::HandOver);
    desk.tell(Event::Superseded);
    desk.tell(Event::Woken);
    desk.quiet();
    desk.tell(Event::CloseAnswered { closed: false });
    assert!(matches!(desk.next(), Effect::Claim { .. }), "it goes on");
    desk.tell(Event::Superseded);
    assert_eq!(desk.next(), Effect::HandOver);
    // What was claimed before is run.
    let jobs = vec![assignment(1, &Options::default())];
    let next_due = None;
    desk.tell(claimed(jobs, next_due));
    let Effect::Spawn { worker: other, .. } = desk.next() else {
        panic!("a spawn")
    };
    desk.tell(Event::Spawned { worker: other });
    desk.tell(Event::CloseAnswered { closed: true });
    desk.tell(Event::Woken);
    desk.quiet();
    for worker in [worker, other] {
        desk.end(worker, ExitStatus::Exited(0));
        desk.quiet();
        desk.tell(Event::Recorded {
            attempt: of(worker),
        });
    }
    assert_eq!(desk.next(), Effect::Finish);
}
