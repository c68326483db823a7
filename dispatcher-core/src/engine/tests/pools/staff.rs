//! Who is there: scaling up and down, and workers that are replaced when they are idle.

use super::*;

#[test]
fn every_waiting_task_starts_a_worker_at_once_up_to_the_maximum() {
    let mut floor = Floor::new(up_to(3));
    floor.quiet();
    floor.ask();
    floor.boot();
    floor.ask();
    floor.boot();
    floor.job(&Options::default());
    floor.boot();
    floor.ask();
    floor.quiet();
    assert_eq!(floor.snapshot().waiting, 4);
}

#[test]
fn a_task_that_an_idle_worker_can_have_starts_none() {
    let (mut floor, workers) = Floor::ready(PoolSpec {
        min_workers: 1,
        max_workers: 3,
        ..spec()
    });
    assert_eq!(workers.len(), 1);
    for _ in 0..5 {
        let (worker, request) = floor.exec();
        floor.reply(worker, request);
    }
    floor.quiet();
}

#[test]
fn more_idle_workers_than_the_maximum_are_never_kept() {
    let floor_spec = PoolSpec {
        min_workers: 9,
        max_workers: 2,
        ..spec()
    };
    let (mut floor, workers) = Floor::ready(floor_spec);
    assert_eq!(workers.len(), 2);
    floor.reset();
    assert_eq!(floor.boots().len(), 2);
}

#[test]
fn idle_workers_go_after_their_time_and_those_that_must_be_there_are_replaced() {
    let mut floor = Floor::new(PoolSpec {
        min_workers: 1,
        max_workers: 2,
        idle_ttl: Some(5 * SECOND),
        ..spec()
    });
    let first = floor.boot();
    floor.greet(first);
    let (_, running) = floor.exec();
    floor.ask();
    let second = floor.boot();
    floor.greet(second);
    let (_, other) = floor.handed();
    floor.reply(second, other);
    floor.pass(2 * SECOND);
    floor.reply(first, running);
    floor.until(Duration::from_millis(4_999));
    floor.quiet();
    floor.until(5 * SECOND);
    floor.expect(&[Effect::Retire { worker: second }]);
    floor.exit(second, ExitStatus::Exited(0));
    floor.until(7 * SECOND);
    assert_eq!(floor.next(), Effect::Retire { worker: first });
    floor.boot();
    floor.quiet();
    floor.exit(first, ExitStatus::Exited(0));
    assert_eq!(floor.ends(), [("idle_ttl", 2)]);
}

#[test]
fn a_worker_is_replaced_after_its_tasks() {
    let (mut floor, mut worker) = Floor::one(PoolSpec {
        max_jobs: 3,
        ..spec()
    });
    for _ in 0..2 {
        for _ in 0..3 {
            floor.quiet();
            let (there, request) = floor.exec();
            assert_eq!(there, worker);
            floor.reply(worker, request);
        }
        assert_eq!(floor.next(), Effect::Retire { worker });
        let other = floor.boot();
        floor.exit(worker, ExitStatus::Exited(0));
        floor.greet(other);
        worker = other;
    }
    assert_eq!(floor.ends(), [("max_jobs", 2)]);
}

#[test]
fn workers_are_replaced_after_a_tenth_less_at_most_and_not_all_at_once() {
    let (mut floor, workers) = Floor::ready(PoolSpec {
        max_jobs: 100,
        ..fixed(20)
    });
    let mut served = BTreeMap::new();
    for _ in 0..100 {
        let tasks: Vec<_> = (0..20).map(|_| floor.exec()).collect();
        for (worker, request) in tasks {
            floor.reply(worker, request);
            *served.entry(worker).or_insert(0) += 1;
            if floor.told.front() == Some(&Effect::Retire { worker }) {
                floor.next();
                let other = floor.boot();
                floor.exit(worker, ExitStatus::Exited(0));
                floor.greet(other);
            }
        }
    }
    let first = workers.iter().map(|worker| served[worker]);
    let counts: Vec<u32> = first.collect();
    assert!(counts.iter().all(|count| (90..=100).contains(count)));
    let kinds: std::collections::BTreeSet<u32> = counts.into_iter().collect();
    assert!(kinds.len() > 4, "{kinds:?}");
}

#[test]
fn an_old_worker_is_replaced_when_it_is_idle() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        ttl: Some(10 * SECOND),
        ..spec()
    });
    floor.pass(9 * SECOND);
    let (_, request) = floor.exec();
    floor.pass(9 * SECOND);
    floor.quiet();
    let waiting = floor.ask();
    floor.reply(worker, request);
    assert_eq!(floor.next(), Effect::Retire { worker });
    let other = floor.boot();
    floor.greet(other);
    assert_eq!(floor.handed(), (other, waiting));
    floor.exit(worker, ExitStatus::Exited(0));
    assert_eq!(floor.ends(), [("ttl", 1)]);
}

/// Else nobody would ever serve.
#[test]
fn a_worker_that_is_old_before_it_is_ready_serves_what_waits() {
    let mut floor = Floor::new(PoolSpec {
        ttl: Some(SECOND),
        idle_ttl: Some(Duration::from_nanos(1)),
        claims: false,
        ..spec()
    });
    let worker = floor.boot();
    let request = floor.ask();
    floor.pass(5 * SECOND);
    floor.tell(Event::Outgrown { worker });
    floor.greet(worker);
    assert_eq!(floor.handed(), (worker, request));
    floor.reply(worker, request);
    assert_eq!(floor.next(), Effect::Retire { worker });
}

#[test]
fn an_age_of_nothing_is_none() {
    let (mut floor, _) = Floor::one(PoolSpec {
        ttl: Some(Duration::ZERO),
        idle_ttl: Some(Duration::ZERO),
        ..spec()
    });
    floor.pass(100 * SECOND);
    floor.quiet();
}

#[test]
fn a_worker_that_has_outgrown_its_memory_is_replaced_when_it_is_idle() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    let waiting = floor.ask();
    floor.tell(Event::Outgrown { worker });
    floor.quiet();
    floor.pass(100 * SECOND);
    floor.quiet();
    floor.reply(worker, request);
    assert_eq!(floor.next(), Effect::Retire { worker });
    let other = floor.boot();
    floor.exit(worker, ExitStatus::Exited(0));
    floor.greet(other);
    assert_eq!(floor.handed(), (other, waiting));
    floor.reply(other, waiting);
    floor.tell(Event::Outgrown { worker: other });
    assert_eq!(floor.next(), Effect::Retire { worker: other });
    floor.boot();
    floor.exit(other, ExitStatus::Exited(0));
    assert_eq!(floor.ends(), [("max_memory", 2)]);
}

/// Another would need as much.
#[test]
fn a_worker_that_has_served_nothing_is_not_replaced_for_its_memory() {
    let (mut floor, worker) = Floor::one(spec());
    floor.tell(Event::Outgrown { worker });
    floor.pass(SECOND);
    floor.quiet();
    let (_, request) = floor.exec();
    floor.reply(worker, request);
    assert_eq!(floor.next(), Effect::Retire { worker });
}

#[test]
fn a_worker_that_does_not_end_when_it_is_retired_is_killed_again_and_again() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        ttl: Some(SECOND),
        claims: false,
        ..spec()
    });
    floor.until(SECOND);
    assert_eq!(floor.next(), Effect::Retire { worker });
    floor.boot();
    floor.until(11 * SECOND - Duration::from_millis(1));
    floor.quiet();
    for again in 11..20 {
        floor.until(again * SECOND);
        floor.expect(&[Effect::Kill { worker }]);
    }
    floor.exit(worker, killed());
    assert_eq!(floor.ends(), [("ttl", 1)]);
}

#[test]
fn whoever_is_told_to_stop_without_time_for_it_is_killed() {
    let (mut floor, worker) = Floor::one(PoolSpec {
        stop_timeout: Duration::ZERO,
        ttl: Some(SECOND),
        ..spec()
    });
    floor.until(SECOND);
    assert_eq!(floor.next(), Effect::Kill { worker });
}

/// Processes that cannot be killed must not take the machine with them.
#[test]
fn workers_on_their_way_out_are_not_replaced_without_end() {
    let (mut floor, mut worker) = Floor::one(spec());
    let (_, first) = floor.run(&Options::default());
    floor.cancel(&first);
    floor.expect(&[
        Effect::Stop { worker },
        Effect::Boot {
            worker: WorkerId(2),
            pool: POOL,
        },
    ]);
    let stuck = worker;
    worker = WorkerId(2);
    floor.greet(worker);
    let (_, second) = floor.run(&Options::default());
    floor.cancel(&second);
    floor.expect(&[Effect::Stop { worker }]);
    let waiting = floor.ask();
    floor.quiet();
    floor.exit(stuck, killed());
    let other = floor.boot();
    floor.greet(other);
    assert_eq!(floor.handed(), (other, waiting));
}

#[test]
fn a_snapshot_shows_every_worker() {
    let (mut floor, workers) = Floor::ready(fixed(3));
    floor.pass(SECOND);
    let (busy, _) = floor.exec();
    let (dying, job) = floor.run(&Options::default());
    floor.cancel(&job);
    floor.told.clear();
    let snapshot = floor.snapshot();
    assert_eq!((snapshot.waiting, snapshot.running), (0, 2));
    let state = |id: WorkerId| {
        let worker = snapshot.workers.iter().find(|it| it.worker == id);
        worker.map(|worker| worker.state)
    };
    let idle = workers.iter().find(|it| **it != busy && **it != dying);
    assert_eq!(state(*idle.expect("three")), Some("ready"));
    assert_eq!(state(busy), Some("working"));
    assert_eq!(state(dying), Some("stopping"));
    assert_eq!(snapshot.workers.len(), 4);
    assert_eq!(snapshot.workers[3].state, "starting");
    assert_eq!(floor.desk.engine.snapshot().live, [(job.job, SLOT)]);
}
