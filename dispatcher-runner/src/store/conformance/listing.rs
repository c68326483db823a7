//! Listings and look-ups.

use super::*;

on_every_store! {
    newest_first_and_limited,
    filters_add_up,
    search_looks_into_payloads,
    prefixes_find_ids,
    nothing_is_found_in_nothing,
    dispatchers_are_sorted,
    the_oldest_waiting_is_told,
    labels_of_unfinished_jobs_are_told_once,
}

fn listed(store: &mut dyn Store, filter: JobFilter) -> Vec<JobId> {
    let jobs = store.jobs(&filter).unwrap();
    jobs.into_iter().map(|job| job.id).collect()
}

fn newest_first_and_limited(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let mut sent: Vec<_> = (0..5).map(|_| accept(store, job("A"))).collect();
    sent.reverse();
    assert_eq!(listed(store, all()), sent);
    let two = JobFilter { limit: 2, ..all() };
    assert_eq!(listed(store, two), sent[..2]);
}

fn filters_add_up(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let a = accept(store, job("A"));
    let labelled = job_with("A", |job| job.options.queue = "slow".to_owned());
    let slow = accept(store, labelled);
    let b = accept(store, job("B"));
    store.cancel(&[a], "me").unwrap();
    let state = Some(JobState::Cancelled);
    assert_eq!(listed(store, JobFilter { state, ..all() }), [a]);
    let dispatcher = Some("A".to_owned());
    let of_a = JobFilter {
        dispatcher: dispatcher.clone(),
        ..all()
    };
    assert_eq!(listed(store, of_a), [slow, a]);
    let queue = Some("slow".to_owned());
    assert_eq!(listed(store, JobFilter { queue, ..all() }), [slow]);
    let both = JobFilter {
        state: Some(JobState::Queued),
        dispatcher,
        ..all()
    };
    assert_eq!(listed(store, both), [slow]);
    let of_b = JobFilter {
        dispatcher: Some("B".to_owned()),
        ..all()
    };
    assert_eq!(listed(store, of_b), [b]);
    let absent = JobFilter {
        dispatcher: Some("Nobody".to_owned()),
        ..all()
    };
    assert!(listed(store, absent).is_empty());
}

fn search_looks_into_payloads(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let with = |payload: &str| job_with("A", |job| job.payload = payload.to_owned());
    let one = accept(store, with(r#"{"a":{"b":["x","7"]},"n":1}"#));
    let two = accept(store, with(r#"{"a":{"b":["y",7]},"n":true}"#));
    let mut search = |path: &str, wanted: &str| {
        let search = Some((path.to_owned(), wanted.to_owned()));
        listed(store, JobFilter { search, ..all() })
    };
    assert_eq!(search("a.b.0", "x"), [one]);
    assert_eq!(search("a.b.1", "7"), [two, one], "text or value");
    assert_eq!(search("n", "1"), [one]);
    assert_eq!(search("n", "true"), [two]);
    assert_eq!(search("a.b", r#"["y", 7]"#), [two]);
    assert!(search("a.c", "x").is_empty());
    assert!(search("n.deeper", "x").is_empty());
}

fn prefixes_find_ids(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let mut sent: Vec<_> = (0..20).map(|_| accept(store, job("A"))).collect();
    sent.sort_unstable();
    assert_eq!(store.find("", 100).unwrap(), sent);
    assert_eq!(store.find("", 3).unwrap(), sent[..3]);
    for id in &sent {
        assert_eq!(store.find(id.as_str(), 2).unwrap(), [*id]);
        let prefix = &id.as_str()[..2];
        let expected: Vec<_> = sent
            .iter()
            .filter(|other| other.as_str().starts_with(prefix))
            .copied()
            .collect();
        assert_eq!(store.find(prefix, 100).unwrap(), expected);
    }
    assert!(store.find("u", 5).unwrap().is_empty());
}

fn nothing_is_found_in_nothing(fixture: &Fixture) {
    let store = &mut *fixture.store();
    assert_eq!(store.state(new_id()).unwrap(), None);
    assert!(store.job(new_id()).unwrap().is_none());
    assert!(store.jobs(&all()).unwrap().is_empty());
    assert!(store.dispatchers().unwrap().is_empty());
    assert!(store.supervisors().unwrap().is_empty());
    assert_eq!(store.latest_output("A").unwrap(), None);
}

fn dispatchers_are_sorted(fixture: &Fixture) {
    let store = &mut *fixture.store();
    for name in ["b", "C", "a"] {
        register(store, name);
    }
    let names: Vec<_> = store.dispatchers().unwrap();
    let names: Vec<_> = names.into_iter().map(|one| one.row.name).collect();
    assert_eq!(names, ["C", "a", "b"]);
}

fn the_oldest_waiting_is_told(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    assert_eq!(store.oldest_waiting().unwrap(), None);
    accept(store, job("A"));
    fixture.advance(seconds(5));
    accept(
        store,
        job_with("A", |job| job.options.delay = Some(seconds(60))),
    );
    assert_eq!(store.oldest_waiting().unwrap(), Some(START));
    let supervisor = open(store);
    let first = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(store.oldest_waiting().unwrap(), Some(START + 5_000));
    // Who waits again has waited since its submission.
    let after = seconds(9);
    end(store, &first, Next::Retry { after });
    assert_eq!(store.oldest_waiting().unwrap(), Some(START));
}

fn labels_of_unfinished_jobs_are_told_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    assert_eq!(store.unfinished().unwrap(), []);
    let labelled =
        |name: &str, label: &str| job_with(name, |job| job.options.queue = label.to_owned());
    let b = accept(store, labelled("B", "slow"));
    accept(store, job("A"));
    let delayed = job_with("A", |job| {
        job.options.queue = "later".to_owned();
        job.options.delay = Some(seconds(60));
    });
    accept(store, delayed);
    let twice = [labelled("A", "slow"), labelled("A", "slow")].map(|job| accept(store, job));
    let told = |store: &mut dyn Store| {
        let mut lanes = store.unfinished().unwrap();
        lanes.sort();
        let told = lanes.iter().map(|(name, label)| format!("{name} {label}"));
        told.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(told(store), "A default, A later, A slow, B slow");
    store.cancel(&[b, twice[0]], "me").unwrap();
    assert_eq!(told(store), "A default, A later, A slow");
    store.cancel(&[twice[1]], "me").unwrap();
    let supervisor = open(store);
    let running = claim(store, supervisor, &["A"], 1).remove(0);
    assert_eq!(told(store), "A default, A later", "it runs");
    end(store, &running, Next::Succeed);
    assert_eq!(told(store), "A later");
}
