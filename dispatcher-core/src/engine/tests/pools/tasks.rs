//! Tasks: they wait in order, find a worker, are answered once.

use super::*;

#[test]
fn a_worker_is_made_greets_and_gets_what_waits() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    let request = floor.ask();
    floor.quiet();
    floor.tell(Event::Spawned { worker });
    floor.quiet();
    floor.say(worker, Word::Hello);
    assert_eq!(floor.handed(), (worker, request));
    floor.reply(worker, request);
    floor.quiet();
    assert_eq!(floor.snapshot().workers[0].served, 1);
}

#[test]
fn a_job_is_claimed_run_and_recorded() {
    let (mut floor, worker) = Floor::one(spec());
    let (there, job) = floor.run(&Options::default());
    assert_eq!(there, worker);
    floor.pass(2 * SECOND);
    floor.say(worker, Word::Output("7".into()));
    let usage = Usage {
        user_us: 5,
        ..Usage::default()
    };
    floor.say(worker, Word::Used(usage));
    floor.say(worker, Word::Result(WorkResult::Succeeded));
    let verdict = floor.verdict();
    assert_eq!(verdict.job, job.job);
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
    assert_eq!(verdict.outcome.exit_status, None, "its worker lives on");
    assert_eq!(verdict.outcome.usage, usage);
    assert_eq!(verdict.output.as_deref(), Some("7"));
    assert_eq!(verdict.run_time, 2 * SECOND);
    assert_eq!(verdict.next, Next::Succeed);
    floor.quiet();
}

#[test]
fn a_worker_gets_nothing_before_it_says_that_it_is_ready() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, first) = floor.exec();
    let second = floor.ask();
    floor.say(worker, Word::Replied);
    floor.expect(&[answer(first, Answer::Replied)]);
    floor.say(worker, Word::Ready { failure: None });
    assert_eq!(floor.handed(), (worker, second));
}

#[test]
fn a_soft_error_is_an_answer_and_the_worker_lives_on() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.say(worker, Word::Refused("boom".into()));
    floor.expect(&[answer(request, Answer::Refused("boom".into()))]);
    floor.say(worker, Word::Ready { failure: None });
    assert_eq!(floor.exec().0, worker);
}

#[test]
fn tasks_of_both_kinds_wait_in_the_order_of_their_arrival() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        min_workers: 1,
        max_workers: 4,
        ..spec()
    });
    let (_, first) = floor.exec();
    let job = floor.job(&Options::default());
    let last = floor.ask();
    assert_eq!(floor.boots().len(), 2, "nobody waits without need");
    floor.reply(worker, first);
    assert_eq!(floor.assigned(), (worker, job.job));
    floor.succeed(worker);
    assert_eq!(floor.handed(), (worker, last));
}

#[test]
fn the_idle_worker_that_was_used_last_gets_the_next_task() {
    let (mut floor, workers) = Floor::ready(fixed(3));
    let (a, first) = floor.exec();
    let (b, second) = floor.exec();
    assert_ne!(a, b);
    floor.pass(SECOND);
    floor.reply(a, first);
    floor.pass(SECOND);
    floor.reply(b, second);
    let next = [floor.exec().0, floor.exec().0, floor.exec().0];
    let rest = workers.iter().find(|it| **it != a && **it != b);
    assert_eq!(next, [b, a, *rest.expect("three")]);
}

#[test]
fn a_claim_asks_for_the_slot_once_for_each_free_place() {
    let (mut floor, _) = Floor::ready(fixed(3));
    assert_eq!(floor.claims, [3]);
    floor.exec();
    floor.tell(Event::Woken);
    assert_eq!(floor.claims, [3, 2], "a request takes a place as well");
    floor.run(&Options::default());
    // Whoever got something asks again.
    assert_eq!(floor.claims, [3, 2, 2, 1]);
    floor.run(&Options::default());
    assert_eq!(floor.claims, [3, 2, 2, 1, 1]);
    floor.tell(Event::Woken);
    floor.pass(10 * SECOND);
    assert_eq!(floor.claims.len(), 5, "a full pool claims nothing");
}

#[test]
fn a_place_that_is_free_again_is_claimed_for_at_once() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&Options::default());
    let next = floor.job(&Options::default());
    floor.quiet();
    floor.succeed(worker);
    assert_eq!(floor.assigned(), (worker, next.job));
}

#[test]
fn a_pool_for_requests_only_claims_nothing() {
    let (mut floor, _) = Floor::one(PoolSpec {
        claims: false,
        ..spec()
    });
    floor.tell(Event::Woken);
    floor.pass(5 * SECOND);
    assert_eq!(floor.claims, [0; 0]);
}

#[test]
fn a_request_waits_no_longer_than_it_may() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        queue_timeout: Some(3 * SECOND),
        ..spec()
    });
    let (_, running) = floor.exec();
    let waiting = floor.ask();
    floor.until(Duration::from_millis(2_999));
    floor.quiet();
    floor.until(3 * SECOND);
    floor.expect(&[answer(waiting, Answer::QueueTimeout)]);
    floor.pass(100 * SECOND);
    floor.quiet();
    floor.reply(worker, running);
    floor.quiet();
}

#[test]
fn a_job_may_wait_for_ever_and_run_as_long_as_its_own_options_say() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        queue_timeout: Some(SECOND),
        exec_timeout: Some(SECOND),
        min_workers: 1,
        max_workers: 2,
        ..spec()
    });
    let unlimited = Options {
        timeout: None,
        ..Options::default()
    };
    floor.run(&unlimited);
    floor.job(&unlimited);
    floor.boot();
    floor.pass(50 * SECOND);
    floor.quiet();
    floor.succeed(worker);
    assert_eq!(floor.verdict().run_time, 50 * SECOND);
}

#[test]
fn a_request_that_takes_too_long_ends_its_worker() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        exec_timeout: Some(3 * SECOND),
        ..spec()
    });
    let (_, request) = floor.exec();
    floor.until(Duration::from_millis(2_999));
    floor.quiet();
    floor.until(3 * SECOND);
    assert_eq!(floor.next(), answer(request, Answer::ExecTimeout));
    assert_eq!(floor.next(), Effect::Stop { worker });
    let other = floor.boot();
    floor.greet(other);
    // What it says now is not listened to.
    floor.say(worker, Word::Replied);
    floor.say(worker, Word::Ready { failure: None });
    floor.quiet();
    floor.until(13 * SECOND);
    floor.expect(&[Effect::Kill { worker }]);
    floor.exit(worker, killed());
    floor.quiet();
    assert_eq!(floor.snapshot().degraded, None, "the request is to blame");
    assert_eq!(floor.exec().0, other);
}

#[test]
fn a_worker_that_asks_to_be_stopped_gives_its_task_to_another() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.say(worker, Word::Unwanted);
    assert_eq!(floor.next(), Effect::Retire { worker });
    let other = floor.boot();
    floor.exit(worker, ExitStatus::Exited(0));
    floor.greet(other);
    assert_eq!(floor.handed(), (other, request));
    floor.reply(other, request);
    assert_eq!(floor.ends(), [("asked", 1)]);
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_task_that_comes_back_is_before_those_that_wait() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    let later = floor.ask();
    floor.say(worker, Word::Unwanted);
    floor.next();
    let other = floor.boot();
    floor.greet(other);
    assert_eq!(floor.handed(), (other, request));
    floor.reply(other, request);
    assert_eq!(floor.handed(), (other, later));
}

#[test]
fn a_request_is_given_elsewhere_three_times_at_most() {
    let (mut floor, mut worker) = Floor::one(spec());
    let request = floor.ask();
    for _ in 0..3 {
        assert_eq!(floor.handed(), (worker, request));
        floor.say(worker, Word::Unwanted);
        assert_eq!(floor.next(), Effect::Retire { worker });
        floor.exit(worker, ExitStatus::Exited(0));
        worker = floor.boot();
        floor.greet(worker);
    }
    assert_eq!(floor.handed(), (worker, request));
    floor.say(worker, Word::Unwanted);
    floor.boot();
    let over = answer(request, Answer::Unwanted(4));
    floor.expect(&[over, Effect::Retire { worker }]);
}

#[test]
fn a_job_is_given_elsewhere_three_times_at_most() {
    let (mut floor, mut worker) = Floor::one(spec());
    let job = floor.job(&Options {
        retries: 1,
        ..Options::default()
    });
    let used = Usage {
        user_us: 5,
        ..Usage::default()
    };
    for _ in 0..3 {
        assert_eq!(floor.assigned(), (worker, job.job));
        floor.say(worker, Word::Output("1".into()));
        floor.say(worker, Word::Used(used));
        floor.say(worker, Word::Unwanted);
        assert_eq!(floor.next(), Effect::Retire { worker });
        assert_eq!(floor.recorded, []);
        floor.exit(worker, ExitStatus::Exited(0));
        worker = floor.boot();
        floor.greet(worker);
    }
    assert_eq!(floor.assigned(), (worker, job.job));
    floor.say(worker, Word::Unwanted);
    let verdict = floor.verdict();
    assert!(matches!(verdict.outcome.cause, Cause::ProtocolError { .. }));
    assert!(matches!(verdict.next, Next::Retry { .. }));
    assert_eq!(verdict.output, None, "what it said elsewhere is forgotten");
    assert_eq!(verdict.outcome.usage, Usage::default());
    assert_eq!(floor.next(), Effect::Retire { worker });
}

#[test]
fn a_job_that_comes_back_counts_its_time_from_its_new_start() {
    let (mut floor, worker) = Floor::one(spec());
    let options = Options {
        timeout: Some(10 * SECOND),
        ..Options::default()
    };
    floor.run(&options);
    floor.pass(9 * SECOND);
    floor.say(worker, Word::Unwanted);
    floor.next();
    floor.exit(worker, ExitStatus::Exited(0));
    let other = floor.boot();
    floor.pass(9 * SECOND);
    floor.quiet();
    floor.greet(other);
    floor.assigned();
    floor.pass(9 * SECOND);
    floor.quiet();
    floor.succeed(other);
    assert_eq!(floor.verdict().run_time, 9 * SECOND);
}

#[test]
fn a_waiting_job_that_is_cancelled_is_never_run() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    let job = floor.job(&Options::default());
    floor.cancel(&job);
    let verdict = floor.verdict();
    assert_eq!(verdict.outcome.cause, Cause::Cancelled { by: "me".into() });
    assert_eq!(verdict.started_wall_ms, None);
    floor.greet(worker);
    floor.quiet();
    assert_eq!(floor.snapshot().waiting, 0);
}

#[test]
fn a_finalizer_that_fails_recycles_the_worker_and_not_the_job() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&Options::default());
    floor.say(worker, Word::Result(WorkResult::Succeeded));
    let failure = Some("the connection is in a transaction".to_owned());
    floor.say(worker, Word::Ready { failure });
    assert_eq!(floor.verdict().outcome.cause, Cause::Succeeded);
    assert_eq!(floor.next(), Effect::Retire { worker });
    floor.boot();
    floor.exit(worker, ExitStatus::Exited(0));
    assert_eq!(floor.ends(), [("finalizer", 1)]);
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_worker_that_does_not_get_ready_again_is_killed() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.say(worker, Word::Replied);
    floor.expect(&[answer(request, Answer::Replied)]);
    floor.until(Duration::from_millis(9_999));
    floor.quiet();
    floor.until(10 * SECOND);
    assert_eq!(floor.next(), Effect::Kill { worker });
    floor.boot();
    floor.exit(worker, killed());
    assert_eq!(floor.ends(), [("finalizer", 1)]);
}

/// A retry of its own may be due, or what it has enqueued.
#[test]
fn a_job_that_ends_makes_the_pool_look_for_more() {
    let (mut floor, _) = Floor::ready(fixed(2));
    let (worker, _) = floor.run(&Options::default());
    let claims = floor.claims.len();
    floor.say(worker, Word::Result(WorkResult::Succeeded));
    assert_eq!(floor.claims.len(), claims + 1);
}
