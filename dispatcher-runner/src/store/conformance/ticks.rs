//! Ticks of schedules: each is decided once, and what it submits is a job like any other.

use std::sync::Barrier;
use std::thread;

use dispatcher_core::{
    DecidedTick, Missed, OnDuplicate, Overlap, ScheduleOptions, TickFate, ZonedSchedule,
};
use jiff::tz::TimeZone;

use super::*;
use crate::store::schedule::ScheduledJobs;

on_every_store! {
    first_sight_is_on_record_and_runs_nothing,
    a_tick_is_one_job_whoever_asks_how_often,
    several_ticks_are_several_jobs,
    many_runners_at_once_submit_one_job,
    a_clock_that_jumps_both_ways_runs_nothing_twice,
    an_unfinished_run_is_not_overlapped,
    a_run_that_was_pruned_is_finished,
    overlap_queue_waits_its_turn,
    a_full_queue_decides_the_tick_and_stores_nothing,
    jobs_submitted_by_hand_fill_the_queue_too,
    duplicates_stand_for_the_tick,
    what_cannot_be_submitted_is_on_record,
    jitter_and_delay_keep_the_job_waiting,
    paused_dispatchers_tick,
    a_schedule_taken_away_is_seen_anew,
    the_row_is_refreshed_by_newer_builds_only,
    each_request_has_its_answer,
    times_of_berlin_run_once_across_its_changes,
}

/// The hour before `START`'s next one: 2023-11-14 22:13:20 UTC is `START`.
const HOUR: u64 = 3_600;
const TICK: UnixMs = START + (46 * 60 + 40) * 1_000;

fn options(expression: &str) -> ScheduleOptions {
    ScheduleOptions {
        expression: expression.to_owned(),
        ..ScheduleOptions::default()
    }
}

fn request_in(name: &str, options: &ScheduleOptions, zone: TimeZone) -> TickRequest {
    let when = ZonedSchedule::new(options, zone).unwrap();
    let jobs = (0..when.runs_max()).map(|_| job(name)).collect();
    TickRequest {
        dispatcher: row(name, |it| it.schedule = Some(options.clone())),
        schedule: Some(ScheduledJobs {
            when,
            overlap: options.overlap,
            jobs: Ok(jobs),
        }),
    }
}

fn hourly(name: &str, change: impl FnOnce(&mut ScheduleOptions)) -> TickRequest {
    let mut options = options("hourly");
    change(&mut options);
    request_in(name, &options, TimeZone::UTC)
}

/// With other options of the dispatcher.
fn with(mut request: TickRequest, change: impl FnOnce(&mut DispatcherOptions)) -> TickRequest {
    change(&mut request.dispatcher.options);
    request
}

fn tick(store: &mut dyn Store, request: TickRequest) -> Vec<DecidedTick> {
    store.tick(&[request]).unwrap().remove(0)
}

fn fates(ticks: &[DecidedTick]) -> Vec<(UnixMs, &'static str)> {
    let all = ticks.iter();
    all.map(|it| (it.tick, it.fate.as_str())).collect()
}

fn stored(store: &mut dyn Store) -> Vec<JobSummary> {
    let mut jobs = store.jobs(&all()).unwrap();
    jobs.reverse();
    jobs
}

/// Seen for the first time, and its next tick has passed.
fn seen(fixture: &Fixture, request: TickRequest) -> Box<dyn Store> {
    let mut store = fixture.store();
    assert_eq!(tick(&mut *store, request), []);
    fixture.advance(seconds(HOUR));
    store
}

fn first_sight_is_on_record_and_runs_nothing(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let known = store.schedules().unwrap();
    assert_eq!((known.now, known.rows.len()), (START, 0));
    assert_eq!(tick(store, hourly("A", |_| {})), []);
    assert!(stored(store).is_empty());
    let known = store.schedules().unwrap();
    let [row] = &known.rows[..] else {
        panic!("{known:?}");
    };
    assert_eq!(row.dispatcher, "A");
    assert_eq!(row.record.rule.as_deref(), Some("hourly UTC"));
    assert!(row.record.settled.contains(START));
    assert_eq!(row.record.last, None);
}

fn a_tick_is_one_job_whoever_asks_how_often(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let other = &mut *fixture.store();
    let sent = hourly("A", |_| {});
    let ticks = tick(store, sent.clone());
    assert_eq!(fates(&ticks), [(TICK, "submitted")]);
    assert_eq!(tick(store, hourly("A", |_| {})), []);
    assert_eq!(tick(other, hourly("A", |_| {})), []);
    let jobs = stored(store);
    let [one] = &jobs[..] else {
        panic!("{jobs:?}");
    };
    assert_eq!(ticks[0].job, Some(one.id));
    let shown = show(store, one.id);
    assert_eq!(shown.summary.origin, "schedule, tick 2023-11-14T23:00:00Z");
    let sent = sent.schedule.unwrap().jobs.unwrap().remove(0);
    assert_eq!(
        (shown.summary.id, shown.summary.payload),
        (sent.id, sent.payload)
    );
    let known = store.schedules().unwrap();
    assert_eq!(known.rows[0].record.last, Some(ticks[0].clone()));
    check_counters(store);
}

fn several_ticks_are_several_jobs(fixture: &Fixture) {
    let all_missed = || hourly("A", |it| it.missed = Missed::All);
    let store = &mut *seen(fixture, all_missed());
    fixture.advance(seconds(2 * HOUR));
    let ticks = tick(store, all_missed());
    let hour = 1_000 * HOUR as i64;
    let expected = [0, 1, 2].map(|nth| (TICK + nth * hour, "submitted"));
    assert_eq!(
        fates(&ticks),
        expected,
        "made up for together, they do not overlap"
    );
    assert_eq!(stored(store).len(), 3);
    // The last of them is unfinished.
    fixture.advance(seconds(HOUR));
    let ticks = tick(store, all_missed());
    assert_eq!(fates(&ticks), [(TICK + 3 * hour, "overlapped")]);
    // A hundred at most.
    fixture.advance(seconds(1_000 * HOUR));
    let queued = || {
        hourly("B", |it| {
            (it.missed, it.overlap) = (Missed::All, Overlap::Queue)
        })
    };
    assert_eq!(tick(store, queued()), []);
    fixture.advance(seconds(1_000 * HOUR));
    assert_eq!(tick(store, queued()).len(), 100);
    check_counters(store);
}

fn many_runners_at_once_submit_one_job(fixture: &Fixture) {
    const RUNNERS: usize = 8;
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    for round in 1..=5 {
        let barrier = Barrier::new(RUNNERS);
        let decided: usize = thread::scope(|scope| {
            let runners: Vec<_> = (0..RUNNERS)
                .map(|_| {
                    scope.spawn(|| {
                        let store = &mut *fixture.store();
                        let request = hourly("A", |it| it.overlap = Overlap::Queue);
                        barrier.wait();
                        tick(store, request).len()
                    })
                })
                .collect();
            runners.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!((decided, stored(store).len()), (1, round));
        fixture.advance(seconds(HOUR));
    }
}

fn a_clock_that_jumps_both_ways_runs_nothing_twice(fixture: &Fixture) {
    let again = || hourly("A", |it| it.overlap = Overlap::Queue);
    let store = &mut *seen(fixture, again());
    assert_eq!(tick(store, again()).len(), 1);
    fixture.rewind(seconds(HOUR));
    assert_eq!(tick(store, again()), []);
    fixture.advance(seconds(HOUR));
    assert_eq!(tick(store, again()), []);
    // Years ahead, for a moment.
    let far = seconds(24 * 365 * 14 * HOUR);
    fixture.advance(far);
    assert_eq!(tick(store, again()).len(), 1);
    fixture.rewind(far);
    assert_eq!(tick(store, again()), []);
    fixture.advance(seconds(HOUR));
    let ticks = tick(store, again());
    assert_eq!(fates(&ticks), [(TICK + 1_000 * HOUR as i64, "submitted")]);
    fixture.advance(far - seconds(HOUR));
    assert_eq!(tick(store, again()), [], "this one ran before its time");
    assert_eq!(stored(store).len(), 3);
}

fn an_unfinished_run_is_not_overlapped(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let first = tick(store, hourly("A", |_| {}));
    fixture.advance(seconds(HOUR));
    let second = tick(store, hourly("A", |_| {}));
    assert_eq!(second[0].fate, TickFate::Overlapped);
    assert_eq!(second[0].job, first[0].job, "the run that is in the way");
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    fixture.advance(seconds(HOUR));
    let third = tick(store, hourly("A", |_| {}));
    assert_eq!(third[0].fate, TickFate::Overlapped, "it runs");
    end(store, &claimed, Next::Fail);
    fixture.advance(seconds(HOUR));
    let fourth = tick(store, hourly("A", |_| {}));
    assert_eq!(fourth[0].fate, TickFate::Submitted);
    // What was sent by hand overlaps nothing.
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    end(store, &claimed, Next::Succeed);
    accept(store, job("A"));
    fixture.advance(seconds(HOUR));
    let fifth = tick(store, hourly("A", |_| {}));
    assert_eq!(fifth[0].fate, TickFate::Submitted);
    check_counters(store);
}

fn a_run_that_was_pruned_is_finished(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let ran = tick(store, hourly("A", |_| {})).remove(0).job.unwrap();
    store.cancel(&[ran], "me").unwrap();
    let none = Retention {
        age: Duration::ZERO,
        count_per_dispatcher: 0,
    };
    assert_eq!(store.prune(&none, 10).unwrap(), 1);
    assert_eq!(
        tick(store, hourly("A", |_| {})),
        [],
        "the record outlives the job"
    );
    fixture.advance(seconds(HOUR));
    let next = tick(store, hourly("A", |_| {}));
    assert_eq!(next[0].fate, TickFate::Submitted);
}

fn overlap_queue_waits_its_turn(fixture: &Fixture) {
    let queued = || hourly("A", |it| it.overlap = Overlap::Queue);
    let store = &mut *seen(fixture, queued());
    for count in 1..=3 {
        assert_eq!(tick(store, queued())[0].fate, TickFate::Submitted);
        assert_eq!(stored(store).len(), count);
        fixture.advance(seconds(HOUR));
    }
}

fn a_full_queue_decides_the_tick_and_stores_nothing(fixture: &Fixture) {
    let two = || {
        let all = hourly("A", |it| {
            (it.missed, it.overlap) = (Missed::All, Overlap::Queue)
        });
        with(all, |options| options.max_queue = 2)
    };
    let store = &mut *seen(fixture, two());
    fixture.advance(seconds(2 * HOUR));
    let ticks = tick(store, two());
    let fates: Vec<_> = ticks.iter().map(|it| it.fate.as_str()).collect();
    assert_eq!(fates, ["submitted", "submitted", "queue_full"]);
    assert_eq!(ticks[2].job, ticks[1].job, "the newest that there is");
    assert_eq!(stored(store).len(), 2);
    check_counters(store);
    let supervisor = open(store);
    for one in claim(store, supervisor, &["A"], 2) {
        end(store, &one, Next::Succeed);
    }
    assert_eq!(tick(store, two()), [], "it is not tried again");
}

fn jobs_submitted_by_hand_fill_the_queue_too(fixture: &Fixture) {
    let one = || with(hourly("A", |_| {}), |options| options.max_queue = 1);
    let store = &mut *seen(fixture, one());
    accept(store, job("A"));
    assert_eq!(tick(store, one())[0].fate, TickFate::QueueFull);
    assert_eq!(stored(store).len(), 1);
}

fn duplicates_stand_for_the_tick(fixture: &Fixture) {
    let same = || {
        let mut request = hourly("A", |it| it.overlap = Overlap::Queue);
        if let Some(Ok(jobs)) = request.schedule.as_mut().map(|it| &mut it.jobs) {
            jobs.iter_mut()
                .for_each(|job| job.identity = "same".to_owned());
        }
        with(request, |it| it.on_duplicate = OnDuplicate::Discard)
    };
    let store = &mut *seen(fixture, same());
    let survivor = accept(store, job_with("A", |job| job.identity = "same".to_owned()));
    let ticks = tick(store, same());
    assert_eq!(ticks[0].fate, TickFate::Duplicate);
    assert_eq!(ticks[0].job, Some(survivor));
    assert_eq!(stored(store).len(), 1);
}

fn what_cannot_be_submitted_is_on_record(fixture: &Fixture) {
    let refused = || {
        let mut request = hourly("A", |_| {});
        let schedule = request.schedule.as_mut().unwrap();
        schedule.jobs = Err("restic is missing".to_owned());
        request
    };
    let store = &mut *seen(fixture, refused());
    let ticks = tick(store, refused());
    let fate = TickFate::Refused("restic is missing".to_owned());
    assert_eq!(
        (ticks[0].tick, &ticks[0].fate, ticks[0].job),
        (TICK, &fate, None)
    );
    assert!(stored(store).is_empty());
    assert_eq!(tick(store, hourly("A", |_| {})), [], "it is decided");
    let last = store.schedules().unwrap().rows.remove(0).record.last;
    assert_eq!(last.unwrap().fate, fate);
}

fn jitter_and_delay_keep_the_job_waiting(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let mut request = hourly("A", |_| {});
    if let Some(Ok(jobs)) = request.schedule.as_mut().map(|it| &mut it.jobs) {
        jobs[0].options.delay = Some(seconds(90));
    }
    let ran = tick(store, request).remove(0);
    let supervisor = open(store);
    assert!(claim(store, supervisor, &["A"], 1).is_empty());
    fixture.advance(seconds(90));
    let claimed = claim(store, supervisor, &["A"], 1);
    assert_eq!(Some(claimed[0].job), ran.job);
}

fn paused_dispatchers_tick(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    assert!(store.set_paused("A", Pause::Paused).unwrap());
    assert_eq!(
        tick(store, hourly("A", |_| {}))[0].fate,
        TickFate::Submitted
    );
    fixture.advance(seconds(HOUR));
    assert_eq!(
        tick(store, hourly("A", |_| {}))[0].fate,
        TickFate::Overlapped
    );
    let supervisor = open(store);
    assert!(claim(store, supervisor, &["A"], 1).is_empty());
    assert!(store.set_paused("A", Pause::Running).unwrap());
    assert_eq!(claim(store, supervisor, &["A"], 1).len(), 1);
}

fn a_schedule_taken_away_is_seen_anew(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let away = || TickRequest {
        dispatcher: row("A", |_| {}),
        schedule: None,
    };
    assert_eq!(tick(store, away()), []);
    let record = store.schedules().unwrap().rows.remove(0).record;
    assert_eq!(record.rule, None);
    assert!(record.settled.contains(START), "and that stays settled");
    assert_eq!(tick(store, away()), []);
    fixture.advance(seconds(50 * HOUR));
    assert_eq!(tick(store, hourly("A", |_| {})), []);
    fixture.advance(seconds(HOUR));
    assert_eq!(tick(store, hourly("A", |_| {})).len(), 1);
    // One that never had a schedule leaves no record.
    let never = TickRequest {
        dispatcher: row("B", |_| {}),
        schedule: None,
    };
    assert_eq!(tick(store, never), []);
    assert_eq!(store.schedules().unwrap().rows.len(), 1);
}

fn the_row_is_refreshed_by_newer_builds_only(fixture: &Fixture) {
    let store = &mut *seen(fixture, hourly("A", |_| {}));
    let mut newer = hourly("A", |_| {});
    newer.dispatcher.build = build(2);
    newer.dispatcher.about = "newer".to_owned();
    let _ = tick(store, newer);
    let about = |store: &mut dyn Store| store.dispatchers().unwrap().remove(0).row.about;
    assert_eq!(about(store), "newer");
    let _ = tick(store, hourly("A", |_| {}));
    assert_eq!(about(store), "newer", "an older build changes nothing");
}

fn each_request_has_its_answer(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let requests = || ["A", "B", "C"].map(|name| hourly(name, |_| {}));
    let empty = store.tick(&[]).unwrap();
    assert!(empty.is_empty());
    let first = store.tick(&requests()[..2]).unwrap();
    assert_eq!(first, [[], []]);
    fixture.advance(seconds(HOUR));
    let answers = store.tick(&requests()).unwrap();
    let counts: Vec<_> = answers.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 1, 0], "C is seen for the first time");
    let jobs = stored(store);
    let named: Vec<_> = jobs
        .iter()
        .map(|it| (it.dispatcher.as_str(), it.id))
        .collect();
    let told = |nth: usize| answers[nth][0].job.unwrap();
    assert_eq!(named, [("A", told(0)), ("B", told(1))]);
}

/// Looked at every ten minutes through both changes of Berlin's clock in 2024.
fn times_of_berlin_run_once_across_its_changes(fixture: &Fixture) {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let nightly = || {
        let mut nightly = options("30 2 * * *");
        nightly.timezone = "Europe/Berlin".to_owned();
        nightly.overlap = Overlap::Queue;
        request_in("A", &nightly, berlin.clone())
    };
    let store = &mut *fixture.store();
    for (from, expected) in [
        // 02:30 is skipped on March 31: it runs at 03:00.
        (
            1_711_756_800,
            [
                "2024-03-30T01:30:00Z",
                "2024-03-31T01:00:00Z",
                "2024-04-01T00:30:00Z",
            ],
        ),
        // 02:30 comes twice on October 27: it runs the first time.
        (
            1_729_900_800,
            [
                "2024-10-26T00:30:00Z",
                "2024-10-27T00:30:00Z",
                "2024-10-28T01:30:00Z",
            ],
        ),
    ] {
        fixture.set(from * 1_000);
        let _ = tick(store, nightly());
        let before = stored(store).len();
        for _ in 0..3 * 24 * 6 {
            fixture.advance(seconds(600));
            let _ = tick(store, nightly());
        }
        let jobs = stored(store);
        let origins: Vec<_> = jobs[before..]
            .iter()
            .map(|job| show(store, job.id).summary.origin)
            .collect();
        assert_eq!(
            origins,
            expected.map(|tick| format!("schedule, tick {tick}"))
        );
    }
}
