//! How pools end with their supervisor.

use super::*;

fn shut_down(floor: &mut Floor, request: Shutdown) {
    floor.tell(Event::ShutdownRequested(request));
}

/// A supervisor that leaves when it has had nothing to do, with a worker in its pool.
fn detached() -> (Floor, WorkerId) {
    let mut floor = Floor::with_linger(spec(), Some(5 * SECOND));
    let worker = floor.boot();
    floor.greet(worker);
    (floor, worker)
}

#[test]
fn an_idle_pool_is_retired_before_the_supervisor_leaves() {
    for request in [Shutdown::Finish, Shutdown::Drain(SECOND)] {
        let (mut floor, workers) = Floor::ready(fixed(2));
        shut_down(&mut floor, request);
        let retire = |worker: &WorkerId| Effect::Retire { worker: *worker };
        let retired: Vec<Effect> = workers.iter().map(retire).collect();
        floor.expect(&retired);
        floor.exit(workers[0], ExitStatus::Exited(0));
        floor.quiet();
        floor.exit(workers[1], ExitStatus::Exited(0));
        floor.expect(&[Effect::Finish]);
        assert_eq!(floor.ends(), [("shutdown", 2)]);
    }
}

#[test]
fn a_worker_that_does_not_end_is_killed_before_the_supervisor_leaves() {
    let (mut floor, worker) = Floor::one(spec());
    shut_down(&mut floor, Shutdown::Finish);
    floor.expect(&[Effect::Retire { worker }]);
    floor.pass(10 * SECOND);
    floor.expect(&[Effect::Kill { worker }]);
    floor.exit(worker, killed());
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_pool_without_workers_holds_nobody_up() {
    let mut floor = Floor::new(up_to(4));
    shut_down(&mut floor, Shutdown::Finish);
    floor.expect(&[Effect::Finish]);
}

#[test]
fn what_waits_and_runs_is_finished_and_nothing_new_is_taken() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, running) = floor.exec();
    let waiting = floor.ask();
    shut_down(&mut floor, Shutdown::Finish);
    let late = floor.ask();
    floor.expect(&[answer(late, Answer::Stopping)]);
    let claims = floor.claims.len();
    floor.pass(1000 * SECOND);
    floor.quiet();
    floor.reply(worker, running);
    assert_eq!(floor.handed(), (worker, waiting));
    floor.reply(worker, waiting);
    floor.expect(&[Effect::Retire { worker }]);
    assert_eq!(floor.claims.len(), claims);
    floor.exit(worker, ExitStatus::Exited(0));
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_crash_while_it_drains_starts_a_replacement_for_what_waits() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, running) = floor.exec();
    let waiting = floor.ask();
    shut_down(&mut floor, Shutdown::Finish);
    floor.exit(worker, ExitStatus::Exited(1));
    let died = Answer::Died(Cause::Exited { code: 1 });
    let other = floor.boot();
    floor.expect(&[answer(running, died)]);
    floor.greet(other);
    floor.handed();
    floor.exit(other, ExitStatus::Exited(1));
    let died = Answer::Died(Cause::Exited { code: 1 });
    floor.expect(&[answer(waiting, died), Effect::Finish]);
}

#[test]
fn the_shorter_of_two_drain_times_counts() {
    for (service, pool) in [(30, 4), (4, 30)] {
        let (mut floor, workers) = Floor::ready(PoolSpec {
            drain_timeout: pool * SECOND,
            ..fixed(2)
        });
        let (asked, request) = floor.exec();
        let (worked, job) = floor.run(&Options {
            grace: SECOND,
            ..Options::default()
        });
        let waiting = floor.ask();
        shut_down(&mut floor, Shutdown::Drain(service * SECOND));
        floor.until(Duration::from_millis(3_999));
        floor.quiet();
        floor.until(4 * SECOND);
        floor.expect(&[
            Effect::Stop { worker: worked },
            answer(waiting, Answer::Stopping),
            answer(request, Answer::Stopping),
            Effect::Stop { worker: asked },
        ]);
        floor.until(5 * SECOND);
        floor.expect(&[Effect::Kill { worker: worked }]);
        floor.exit(worked, killed());
        let verdict = floor.verdict();
        assert_eq!(verdict.job, job.job);
        assert_eq!(verdict.outcome.cause, Cause::Shutdown);
        assert_eq!(verdict.next, Next::Release);
        floor.until(14 * SECOND);
        floor.expect(&[Effect::Kill { worker: asked }]);
        floor.exit(asked, killed());
        floor.expect(&[Effect::Finish]);
        assert_eq!(workers.len(), 2);
    }
}

#[test]
fn a_waiting_job_is_released_when_the_drain_time_is_over() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    let job = floor.job(&Options::default());
    shut_down(&mut floor, Shutdown::Drain(SECOND));
    floor.until(SECOND);
    let verdict = floor.verdict();
    assert_eq!(verdict.job, job.job);
    assert_eq!(verdict.next, Next::Release);
    floor.quiet();
    // Its boot has to be answered, then it is killed.
    floor.tell(Event::Spawned { worker });
    floor.expect(&[Effect::Kill { worker }]);
    floor.exit(worker, killed());
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_shutdown_now_kills() {
    let (mut floor, workers) = Floor::ready(fixed(4));
    let (asked, request) = floor.exec();
    let (worked, _) = floor.run(&Options::default());
    let (settling, third) = floor.exec();
    floor.say(settling, Word::Replied);
    floor.expect(&[answer(third, Answer::Replied)]);
    let rest = |it: &&WorkerId| **it != asked && **it != worked;
    let rest: Vec<WorkerId> = workers.iter().filter(rest).copied().collect();
    assert!(rest.contains(&settling));
    shut_down(&mut floor, Shutdown::Now);
    floor.expect(&[
        Effect::Stop { worker: worked },
        Effect::Kill { worker: worked },
        answer(request, Answer::Stopping),
        Effect::Kill { worker: asked },
        Effect::Kill { worker: rest[0] },
        Effect::Kill { worker: rest[1] },
    ]);
    floor.exit(worked, killed());
    assert_eq!(floor.verdict().next, Next::Release);
    floor.exit(asked, killed());
    floor.exit(rest[0], killed());
    floor.exit(rest[1], killed());
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_shutdown_now_after_a_slower_one_kills_who_was_asked_to_end() {
    let (mut floor, worker) = Floor::one(spec());
    shut_down(&mut floor, Shutdown::Finish);
    floor.expect(&[Effect::Retire { worker }]);
    shut_down(&mut floor, Shutdown::Now);
    floor.expect(&[Effect::Kill { worker }]);
    floor.exit(worker, killed());
    floor.expect(&[Effect::Finish]);
}

/// Of a worker that a reset has replaced, and that still has a request.
#[test]
fn a_request_in_a_replaced_worker_is_waited_for() {
    let (mut floor, old) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.reset();
    let new = floor.boot();
    floor.greet(new);
    floor.expect(&[reset_over(None)]);
    shut_down(&mut floor, Shutdown::Finish);
    floor.pass(100 * SECOND);
    floor.quiet();
    floor.reply(old, request);
    floor.expect(&[
        Effect::Retire { worker: old },
        Effect::Retire { worker: new },
    ]);
}

#[test]
fn work_that_arrives_after_the_shutdown_goes_back() {
    let mut floor = Floor::new(up_to(1));
    floor.desk.tell(Event::Woken);
    let claims: Vec<Effect> = floor.desk.effects.drain(..).collect();
    assert_eq!(claims.len(), 2, "one for each lane");
    floor.tell(Event::ShutdownRequested(Shutdown::Finish));
    for lane in [Lane::Process, Lane::Pool(POOL)] {
        let jobs = match lane {
            Lane::Process => vec![],
            Lane::Pool(_) => vec![assignment(7, &Options::default())],
        };
        let jobs = jobs.into_iter().map(|job| Assignment { slot: SLOT, ..job });
        let jobs = jobs.collect();
        let next_due = None;
        floor.tell(Event::Claimed {
            lane,
            jobs,
            next_due,
        });
    }
    assert_eq!(floor.verdict().next, Next::Release);
    floor.expect(&[Effect::Finish]);
}

#[test]
fn an_idle_supervisor_leaves_though_its_pool_has_workers() {
    let (mut floor, worker) = detached();
    floor.until(3 * SECOND);
    let (_, request) = floor.exec();
    floor.until(7 * SECOND);
    floor.reply(worker, request);
    floor.until(12 * SECOND - Duration::from_millis(1));
    floor.quiet();
    floor.until(12 * SECOND);
    floor.expect(&[Effect::CloseIfIdle]);
    floor.tell(Event::CloseAnswered { closed: true });
    floor.expect(&[Effect::Retire { worker }]);
    let late = floor.ask();
    floor.expect(&[answer(late, Answer::Stopping)]);
    floor.exit(worker, ExitStatus::Exited(0));
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_request_that_arrives_while_it_offers_to_leave_is_served() {
    for closed in [true, false] {
        let (mut floor, worker) = detached();
        floor.until(5 * SECOND);
        floor.expect(&[Effect::CloseIfIdle]);
        let (_, request) = floor.exec();
        floor.tell(Event::CloseAnswered { closed });
        floor.quiet();
        floor.reply(worker, request);
        if closed {
            floor.expect(&[Effect::Retire { worker }]);
        } else {
            floor.quiet();
        }
    }
}

#[test]
fn a_superseded_supervisor_finishes_its_pools() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.tell(Event::Superseded);
    floor.expect(&[Effect::HandOver]);
    floor.tell(Event::CloseAnswered { closed: true });
    floor.quiet();
    floor.reply(worker, request);
    floor.expect(&[Effect::Retire { worker }]);
    floor.exit(worker, ExitStatus::Exited(0));
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_lost_keeper_leaves_nothing_to_wait_for() {
    let (mut floor, worker) = Floor::one(spec());
    shut_down(&mut floor, Shutdown::Finish);
    floor.expect(&[Effect::Retire { worker }]);
    floor.tell(Event::KeeperLost);
    floor.expect(&[Effect::Finish]);
}

#[test]
fn a_job_that_no_worker_has_begun_goes_back_when_a_drain_begins() {
    let mut floor = Floor::new(up_to(1));
    floor.job(&Options::default());
    floor.tell(Event::Woken);
    let worker = floor.boot();
    let request = floor.ask();
    shut_down(&mut floor, Shutdown::Drain(30 * SECOND));
    let verdict = floor.verdict();
    assert_eq!(verdict.next, Next::Release);
    assert_eq!(verdict.outcome.cause, Cause::Shutdown);
    // The request was accepted before.
    floor.greet(worker);
    assert_eq!(floor.handed(), (worker, request));
}
