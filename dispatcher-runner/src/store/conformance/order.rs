//! The order of claims, inside a dispatcher and between dispatchers.

use super::*;

on_every_store! {
    first_in_first_out,
    priority_goes_first,
    labels_do_not_change_the_order,
    a_retry_goes_behind,
    a_release_keeps_its_place,
    everybody_gets_one_first,
    between_dispatchers_by_priority_then_oldest_due,
    a_long_queue_does_not_starve_a_short_one,
    a_clock_that_jumps_back_changes_no_order,
}

fn first_in_first_out(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..8).map(|_| accept(store, job("A"))).collect();
    let supervisor = open(store);
    let mut started = ids(&claim(store, supervisor, &["A"], 3));
    started.extend(ids(&claim(store, supervisor, &["A"], 8)));
    assert_eq!(started, sent);
}

fn priority_goes_first(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let ranked = |priority| job_with("A", |job| job.options.priority = priority);
    let priorities = [0, i32::MIN, 5, i32::MAX, 5, -1];
    let sent: Vec<_> = priorities
        .into_iter()
        .map(|priority| accept(store, ranked(priority)))
        .collect();
    let supervisor = open(store);
    let started = ids(&claim(store, supervisor, &["A"], 8));
    let expected: Vec<_> = [3, 2, 4, 0, 5, 1].map(|index: usize| sent[index]).into();
    assert_eq!(started, expected);
    assert_eq!(show(store, sent[1]).summary.priority, i32::MIN);
}

fn labels_do_not_change_the_order(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..12)
        .map(|index| {
            let labelled = |job: &mut NewJob| job.options.queue = format!("q{}", index % 3);
            accept(store, job_with("A", labelled))
        })
        .collect();
    let supervisor = open(store);
    let mut started = ids(&claim(store, supervisor, &["A"], 5));
    started.extend(ids(&claim(store, supervisor, &["A"], 7)));
    assert_eq!(started, sent);
}

fn a_retry_goes_behind(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..3).map(|_| accept(store, job("A"))).collect();
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1);
    let after = Duration::ZERO;
    end(store, &claimed[0], Next::Retry { after });
    let claimed = claim(store, supervisor, &["A"], 1);
    assert_eq!(ids(&claimed), [sent[1]]);
    end(store, &claimed[0], Next::Snooze { after });
    assert_eq!(
        ids(&claim(store, supervisor, &["A"], 8)),
        [sent[2], sent[0], sent[1]]
    );
}

fn a_release_keeps_its_place(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let sent: Vec<_> = (0..3).map(|_| accept(store, job("A"))).collect();
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 2);
    end(store, &claimed[1], Next::Release);
    end(store, &claimed[0], Next::Release);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 8)), sent);
}

fn everybody_gets_one_first(fixture: &Fixture) {
    let store = &mut *fixture.store();
    for name in ["A", "B", "C"] {
        register(store, name);
    }
    let urgent = |priority| job_with("A", |job| job.options.priority = priority);
    let a: Vec<_> = (0..3).map(|_| accept(store, urgent(9))).collect();
    let b: Vec<_> = (0..2).map(|_| accept(store, job("B"))).collect();
    let c = accept(store, job("C"));
    let supervisor = open(store);
    let started = ids(&claim(store, supervisor, &["A", "B", "C"], 5));
    assert_eq!(started, [a[0], b[0], c, a[1], b[1]]);
}

fn between_dispatchers_by_priority_then_oldest_due(fixture: &Fixture) {
    let store = &mut *fixture.store();
    for name in ["A", "B", "C"] {
        register(store, name);
    }
    let young = accept(store, job("A"));
    let delayed = |job: &mut NewJob| job.options.delay = Some(Duration::ZERO);
    fixture.advance(seconds(1));
    let younger = accept(store, job_with("B", delayed));
    let urgent = accept(store, job_with("C", |job| job.options.priority = 1));
    let supervisor = open(store);
    let mut started = Vec::new();
    for _ in 0..3 {
        started.extend(ids(&claim(store, supervisor, &["A", "B", "C"], 1)));
    }
    assert_eq!(started, [urgent, young, younger]);
}

/// "Each guaranteed a slot", also when slots become free one at a time.
fn a_long_queue_does_not_starve_a_short_one(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    register(store, "B");
    for _ in 0..20 {
        accept(store, job("A"));
    }
    let supervisor = open(store);
    let running = claim(store, supervisor, &["A", "B"], 4);
    fixture.advance(seconds(1));
    let late = accept(store, job("B"));
    end(store, &running[0], Next::Succeed);
    assert_eq!(ids(&claim(store, supervisor, &["A", "B"], 1)), [late]);
}

fn a_clock_that_jumps_back_changes_no_order(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    fixture.advance(seconds(100));
    let first = accept(store, job("A"));
    fixture.now.store(START, Ordering::Relaxed);
    let second = accept(store, job("A"));
    let supervisor = open(store);
    assert_eq!(ids(&claim(store, supervisor, &["A"], 8)), [first, second]);
}
