//! How attempts and requests end with their workers: ladders, crashes, broken links, lost keepers.

use super::*;

fn patient() -> Options {
    Options {
        timeout: Some(3 * SECOND),
        grace: 2 * SECOND,
        ..Options::default()
    }
}

#[test]
fn a_timeout_climbs_the_ladder_of_the_attempt_and_the_replacement_starts_at_once() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&patient());
    let next = floor.job(&Options::default());
    floor.until(3 * SECOND);
    assert_eq!(floor.next(), Effect::Stop { worker });
    let other = floor.boot();
    floor.greet(other);
    assert_eq!(
        floor.assigned(),
        (other, next.job),
        "nobody waits for the end"
    );
    floor.until(5 * SECOND);
    floor.expect(&[Effect::Kill { worker }]);
    floor.until(6 * SECOND);
    floor.expect(&[Effect::Kill { worker }]);
    assert_eq!(floor.recorded, []);
    floor.exit(worker, killed());
    let verdict = floor.verdict();
    assert_eq!(verdict.outcome.cause, Cause::TimedOut);
    assert_eq!(verdict.outcome.exit_status, Some(killed()));
    assert_eq!(floor.ends(), [("stopped", 1)]);
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_cancelled_attempt_ends_its_worker_and_a_late_result_changes_nothing() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, job) = floor.run(&patient());
    floor.cancel(&job);
    assert_eq!(floor.next(), Effect::Stop { worker });
    floor.boot();
    floor.succeed(worker);
    floor.quiet();
    assert_eq!(floor.recorded, []);
    floor.exit(worker, ExitStatus::Exited(0));
    let verdict = floor.verdict();
    assert_eq!(verdict.outcome.cause, Cause::Cancelled { by: "me".into() });
    assert_eq!(verdict.next, Next::Cancel);
    floor.quiet();
}

#[test]
fn a_cancellation_after_the_result_comes_too_late() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, job) = floor.run(&patient());
    floor.say(worker, Word::Result(WorkResult::Succeeded));
    floor.cancel(&job);
    floor.say(worker, Word::Ready { failure: None });
    floor.pass(20 * SECOND);
    floor.quiet();
    assert_eq!(floor.verdict().outcome.cause, Cause::Succeeded);
}

#[test]
fn an_attempt_over_its_memory_limit_is_killed_with_its_worker() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&patient());
    floor.tell(Event::LimitExceeded { worker });
    assert_eq!(floor.next(), Effect::Stop { worker });
    assert_eq!(floor.next(), Effect::Kill { worker });
    floor.boot();
    floor.exit(worker, killed());
    assert_eq!(floor.verdict().outcome.cause, Cause::MemoryLimit);
}

#[test]
fn a_memory_limit_is_nothing_to_a_worker_without_an_attempt() {
    let (mut floor, worker) = Floor::one(spec());
    floor.tell(Event::LimitExceeded { worker });
    floor.exec();
    floor.tell(Event::LimitExceeded { worker });
    floor.quiet();
}

#[test]
fn a_crash_ends_the_attempt_with_its_cause_and_a_replacement_starts_at_once() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&patient());
    floor.exit(
        worker,
        ExitStatus::Signalled {
            signal: 11,
            core: true,
        },
    );
    let verdict = floor.verdict();
    let cause = Cause::Signalled {
        signal: 11,
        core: true,
        oom_suspected: false,
    };
    assert_eq!(verdict.outcome.cause, cause);
    let other = floor.boot();
    floor.greet(other);
    floor.quiet();
    assert_eq!(floor.ends(), [("crashed", 1)]);
    assert_eq!(floor.snapshot().degraded, None, "once is a mishap");
}

#[test]
fn a_worker_that_exits_without_an_answer_has_not_answered() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&patient());
    floor.exit(worker, ExitStatus::Exited(0));
    let verdict = floor.verdict();
    assert_eq!(verdict.outcome.cause, Cause::Exited { code: 0 });
    assert_eq!(verdict.next, Next::Fail);
    let other = floor.boot();
    floor.greet(other);
    let (_, request) = floor.exec();
    floor.exit(other, killed());
    let cause = Cause::Signalled {
        signal: 9,
        core: false,
        oom_suspected: false,
    };
    assert_eq!(floor.next(), answer(request, Answer::Died(cause)));
}

/// A worker of a pool has used what all of its tasks have used.
#[test]
fn the_cpu_time_of_a_worker_is_not_held_against_its_last_job() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&Options {
        cpu_limit: Some(SECOND),
        ..Options::default()
    });
    floor.tell(Event::Exited {
        worker,
        status: killed(),
        usage: Usage {
            user_us: 60_000_000,
            ..Usage::default()
        },
        strays: 0,
        memory: MemoryVerdict::Suspected,
    });
    let cause = Cause::Signalled {
        signal: 9,
        core: false,
        oom_suspected: true,
    };
    let outcome = floor.verdict().outcome;
    assert_eq!(outcome.cause, cause);
    assert_eq!(outcome.usage, Usage::default());
}

#[test]
fn the_strays_of_a_crash_are_killed_before_its_end_is_told() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&Options::default());
    floor.desk.exit(worker, killed(), 2);
    floor.perform();
    let strays = Strays::Kill;
    assert_eq!(floor.next(), Effect::Bury { worker, strays });
    floor.boot();
    assert_eq!(floor.recorded, []);
    floor.tell(Event::Buried { worker, left: 1 });
    assert_eq!(floor.verdict().outcome.left_processes, 1);
    assert_eq!(floor.ends(), [("crashed", 1)]);
}

#[test]
fn the_strays_of_a_worker_without_an_attempt_are_killed() {
    let (mut floor, worker) = Floor::one(spec());
    floor.desk.exit(worker, killed(), 2);
    floor.perform();
    let strays = Strays::Kill;
    assert_eq!(floor.next(), Effect::Bury { worker, strays });
    floor.boot();
    floor.tell(Event::Buried { worker, left: 0 });
    floor.quiet();
    assert_eq!(floor.ends(), [("crashed", 1)]);
}

#[test]
fn a_broken_link_ends_task_and_worker() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    let what = "garbage".to_owned();
    floor.tell(Event::LinkBroken {
        worker,
        what: what.clone(),
    });
    let cause = Cause::ProtocolError { what: what.clone() };
    assert_eq!(floor.next(), answer(request, Answer::Died(cause)));
    assert_eq!(floor.next(), Effect::Kill { worker });
    let other = floor.boot();
    floor.exit(worker, killed());
    floor.greet(other);
    floor.run(&Options::default());
    let worker = other;
    floor.tell(Event::LinkBroken { worker, what });
    assert_eq!(floor.next(), Effect::Stop { worker });
    assert_eq!(floor.next(), Effect::Kill { worker });
    floor.exit(worker, killed());
    let cause = floor.verdict().outcome.cause;
    assert!(matches!(cause, Cause::ProtocolError { .. }), "{cause:?}");
    assert_eq!(floor.ends(), [("protocol", 2)]);
}

#[test]
fn words_that_do_not_answer_the_task_break_the_link() {
    let words = [
        Word::Hello,
        Word::Replied,
        Word::Refused("no".into()),
        Word::Ready { failure: None },
    ];
    for word in words {
        let (mut floor, worker) = Floor::one(spec());
        floor.run(&Options::default());
        floor.say(worker, word.clone());
        assert_eq!(floor.next(), Effect::Stop { worker }, "{word:?}");
        assert_eq!(floor.next(), Effect::Kill { worker }, "{word:?}");
        floor.exit(worker, killed());
        let cause = floor.verdict().outcome.cause;
        assert!(matches!(cause, Cause::ProtocolError { .. }), "{cause:?}");
    }
    let words = [
        Word::Hello,
        Word::Output("1".into()),
        Word::Result(WorkResult::Succeeded),
        Word::Ready { failure: None },
    ];
    for word in words {
        let (mut floor, worker) = Floor::one(spec());
        let (_, request) = floor.exec();
        floor.say(worker, word.clone());
        let Effect::Answer {
            answer: Answer::Died(Cause::ProtocolError { .. }),
            request: answered,
        } = floor.next()
        else {
            panic!("{word:?} is no answer")
        };
        assert_eq!(answered, request);
        assert_eq!(floor.next(), Effect::Kill { worker }, "{word:?}");
    }
}

#[test]
fn a_worker_that_talks_without_a_task_is_killed() {
    for word in [Word::Hello, Word::Replied, Word::Unwanted] {
        let (mut floor, worker) = Floor::one(spec());
        floor.say(worker, word);
        assert_eq!(floor.next(), Effect::Kill { worker });
        floor.boot();
        floor.quiet();
    }
}

#[test]
fn a_lost_keeper_ends_what_runs_and_leaves_what_waits() {
    let (mut floor, workers) = Floor::ready(fixed(2));
    floor.run(&Options::default());
    let (_, running) = floor.exec();
    let waiting = floor.ask();
    floor.tell(Event::KeeperLost);
    let lost = Answer::Died(Cause::WorkerLost);
    let fresh = floor.boots();
    floor.expect(&[answer(running, lost)]);
    let verdict = floor.verdict();
    assert_eq!(verdict.outcome.cause, Cause::WorkerLost);
    assert!(matches!(verdict.next, Next::Lost { .. }));
    assert_eq!(fresh.len(), 2);
    assert!(fresh.iter().all(|worker| !workers.contains(worker)));
    floor.greet(fresh[0]);
    assert_eq!(floor.handed(), (fresh[0], waiting));
    assert_eq!(floor.ends(), [("keeper_lost", 2)]);
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_lost_keeper_answers_every_open_effect_about_a_worker() {
    let (mut floor, workers) = Floor::ready(fixed(3));
    let (dying, _) = floor.run(&Options::default());
    floor.desk.exit(dying, killed(), 2);
    floor.perform();
    let other = floor.boot();
    floor.tell(Event::KeeperLost);
    assert_eq!(floor.verdict().outcome.cause.name(), "signalled");
    floor.told.clear();
    let gone = floor.desk.engine.snapshot().pools[0].workers.clone();
    let gone = |id: &WorkerId| gone.iter().all(|worker| worker.worker != *id);
    assert!(workers.iter().all(gone) && gone(&other));
}

/// Nobody has begun with them, so nobody has lost them.
#[test]
fn tasks_that_were_not_handed_over_wait_for_the_workers_of_the_next_keeper() {
    let (mut floor, _) = Floor::ready(fixed(2));
    let running = floor.exec();
    floor.reply(running.0, running.1);
    floor.stored.push_back(Assignment {
        slot: SLOT,
        ..assignment(7, &Options::default())
    });
    // All of this happens before the driver looks for effects.
    let now = floor.desk.now();
    let (pool, request) = (POOL, RequestId(77));
    let asked = Event::Requested { request, pool };
    let engine = &mut floor.desk.engine;
    engine.handle(now, Event::Woken).expect("it fits");
    floor.desk.collect();
    let Some(Effect::Claim { .. }) = floor.desk.effects.pop_back() else {
        panic!("a claim for the pool")
    };
    let engine = &mut floor.desk.engine;
    engine.handle(now, asked).expect("it fits");
    let claimed = Event::Claimed {
        lane: Lane::Pool(POOL),
        jobs: floor.stored.drain(..).collect(),
        next_due: None,
    };
    engine.handle(now, claimed).expect("it fits");
    floor.tell(Event::KeeperLost);
    assert_eq!(floor.recorded, []);
    let workers = floor.boots();
    floor.quiet();
    floor.greet(workers[0]);
    assert_eq!(floor.handed(), (workers[0], request));
    floor.greet(workers[1]);
    assert_eq!(floor.assigned().0, workers[1]);
}

#[test]
fn a_boot_that_was_not_performed_goes_to_the_next_keeper() {
    let (mut floor, worker) = Floor::one(spec());
    let now = floor.desk.now();
    let (usage, memory) = (Usage::default(), MemoryVerdict::Silent);
    let exited = Event::Exited {
        worker,
        status: killed(),
        usage,
        strays: 0,
        memory,
    };
    // All of this happens before the driver looks for effects.
    floor.desk.engine.handle(now, exited).expect("it fits");
    floor.tell(Event::KeeperLost);
    let other = floor.boot();
    floor.quiet();
    floor.greet(other);
    assert_eq!(floor.exec().0, other);
}
