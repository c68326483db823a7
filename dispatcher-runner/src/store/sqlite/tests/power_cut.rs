//! What a power cut leaves: nobody's job is missing that was acknowledged, no end undone that was
//! told.
//!
//! The power is cut at every sync, before and after it, after every answer, and between writes; of
//! what was not synced nothing, everything, or any sectors are left. `DISPATCHER_TEST_SEED` repeats
//! a story; `DISPATCHER_TEST_SIZE=long` tells more of them.

mod disk;
mod oracle;
mod vfs;
mod world;

pub(in crate::store) use vfs::in_memory;

use disk::Lie;
use dispatcher_core::JobId;
use world::{PROGRAMS, World, random_end, random_groups};

use super::*;
use crate::store::Pause;
use crate::store::conformance::{ending, seconds};

/// Of a random story.
const STEPS: u64 = 80;

/// What a story came to.
struct Told {
    cuts: u64,
    syncs: u64,
}

fn told(world: &World) -> Told {
    Told {
        cuts: world.cuts,
        syncs: world.syncs + world.disk.syncs(),
    }
}

/// Each promise once, in the order of a job's life.
fn plain_story(lie: Lie) -> Result<Told, String> {
    let mut world = World::new(0, lie);
    world.register()?;
    let jobs: Vec<_> = (0..6).map(|_| job("Plain")).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    for job in jobs {
        world.submit(&[group(vec![job])])?;
    }
    let supervisor = world.open_supervisor()?;
    world.claim(supervisor, 4)?;
    let [first, second, third, fourth] = &world.claimed.clone()[..] else {
        panic!("four were claimed");
    };
    world.record(&[ending(first, Next::Succeed)])?;
    world.observe(first.job, 2)?;
    world.record(&[ending(second, Next::Fail)])?;
    world.cancel(second.job, 0)?;
    world.cancel(third.job, 0)?;
    world.record(&[ending(third, Next::Succeed)])?;
    world.checkpoint("TRUNCATE")?;
    world.record(&[ending(fourth, Next::Succeed)])?;
    world.checkpoint("PASSIVE")?;
    world.submit(&[group(vec![job("Plain")])])?;
    world.observe(fourth.job, 2)?;
    world.cancel(ids[4], 0)?;
    world.tick()?;
    world.tick()?;
    world.claim(supervisor, 1)?;
    world.fail()?;
    for id in ids {
        world.observe(id, 2)?;
    }
    Ok(told(&world))
}

fn random_story(seed: u64, steps: u64, lie: Lie) -> Result<Told, String> {
    let mut world = World::new(seed, lie);
    world.register()?;
    for _ in 0..steps {
        step(&mut world)?;
    }
    for job in world.jobs() {
        world.observe(job, 2)?;
    }
    Ok(told(&world))
}

fn step(world: &mut World) -> Result<(), String> {
    let program = world.numbers.below(PROGRAMS as u64) as usize;
    match world.numbers.below(40) {
        0..10 => {
            let groups = random_groups(&mut world.numbers);
            world.submit(&groups)
        }
        10..16 => work(world, |world, supervisor| {
            let slots = 1 + world.numbers.below(3) as u32;
            world.claim(supervisor, slots)
        }),
        16..20 => finish_some(world),
        20..24 => work(world, |world, supervisor| {
            let ends = some_ends(world);
            world.record_and_claim(&ends, supervisor)
        }),
        24..27 => match some_job(world) {
            Some(job) => world.cancel(job, program),
            None => Ok(()),
        },
        27..32 => match some_job(world) {
            Some(job) => world.observe(job, program),
            None => Ok(()),
        },
        32 => match world.supervisors.pop() {
            Some(dead) => world.rescue(dead),
            None => Ok(()),
        },
        33 => match world.supervisors.pop() {
            Some(leaving) => {
                world.claimed.clear();
                world.close(leaving)?;
                world.rescue(leaving)
            }
            None => Ok(()),
        },
        34 => {
            let pause = [Pause::Paused, Pause::Running][world.numbers.below(2) as usize];
            world.pause("Limited", pause)
        }
        35 if world.numbers.below(2) == 0 => world.tick(),
        35 => {
            let keep = world.numbers.below(10);
            world.prune(keep)
        }
        36 | 37 => {
            let kinds = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
            let kind = kinds[world.numbers.below(4) as usize];
            world.checkpoint(kind)
        }
        38 => {
            let time = seconds(world.numbers.below(10));
            world.advance(time);
            Ok(())
        }
        _ => match world.numbers.below(2) {
            0 => world.restart(),
            _ => world.fail(),
        },
    }
}

/// For a supervisor that is there, or opens now.
fn work(
    world: &mut World,
    step: impl FnOnce(&mut World, SupervisorId) -> Result<(), String>,
) -> Result<(), String> {
    let known = world.numbers.pick(&world.supervisors).copied();
    let supervisor = match known {
        Some(known) => known,
        None => world.open_supervisor()?,
    };
    step(world, supervisor)
}

fn finish_some(world: &mut World) -> Result<(), String> {
    let ends = some_ends(world);
    world.record(&ends)
}

fn some_ends(world: &mut World) -> Vec<Record> {
    let count = world.claimed.len().min(2);
    let claimed: Vec<_> = world.claimed.drain(..count).collect();
    let ends = claimed.iter();
    ends.map(|one| random_end(&mut world.numbers, one))
        .collect()
}

fn some_job(world: &mut World) -> Option<JobId> {
    let jobs = world.jobs();
    world.numbers.pick(&jobs).copied()
}

fn size(small: u64, long: u64) -> u64 {
    match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
        Ok("long") => long,
        Ok(_) | Err(_) => small,
    }
}

/// One seed that nobody has chosen, or the one to repeat.
fn fresh_seed() -> u64 {
    let given = std::env::var("DISPATCHER_TEST_SEED").ok();
    let given = given.map(|text| text.parse().expect("DISPATCHER_TEST_SEED is a number"));
    given.unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed();
        since.map_or(1, |time| time.subsec_nanos().into())
    })
}

#[test]
fn what_was_told_survives_a_power_cut() {
    let mut whole = plain_story(Lie::None).unwrap_or_else(|wrong| panic!("{wrong}"));
    let fresh = fresh_seed();
    eprintln!("DISPATCHER_TEST_SEED={fresh} repeats the last story");
    let seeds = size(2, 60);
    for seed in (1..=seeds).chain([fresh]) {
        let one = random_story(seed, STEPS, Lie::None).unwrap_or_else(|wrong| panic!("{wrong}"));
        whole.cuts += one.cuts;
        whole.syncs += one.syncs;
    }
    let Told { cuts, syncs } = whole;
    eprintln!("{cuts} power cuts at {syncs} syncs, and between; nothing told was undone");
    assert!(cuts > 500 && syncs > 100, "{cuts} cuts at {syncs} syncs");
}

#[test]
fn a_disk_that_lies_is_found_out() {
    const SEEDS_MAX: u64 = 5;
    for lie in [Lie::Database, Lie::Checkpoint, Lie::Store, Lie::Folder] {
        let wrong = (0..=SEEDS_MAX).find_map(|seed| {
            let wrong = match seed {
                0 => plain_story(lie).err(),
                _ => random_story(seed, STEPS, lie).err(),
            };
            wrong.map(|wrong| (seed, wrong))
        });
        let (seed, wrong) = wrong.unwrap_or_else(|| panic!("nobody noticed {lie:?}"));
        eprintln!("{lie:?} by seed {seed}: {wrong}");
    }
}
