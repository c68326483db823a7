//! Events about pools in an order that is odd but possible, and events that nothing waits for.

use super::*;

/// The driver reads workers before it reads its keeper.
#[test]
fn a_hello_that_is_heard_before_the_spawn_was_reported_counts() {
    let mut floor = Floor::new(spec());
    let worker = floor.boot();
    let request = floor.ask();
    floor.say(worker, Word::Hello);
    floor.quiet();
    floor.tell(Event::Spawned { worker });
    assert_eq!(floor.handed(), (worker, request));
    floor.pass(100 * SECOND);
    floor.quiet();
}

fn refused(floor: &mut Floor, event: &Event) {
    let before = format!("{:?}", floor.desk.engine);
    let now = floor.desk.now();
    let refused = floor.desk.engine.handle(now, event.clone());
    assert!(refused.is_err(), "{event:?}");
    assert_eq!(format!("{:?}", floor.desk.engine), before, "{event:?}");
}

/// A pool with a worker somewhere in its life.
type Life = fn() -> (Floor, WorkerId);

fn lives() -> [Life; 10] {
    let booting: Life = || {
        let mut floor = Floor::new(spec());
        let worker = floor.boot();
        (floor, worker)
    };
    let greeting: Life = || {
        let mut floor = Floor::new(spec());
        let worker = floor.boot();
        floor.tell(Event::Spawned { worker });
        (floor, worker)
    };
    let idle: Life = || Floor::one(spec());
    let asked: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.exec();
        (floor, worker)
    };
    let working: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.run(&Options::default());
        (floor, worker)
    };
    let settling: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.exec();
        floor.say(worker, Word::Replied);
        (floor, worker)
    };
    let ending: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.exec();
        floor.say(worker, Word::Unwanted);
        (floor, worker)
    };
    let dead: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.desk.exit(worker, killed(), 1);
        floor.perform();
        (floor, worker)
    };
    let dead_at_work: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.run(&Options::default());
        floor.desk.exit(worker, killed(), 1);
        floor.perform();
        (floor, worker)
    };
    let gone: Life = || {
        let (mut floor, worker) = Floor::one(spec());
        floor.exit(worker, killed());
        (floor, worker)
    };
    [
        booting,
        greeting,
        idle,
        asked,
        working,
        settling,
        ending,
        dead,
        dead_at_work,
        gone,
    ]
}

/// Answers about a worker, and the lives that wait for them.
fn answers(worker: WorkerId) -> [(Event, &'static [usize]); 5] {
    [
        (Event::Spawned { worker }, &[0]),
        (
            Event::SpawnFailed {
                worker,
                errno: 11,
                transient: true,
            },
            &[0],
        ),
        (
            Event::Exited {
                worker,
                status: killed(),
                usage: Usage::default(),
                strays: 0,
                memory: MemoryVerdict::Silent,
            },
            &[0, 1, 2, 3, 4, 5, 6],
        ),
        (Event::Buried { worker, left: 0 }, &[7, 8]),
        (
            Event::Drained {
                worker,
                leaked: false,
            },
            &[],
        ),
    ]
}

#[test]
fn events_that_nothing_waits_for_are_refused_and_change_nothing() {
    for (number, life) in lives().into_iter().enumerate() {
        let (_, worker) = life();
        for (event, fits) in &answers(worker) {
            if !fits.contains(&number) {
                let (mut floor, _) = life();
                refused(&mut floor, event);
            }
        }
    }
}

#[test]
fn what_comes_late_from_a_worker_that_is_over_is_nothing() {
    let (mut floor, worker) = Floor::one(spec());
    floor.exit(worker, killed());
    floor.boot();
    let what = "late".to_owned();
    floor.say(worker, Word::Replied);
    floor.tell(Event::Outgrown { worker });
    floor.tell(Event::LinkBroken { worker, what });
    floor.tell(Event::Handed { worker });
    floor.quiet();
    assert!(!floor.desk.engine.knows(worker));
}

#[test]
fn jobs_of_another_slot_or_for_no_pool_are_given_back() {
    let (mut floor, _) = Floor::one(spec());
    for (lane, slot) in [
        (Lane::Pool(POOL), 0),
        (Lane::Pool(PoolId(9)), SLOT),
        (Lane::Pool(POOL), 9),
    ] {
        let job = assignment(7, &Options::default());
        let jobs = vec![Assignment { slot, ..job }];
        let now = floor.desk.now();
        let claimed = Event::Claimed {
            lane,
            jobs,
            next_due: None,
        };
        let unfit = floor.desk.engine.handle(now, claimed);
        unfit.expect_err("that is the driver's mistake");
        floor.desk.collect();
        floor.perform();
        assert_eq!(floor.verdict().next, Next::Release);
    }
    assert_eq!(floor.desk.engine.snapshot().live, []);
    assert_eq!(floor.snapshot().waiting, 0);
}

#[test]
fn a_request_to_no_pool_is_answered() {
    let (mut floor, _) = Floor::one(spec());
    let (request, pool) = (RequestId(1), PoolId(9));
    floor.tell(Event::Requested { request, pool });
    floor.expect(&[answer(request, Answer::Stopping)]);
}

#[test]
fn the_longest_times_do_not_overflow() {
    let longest = Duration::MAX;
    let mut floor = Floor::new(PoolSpec {
        ttl: Some(longest),
        idle_ttl: Some(longest),
        spawn_timeout: longest,
        queue_timeout: Some(longest),
        exec_timeout: Some(longest),
        stop_timeout: longest,
        drain_timeout: longest,
        ..spec()
    });
    floor.pass(SECOND);
    let worker = floor.boot();
    floor.greet(worker);
    floor.pass(SECOND);
    let (_, request) = floor.exec();
    floor.ask();
    floor.pass(SECOND);
    floor.reply(worker, request);
    floor.handed();
    floor.tell(Event::ShutdownRequested(Shutdown::Drain(longest)));
    floor.say(worker, Word::Replied);
    floor.next();
    floor.say(worker, Word::Ready { failure: None });
    floor.expect(&[Effect::Retire { worker }]);
}

#[test]
fn pools_do_not_know_each_other() {
    let other = PoolSpec {
        slot: SLOT + 1,
        ..spec()
    };
    let mut desk = Desk::with_pools(1, vec![spec(), other], None);
    let mut claims = vec![];
    let mut boots = vec![];
    while let Some(effect) = desk.effects.pop_front() {
        match effect {
            Effect::Claim { lane, slots } => claims.push((lane, slots)),
            Effect::Boot { worker, pool } => boots.push((pool, worker)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        claims,
        [
            (Lane::Process, vec![0]),
            (Lane::Pool(PoolId(0)), vec![SLOT]),
            (Lane::Pool(PoolId(1)), vec![SLOT + 1]),
        ]
    );
    // One that fails leaves the other alone.
    let (_, worker) = boots[0];
    desk.tell(Event::SpawnFailed {
        worker,
        errno: 2,
        transient: false,
    });
    let (pool, worker) = boots[1];
    desk.tell(Event::Spawned { worker });
    desk.tell(Event::Said {
        worker,
        word: Word::Hello,
    });
    let request = RequestId(1);
    desk.tell(Event::Requested { request, pool });
    assert_eq!(desk.next(), Effect::Hand { worker, request });
    let degraded = desk.engine.snapshot().pools;
    assert!(degraded[0].degraded.is_some() && degraded[1].degraded.is_none());
}
