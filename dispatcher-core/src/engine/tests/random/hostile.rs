//! A driver that makes every mistake there is: whatever it says, nothing panics.

use super::pools::checks::{check_attempts, tasks};
use super::pools::{SLOT, any_spec};
use super::*;
use crate::engine::pool::Task;

const STEPS: u32 = 200;
const POOLS: usize = 2;

#[test]
fn no_event_makes_the_engine_panic() {
    walks(1_000, |mut dice| {
        let pools = (0..POOLS).map(|id| any_spec(&mut dice, id)).collect();
        let mut mess = Mess {
            world: World::with_pools(dice, pools).with_a_lease(),
        };
        for _ in 0..STEPS {
            mess.step();
        }
        check(&mess.world.engine);
    });
}

struct Mess {
    world: World,
}

impl Mess {
    fn step(&mut self) {
        let world = &mut self.world;
        let event = any_event(world);
        let now = world.now();
        // Refused or not: it goes on.
        let _ = world.engine.handle(now, event);
        if world.dice.one_in(4) {
            while world.engine.poll_effect().is_some() {}
        }
        if world.dice.one_in(4) {
            // A clock that stands still or leaps.
            let leap = world.dice.millis(200_000);
            world.monotonic += if world.dice.one_in(2) {
                leap
            } else {
                Duration::ZERO
            };
            let now = world.now();
            world.engine.handle_timeout(now);
        }
        if world.dice.one_in(8) {
            check(&world.engine);
        }
    }
}

/// Whatever a driver says, a slot has one worker and a task one place.
fn check(engine: &Engine) {
    let live = engine.snapshot().live.into_iter();
    let slots: Vec<u32> = live.map(|(_, slot)| slot).filter(|it| *it < SLOT).collect();
    let different: BTreeSet<&u32> = slots.iter().collect();
    assert_eq!(different.len(), slots.len(), "one worker for each slot");
    assert!(slots.iter().all(|slot| *slot < SLOTS));
    check_attempts(engine);
    let requests = engine.pools.iter().flat_map(tasks);
    let requests = requests.filter_map(|task| match task {
        Task::Request(request) => Some(request),
        Task::Attempt(_) => None,
    });
    let requests: Vec<RequestId> = requests.collect();
    let different: BTreeSet<&RequestId> = requests.iter().collect();
    assert_eq!(
        different.len(),
        requests.len(),
        "one place for each request"
    );
}

fn any_worker(world: &mut World) -> WorkerId {
    // Mostly a worker that there is, sometimes one that is over or is to come.
    let newest = u64::from(world.engine.next_name);
    let oldest = newest.saturating_sub(12);
    let some = u32::try_from(oldest + world.dice.below(14)).unwrap();
    let pools: Vec<WorkerId> = world
        .engine
        .pools
        .iter()
        .flat_map(|pool| pool.workers.keys().copied())
        .collect();
    match world.dice.pick(&pools) {
        Some(worker) if world.dice.one_in(2) => worker,
        Some(_) | None => WorkerId(some),
    }
}

fn any_event(world: &mut World) -> Event {
    let worker = any_worker(world);
    if world.dice.one_in(2) {
        return any_pool_event(world, worker);
    }
    let yes = world.dice.one_in(2);
    let number = u32::try_from(world.dice.below(4)).unwrap();
    match world.dice.below(20) {
        0 if yes => Event::Superseded,
        0 => Event::Woken,
        1..5 => {
            let slots = 0..number;
            let jobs = slots.map(|_| {
                let slot = u32::try_from(world.dice.below(5)).unwrap();
                world.job(slot)
            });
            let jobs = jobs.collect();
            let next_due = yes.then_some(Duration::ZERO);
            claimed(jobs, next_due)
        }
        5 => Event::ClaimFailed {
            lane: Lane::Process,
        },
        6 | 7 => Event::Spawned { worker },
        8 => Event::SpawnFailed {
            worker,
            errno: 11,
            transient: yes,
        },
        9 => said(worker, Word::Hello),
        10 => said(worker, Word::Result(a_failure())),
        11 => Event::LinkBroken {
            worker,
            what: "garbage".into(),
        },
        12 => Event::Exited {
            worker,
            status: ExitStatus::Exited(1),
            usage: Usage::default(),
            strays: number,
            memory: MemoryVerdict::Silent,
        },
        13 => Event::Buried {
            worker,
            left: number,
        },
        14 => Event::Drained {
            worker,
            leaked: yes,
        },
        15 if yes => Event::Recorded {
            attempt: of(worker),
        },
        15 => Event::RecordFailed {
            attempt: of(worker),
        },
        16 => Event::LimitExceeded { worker },
        17 if number == 0 => Event::KeeperLost,
        17 => Event::Signalled { worker },
        18 if world.dice.one_in(20) => Event::ShutdownRequested(Shutdown::Drain(SECOND)),
        18 => Event::CloseAnswered { closed: false },
        _ if world.dice.one_in(40) => Event::CloseAnswered { closed: true },
        _ => Event::CancelRequested {
            job: assignment(0, &Options::default()).job,
            token: 1,
            by: "me".into(),
        },
    }
}

/// What only pools are told, and what their workers say.
fn any_pool_event(world: &mut World, worker: WorkerId) -> Event {
    let number = u32::try_from(world.dice.count(POOLS)).unwrap();
    // One of them is not there.
    let pool = PoolId(number);
    let words = [
        Word::Hello,
        Word::Hello,
        Word::Hello,
        Word::Output("1".into()),
        Word::Used(Usage::default()),
        Word::Result(WorkResult::Succeeded),
        Word::Result(a_failure()),
        Word::Replied,
        Word::Refused("no".into()),
        Word::Unwanted,
        Word::Ready { failure: None },
        Word::Ready { failure: None },
        Word::Ready {
            failure: Some("no".into()),
        },
    ];
    match world.dice.below(20) {
        0..6 => said(worker, words[world.dice.count(words.len() - 1)].clone()),
        6..9 => Event::Spawned { worker },
        9..12 => {
            world.jobs += 1;
            let request = RequestId(world.jobs);
            Event::Requested { request, pool }
        }
        12..15 => {
            let lane = Lane::Pool(pool);
            // Perhaps of another pool, or of none.
            let slot = SLOT + u32::try_from(world.dice.count(POOLS)).unwrap();
            let jobs = (0..number).map(|_| world.job(slot)).collect();
            let next_due = None;
            Event::Claimed {
                lane,
                jobs,
                next_due,
            }
        }
        15 => Event::ClaimFailed {
            lane: Lane::Pool(pool),
        },
        16 => Event::ResetRequested { pool },
        17 => Event::Outgrown { worker },
        18 => Event::LastWords {
            worker,
            text: "oh".into(),
        },
        _ => Event::Handed { worker },
    }
}
