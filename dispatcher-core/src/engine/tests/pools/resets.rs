//! Resets: replacements are ready before anybody goes.

use super::*;

#[test]
fn replacements_serve_when_all_are_ready_and_the_old_end_when_idle() {
    let (mut floor, old) = Floor::ready(fixed(2));
    let (busy, request) = floor.exec();
    floor.reset();
    let new = floor.boots();
    assert_eq!(new.len(), 2);
    floor.greet(new[0]);
    floor.quiet();
    // One stands by while the other starts: the old ones serve.
    let (still, second) = floor.exec();
    assert!(old.contains(&still));
    floor.greet(new[1]);
    floor.expect(&[reset_over(None)]);
    assert!(new.contains(&floor.exec().0));
    floor.reply(still, second);
    floor.expect(&[Effect::Retire { worker: still }]);
    floor.reply(busy, request);
    floor.expect(&[Effect::Retire { worker: busy }]);
    for worker in [still, busy] {
        floor.exit(worker, ExitStatus::Exited(0));
    }
    floor.quiet();
    assert_eq!(floor.ends(), [("reset", 2)]);
}

#[test]
fn idle_workers_end_and_what_waits_is_served_in_the_instant_of_the_swap() {
    let (mut floor, old) = Floor::one(PoolSpec {
        claims: false,
        ..spec()
    });
    floor.reset();
    let new = floor.boot();
    floor.greet(new);
    floor.expect(&[reset_over(None), Effect::Retire { worker: old }]);
    let (_, _) = floor.exec();
    let waiting = floor.ask();
    floor.reset();
    let newer = floor.boot();
    floor.greet(newer);
    let hand = Effect::Hand {
        worker: newer,
        request: waiting,
    };
    floor.expect(&[reset_over(None), hand]);
}

#[test]
fn a_replacement_that_fails_leaves_the_old_ones_and_says_why() {
    let failures: [fn(&mut Floor, WorkerId); 5] = [
        |floor, worker| {
            floor.tell(Event::SpawnFailed {
                worker,
                errno: 13,
                transient: false,
            });
        },
        |floor, worker| {
            floor.tell(Event::Spawned { worker });
            let text = "parse error".to_owned();
            floor.tell(Event::LastWords { worker, text });
            floor.exit(worker, ExitStatus::Exited(255));
        },
        |floor, worker| {
            floor.tell(Event::Spawned { worker });
            floor.pass(60 * SECOND);
        },
        |floor, worker| {
            floor.tell(Event::Spawned { worker });
            let what = "garbage".to_owned();
            floor.tell(Event::LinkBroken { worker, what });
        },
        |floor, worker| {
            floor.greet(worker);
            floor.exit(worker, killed());
        },
    ];
    let whys = [
        "no process could be made (error 13)",
        "it exited with status 255; parse error",
        "it was not ready within 60s",
        "garbage",
        "it was killed by signal 9",
    ];
    for (fails, why) in failures.into_iter().zip(whys) {
        let (mut floor, old) = Floor::ready(fixed(2));
        floor.reset();
        let new = floor.boots();
        fails(&mut floor, new[0]);
        let told: Vec<Effect> = floor.told.drain(..).collect();
        assert!(told.contains(&reset_over(Some(why))), "{told:?}");
        let hurt = |effect: &Effect| match effect {
            Effect::Retire { worker } | Effect::Kill { worker } => old.contains(worker),
            _ => false,
        };
        assert!(!told.iter().any(hurt), "{told:?}");
        // The other replacement goes as well, once it is there.
        floor.tell(Event::Spawned { worker: new[1] });
        floor.expect(&[Effect::Kill { worker: new[1] }]);
        assert_eq!(floor.snapshot().degraded, None, "the old ones are well");
        assert!(old.contains(&floor.exec().0));
        floor.reset();
        assert_eq!(floor.boots().len(), 2, "it may be tried again");
    }
}

#[test]
fn a_second_reset_is_answered_with_the_first() {
    let (mut floor, old) = Floor::one(spec());
    floor.reset();
    let new = floor.boot();
    floor.reset();
    floor.reset();
    floor.quiet();
    floor.greet(new);
    floor.expect(&[reset_over(None), Effect::Retire { worker: old }]);
    floor.reset();
    floor.boot();
    floor.quiet();
}

#[test]
fn a_reset_of_an_empty_pool_shows_whether_a_worker_starts() {
    let mut floor = Floor::new(up_to(3));
    floor.reset();
    let worker = floor.boot();
    floor.greet(worker);
    floor.expect(&[reset_over(None)]);
    assert_eq!(floor.exec().0, worker);
}

#[test]
fn a_reset_mends_a_degraded_pool_without_waiting() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    floor.tell(Event::SpawnFailed {
        worker,
        errno: 2,
        transient: false,
    });
    floor.reset();
    let worker = floor.boot();
    floor.greet(worker);
    floor.expect(&[reset_over(None)]);
    assert_eq!(floor.snapshot().degraded, None);
    assert_eq!(floor.exec().0, worker);
    floor.pass(100 * SECOND);
    floor.quiet();
}

#[test]
fn old_workers_that_are_not_ready_yet_end_at_the_swap() {
    let mut floor = Floor::new(fixed(2));
    let old = floor.boots();
    floor.tell(Event::Spawned { worker: old[0] });
    floor.reset();
    let new = floor.boots();
    floor.greet(new[0]);
    floor.greet(new[1]);
    floor.expect(&[Effect::Kill { worker: old[0] }, reset_over(None)]);
    floor.tell(Event::Spawned { worker: old[1] });
    floor.expect(&[Effect::Kill { worker: old[1] }]);
}

#[test]
fn a_lost_keeper_ends_a_reset() {
    let (mut floor, _) = Floor::one(spec());
    floor.reset();
    floor.boot();
    floor.tell(Event::KeeperLost);
    let worker = floor.boot();
    floor.expect(&[reset_over(Some("the keeper was lost"))]);
    floor.greet(worker);
    assert_eq!(floor.exec().0, worker);
}

#[test]
fn a_reset_of_no_pool_is_answered() {
    let (mut floor, _) = Floor::one(spec());
    let pool = PoolId(7);
    floor.tell(Event::ResetRequested { pool });
    let failure = Some("there is no such pool".to_owned());
    floor.expect(&[Effect::ResetOver { pool, failure }]);
}

#[test]
fn a_shutdown_ends_a_reset_and_none_begins_after_it() {
    let (mut floor, worker) = Floor::one(spec());
    let (_, request) = floor.exec();
    floor.reset();
    let new = floor.boot();
    floor.tell(Event::Spawned { worker: new });
    floor.tell(Event::ShutdownRequested(Shutdown::Finish));
    let over = reset_over(Some("the supervisor is stopping"));
    floor.expect(&[Effect::Kill { worker: new }, over.clone()]);
    floor.reset();
    floor.expect(&[over]);
    floor.reply(worker, request);
    floor.expect(&[Effect::Retire { worker }]);
}

/// Each reset may leave workers behind that have long tasks.
#[test]
fn resets_do_not_make_workers_without_end() {
    let (mut floor, _) = Floor::ready(fixed(2));
    let mut refused = 0;
    for _ in 0..10 {
        floor.ask();
        floor.ask();
        floor.told.clear();
        floor.reset();
        for worker in floor.boots() {
            floor.greet(worker);
        }
        let over = floor.next();
        refused += u32::from(over != reset_over(None));
        let workers = floor.snapshot().workers.len();
        assert!(workers <= 6 * 2, "{workers}");
    }
    assert!((1..10).contains(&refused), "{refused}");
}

#[test]
fn a_reset_forgives_the_crashes_of_those_that_it_replaces() {
    let (mut floor, _) = Floor::ready(fixed(3));
    for _ in 0..2 {
        let (worker, _) = floor.exec();
        floor.exit(worker, killed());
        floor.next();
        for worker in floor.boots() {
            floor.greet(worker);
        }
    }
    assert!(floor.snapshot().degraded.is_some());
    floor.reset();
    for worker in floor.boots() {
        floor.greet(worker);
    }
    assert_eq!(floor.snapshot().degraded, None);
}

#[test]
fn a_replacement_is_idle_from_the_swap_on() {
    let (mut floor, _) = Floor::ready(PoolSpec {
        idle_ttl: Some(5 * SECOND),
        claims: false,
        ..fixed(2)
    });
    floor.exec();
    floor.exec();
    floor.reset();
    let new = floor.boots();
    floor.greet(new[0]);
    floor.pass(20 * SECOND);
    floor.greet(new[1]);
    floor.expect(&[reset_over(None)]);
    floor.pass(5 * SECOND - Duration::from_millis(1));
    floor.quiet();
}

/// Long tasks from before resets do not hold up who serves.
#[test]
fn a_crash_after_resets_starts_a_replacement_at_once() {
    let (mut floor, _) = Floor::one(spec());
    let mut newest = WorkerId(0);
    for _ in 0..2 {
        floor.exec();
        floor.reset();
        newest = floor.boot();
        floor.greet(newest);
        floor.expect(&[reset_over(None)]);
    }
    assert_eq!(floor.snapshot().workers.len(), 3);
    floor.exit(newest, killed());
    let other = floor.boot();
    floor.greet(other);
    assert_eq!(floor.exec().0, other);
}
