//! A driver that makes every mistake there is: whatever it says, nothing panics.

use super::*;

#[test]
fn no_event_makes_the_engine_panic() {
    walks(1_000, |dice| {
        let mut mess = Mess {
            world: World::new(dice),
        };
        for _ in 0..STEPS {
            mess.step();
        }
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
        world.check();
    }
}

fn any_event(world: &mut World) -> Event {
    // Mostly a worker that there is, sometimes one that is over or is to come.
    let oldest = world.jobs.saturating_sub(8);
    let worker = WorkerId(u32::try_from(oldest + world.dice.below(10)).unwrap());
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
