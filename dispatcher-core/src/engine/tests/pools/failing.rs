//! Workers that crash or do not start, again and again: back-off, the degraded state, its end.

use super::*;

fn boot_fails(floor: &mut Floor, worker: WorkerId) {
    floor.tell(Event::SpawnFailed {
        worker,
        errno: 2,
        transient: false,
    });
}

/// Lets time pass to the next boot; how long that took.
fn next_boot(floor: &mut Floor) -> (Duration, WorkerId) {
    let since = floor.desk.monotonic;
    while floor.told.is_empty() {
        let at = floor.desk.engine.poll_timeout().expect("something is due");
        floor.until(at);
    }
    (floor.desk.monotonic - since, floor.boot())
}

#[test]
fn a_failed_boot_backs_off_at_once_and_doubles_up_to_half_a_minute() {
    let mut floor = Floor::new(spec());
    let mut worker = floor.boot();
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        boot_fails(&mut floor, worker);
        floor.quiet();
        let degraded = floor.snapshot().degraded.expect("it shows");
        assert!(degraded.contains("error 2"), "{degraded}");
        let (waited, next) = next_boot(&mut floor);
        assert_eq!(waited, seconds * SECOND);
        worker = next;
    }
    assert_eq!(floor.ends(), [("boot_failed", 7)]);
    floor.greet(worker);
    assert_eq!(floor.snapshot().degraded, None, "it boots well");
    floor.quiet();
}

#[test]
fn a_crash_loop_backs_off_from_its_second_crash_on() {
    let mut floor = Floor::new(PoolSpec {
        claims: false,
        ..spec()
    });
    let mut worker = floor.boot();
    for seconds in [0, 1, 2, 4, 8, 16, 30, 30] {
        floor.greet(worker);
        let (_, request) = floor.exec();
        floor.exit(worker, ExitStatus::Exited(139));
        let died = Answer::Died(Cause::Exited { code: 139 });
        assert_eq!(floor.next(), answer(request, died));
        let degraded = floor.snapshot().degraded;
        assert_eq!(degraded.is_some(), seconds > 0, "a first crash is a mishap");
        let (waited, next) = next_boot(&mut floor);
        assert_eq!(waited, seconds * SECOND);
        worker = next;
    }
    // To start well is not what it failed at.
    floor.greet(worker);
    let degraded = floor.snapshot().degraded.expect("still");
    assert_eq!(degraded, "it exited with status 139");
    let (_, request) = floor.exec();
    floor.reply(worker, request);
    assert_eq!(floor.snapshot().degraded, None, "a task is finished");
}

#[test]
fn a_finished_job_ends_the_row_of_failures() {
    let (mut floor, mut worker) = Floor::one(spec());
    for _ in 0..5 {
        floor.run(&Options::default());
        floor.exit(worker, killed());
        worker = floor.boot();
        floor.greet(worker);
        floor.run(&Options::default());
        floor.succeed(worker);
    }
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn workers_that_die_idle_back_off_as_well() {
    let mut floor = Floor::new(spec());
    let mut worker = floor.boot();
    for seconds in [0, 1, 2, 4] {
        floor.greet(worker);
        floor.exit(worker, ExitStatus::Exited(1));
        let (waited, next) = next_boot(&mut floor);
        assert_eq!(waited, seconds * SECOND);
        worker = next;
    }
}

#[test]
fn a_worker_that_does_not_greet_in_time_is_killed_and_backs_off() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    floor.pass(100 * SECOND);
    floor.quiet();
    floor.tell(Event::Spawned { worker });
    floor.pass(Duration::from_millis(59_999));
    floor.quiet();
    floor.pass(Duration::from_millis(1));
    floor.expect(&[Effect::Kill { worker }]);
    let degraded = floor.snapshot().degraded.expect("it shows");
    assert_eq!(degraded, "it was not ready within 60s");
    // Its end is no second failure.
    floor.exit(worker, killed());
    let (waited, _) = next_boot(&mut floor);
    assert_eq!(waited, SECOND);
}

#[test]
fn the_last_words_of_a_worker_that_did_not_start_are_shown() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    floor.tell(Event::Spawned { worker });
    let text = "stderr: no such module".to_owned();
    floor.tell(Event::LastWords { worker, text });
    floor.exit(worker, ExitStatus::Exited(255));
    let degraded = floor.snapshot().degraded.expect("it shows");
    assert_eq!(
        degraded,
        "it exited with status 255; stderr: no such module"
    );
}

#[test]
fn a_worker_that_ends_before_its_start_was_reported_did_not_start() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    floor.exit(worker, ExitStatus::Exited(1));
    assert_eq!(floor.ends(), [("boot_failed", 1)]);
    assert!(floor.snapshot().degraded.is_some());
}

#[test]
fn text_where_a_hello_should_be_ends_the_worker() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    floor.tell(Event::Spawned { worker });
    let what = "its output is `Hi`".to_owned();
    floor.tell(Event::LinkBroken { worker, what });
    floor.expect(&[Effect::Kill { worker }]);
    let degraded = floor.snapshot().degraded.expect("it shows");
    assert_eq!(degraded, "its output is `Hi`");
}

#[test]
fn a_link_that_breaks_before_the_start_was_reported_ends_the_worker_once_it_is() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    let what = "garbage".to_owned();
    floor.tell(Event::LinkBroken { worker, what });
    floor.quiet();
    floor.tell(Event::Spawned { worker });
    floor.expect(&[Effect::Kill { worker }]);
}

#[test]
fn while_it_is_down_a_pool_answers_that_it_is_degraded_and_claims_nothing() {
    let mut floor = Floor::new(fixed(2));
    let workers = floor.boots();
    let waiting = floor.ask();
    let job = floor.job(&Options::default());
    let claims = floor.claims.len();
    boot_fails(&mut floor, workers[0]);
    floor.quiet();
    boot_fails(&mut floor, workers[1]);
    let why = "no process could be made (error 2)".to_owned();
    floor.expect(&[answer(waiting, Answer::Degraded(why.clone()))]);
    let verdict = floor.verdict();
    assert_eq!(verdict.job, job.job);
    assert_eq!(verdict.outcome.cause, Cause::Shutdown);
    assert_eq!(verdict.next, Next::Release);
    let request = floor.ask();
    floor.expect(&[answer(request, Answer::Degraded(why))]);
    floor.job(&Options::default());
    floor.pass(SECOND - Duration::from_millis(1));
    floor.quiet();
    assert_eq!(floor.claims.len(), claims, "nothing is claimed");
}

#[test]
fn after_a_failure_one_worker_shows_whether_it_is_over() {
    let mut floor = Floor::new(fixed(4));
    for worker in floor.boots() {
        boot_fails(&mut floor, worker);
    }
    let claims = floor.claims.len();
    floor.pass(SECOND);
    let worker = floor.boot();
    let waiting = floor.ask();
    floor.tell(Event::Spawned { worker });
    floor.tell(Event::Woken);
    floor.pass(30 * SECOND);
    floor.quiet();
    let asked = floor.claims[claims..].iter().max();
    assert_eq!(asked, Some(&1), "no more jobs than it can show it with");
    floor.say(worker, Word::Hello);
    assert_eq!(floor.handed(), (worker, waiting));
    assert_eq!(floor.boots().len(), 3, "it is over");
}

/// It has to claim to know whether there is work.
#[test]
fn a_pool_without_idle_workers_that_failed_tries_again_with_the_next_job() {
    let mut floor = Floor::new(up_to(3));
    floor.job(&Options::default());
    let mut worker = floor.boot();
    for seconds in [1, 2, 4] {
        boot_fails(&mut floor, worker);
        assert_eq!(floor.verdict().next, Next::Release);
        let released = floor.jobs;
        floor.quiet();
        floor.job(&Options::default());
        assert_eq!(floor.jobs, released + 1);
        let (waited, next) = next_boot(&mut floor);
        assert!(waited >= seconds * SECOND, "{waited:?}");
        assert!(waited <= (seconds + 1) * SECOND, "{waited:?}");
        worker = next;
    }
    floor.greet(worker);
    floor.assigned();
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_pool_without_idle_workers_that_failed_tries_again_with_the_next_request() {
    let mut floor = Floor::new(PoolSpec {
        claims: false,
        ..up_to(3)
    });
    let request = floor.ask();
    let worker = floor.boot();
    boot_fails(&mut floor, worker);
    assert!(matches!(
        floor.next(),
        Effect::Answer { request: it, answer: Answer::Degraded(_) } if it == request
    ));
    floor.pass(10 * SECOND);
    floor.quiet();
    let request = floor.ask();
    let worker = floor.boot();
    floor.greet(worker);
    assert_eq!(floor.handed(), (worker, request));
}

#[test]
fn a_degraded_pool_with_a_worker_that_lives_serves_on() {
    let (mut floor, workers) = Floor::ready(fixed(2));
    for _ in 0..2 {
        let (worker, _) = floor.exec();
        floor.exit(worker, killed());
        floor.next();
        for worker in floor.boots() {
            floor.greet(worker);
        }
    }
    assert!(floor.snapshot().degraded.is_some());
    let (worker, request) = floor.exec();
    assert!(workers.contains(&worker));
    let waiting = floor.ask();
    floor.quiet();
    floor.reply(worker, request);
    assert_eq!(floor.boots().len(), 1, "a task was finished: it is over");
    assert_eq!(floor.handed(), (worker, waiting));
}

/// A lost keeper says nothing about what workers do.
#[test]
fn a_lost_keeper_does_not_end_the_row_of_failures() {
    let (mut floor, _) = Floor::ready(fixed(3));
    for _ in 0..2 {
        let (worker, _) = floor.run(&Options::default());
        floor.exit(worker, killed());
        for worker in floor.boots() {
            floor.greet(worker);
        }
    }
    assert!(floor.snapshot().degraded.is_some());
    floor.run(&Options::default());
    floor.tell(Event::KeeperLost);
    assert!(floor.snapshot().degraded.is_some());
    floor.quiet();
    let (waited, _) = next_boot(&mut floor);
    assert_eq!(waited, SECOND);
}

#[test]
fn links_that_break_at_work_back_off_as_well() {
    let mut floor = Floor::new(spec());
    let mut worker = floor.boot();
    for seconds in [0, 1, 2, 4] {
        floor.greet(worker);
        floor.exec();
        let what = "garbage".to_owned();
        floor.tell(Event::LinkBroken { worker, what });
        floor.next();
        assert_eq!(floor.next(), Effect::Kill { worker });
        floor.exit(worker, killed());
        let (waited, next) = next_boot(&mut floor);
        assert_eq!(waited, seconds * SECOND);
        worker = next;
    }
    let degraded = floor.snapshot().degraded;
    assert_eq!(degraded.as_deref(), Some("garbage"));
}
