//! Jobs claimed ahead of free workers: while tasks are short, and for a moment only.

use super::*;

const SOME: u32 = 8;

/// A pool of one worker that has done short tasks, and what is in the store for it.
fn busy_with(jobs: u8) -> (Floor, WorkerId, Vec<Assignment>) {
    let prefetch = SOME;
    let (mut floor, worker) = Floor::one(PoolSpec { prefetch, ..spec() });
    let (there, _) = floor.run(&Options::default());
    assert_eq!(there, worker);
    floor.succeed(worker);
    floor.verdict();
    floor.claims.clear();
    // They are all there before somebody looks.
    let jobs = (0..jobs).map(|number| Assignment {
        job: JobId::from_bytes([100 + number; 10]),
        ..assignment(7, &Options::default())
    });
    let jobs: Vec<Assignment> = jobs.map(|job| Assignment { slot: SLOT, ..job }).collect();
    floor.stored.extend(jobs.clone());
    floor.tell(Event::Woken);
    (floor, worker, jobs)
}

fn ids(jobs: &[Assignment]) -> Vec<JobId> {
    jobs.iter().map(|job| job.job).collect()
}

#[test]
fn a_worker_finds_the_next_job_at_once() {
    let (mut floor, worker, jobs) = busy_with(30);
    assert_eq!(floor.claims, [9], "one for it, eight that wait");
    let mut done = Vec::new();
    while done.len() < jobs.len() {
        let (there, job) = floor.assigned();
        assert_eq!(there, worker);
        floor.quiet();
        floor.say(worker, Word::Result(WorkResult::Succeeded));
        assert_eq!(floor.verdict().job, job);
        floor.say(worker, Word::Ready { failure: None });
        done.push(job);
    }
    assert_eq!(done, ids(&jobs), "in their order");
    assert_eq!(
        floor.claims[..6],
        [9, 4, 4, 4, 4, 4],
        "half of them at once"
    );
    assert_eq!(floor.snapshot().waiting, 0);
}

#[test]
fn what_would_wait_for_long_is_given_back() {
    let (mut floor, worker, jobs) = busy_with(9);
    let (_, first) = floor.assigned();
    assert_eq!(first, jobs[0].job);
    floor.pass(Duration::from_millis(499));
    assert_eq!(floor.recorded, []);
    floor.claims.clear();
    floor.pass(Duration::from_millis(1));
    let back: Vec<JobId> = floor.recorded.iter().map(|verdict| verdict.job).collect();
    assert_eq!(back, ids(&jobs[1..]));
    for verdict in floor.recorded.drain(..) {
        assert_eq!(verdict.next, Next::Release);
        assert_eq!(verdict.started_wall_ms, None, "nobody has begun it");
    }
    floor.pass(10 * SECOND);
    assert!(floor.claims.is_empty(), "the worker is busy, and slow");
    floor.succeed(worker);
    assert_eq!(floor.verdict().job, first);
    assert_eq!(floor.claims, [1], "after that nothing ahead");
}

#[test]
fn whoever_waits_for_a_reply_passes_what_was_claimed_ahead_every_other_time() {
    let (mut floor, worker, jobs) = busy_with(9);
    assert_eq!(floor.assigned().1, jobs[0].job);
    let (first, second) = (floor.ask(), floor.ask());
    floor.quiet();
    floor.succeed(worker);
    assert_eq!(floor.handed(), (worker, first));
    floor.reply(worker, first);
    assert_eq!(floor.assigned(), (worker, jobs[1].job));
    let third = floor.ask();
    for (request, job) in [(second, &jobs[2]), (third, &jobs[3])] {
        floor.succeed(worker);
        assert_eq!(floor.handed(), (worker, request));
        floor.reply(worker, request);
        assert_eq!(floor.assigned(), (worker, job.job));
    }
}

#[test]
fn a_pool_may_claim_nothing_ahead() {
    let (mut floor, worker) = Floor::one(spec());
    floor.run(&Options::default());
    floor.succeed(worker);
    floor.tell(Event::Woken);
    assert!(floor.claims.iter().all(|jobs| *jobs == 1));
}

#[test]
fn what_waits_can_be_cancelled_and_goes_back_with_a_drain() {
    let (mut floor, worker, jobs) = busy_with(5);
    assert_eq!(floor.assigned(), (worker, jobs[0].job));
    floor.cancel(&jobs[2]);
    let verdict = floor.verdict();
    assert_eq!((verdict.job, verdict.next), (jobs[2].job, Next::Cancel));
    floor.tell(Event::ShutdownRequested(Shutdown::Drain(SECOND)));
    let back: Vec<JobId> = floor.recorded.iter().map(|verdict| verdict.job).collect();
    assert_eq!(back, [jobs[1].job, jobs[3].job, jobs[4].job]);
}
