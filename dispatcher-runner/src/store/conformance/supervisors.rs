//! Rows of supervisors: opening, leaving when idle, and staying on record while they hold jobs.

use super::*;

on_every_store! {
    rows_say_everything,
    leaves_only_when_nothing_is_unfinished,
    leaving_looks_at_its_own_names_and_queues,
    a_closed_row_stays_while_it_holds_jobs,
    claims_of_repeats_the_answer_to_a_claim,
    handing_over_needs_somebody_who_serves_it,
}

fn rows_say_everything(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let new = NewSupervisor {
        program: "shop".to_owned(),
        build: build(3),
        pid: 77,
        slots: 4,
        directory: "/run/user/0/shop ü".into(),
        serves: vec!["A".to_owned(), "B".to_owned()],
        queues: vec!["slow".to_owned(), "\"odd\" ☂".to_owned()],
        lease: None,
    };
    let id = store.open_supervisor(&new).unwrap();
    let rows = store.supervisors().unwrap();
    let [row] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(row.id, id);
    assert_eq!(row.program, new.program);
    assert_eq!(row.build, new.build);
    assert_eq!((row.pid, row.slots), (77, 4));
    assert_eq!(row.directory, new.directory);
    assert_eq!(row.serves, new.serves);
    assert_eq!(row.started_at, START);
    assert!(row.open);
}

fn leaves_only_when_nothing_is_unfinished(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let supervisor = open(store);
    let serves = serves(&["A"]);
    let delayed = job_with("A", |job| job.options.delay = Some(seconds(60)));
    accept(store, delayed);
    assert!(!store.close_supervisor_if_idle(supervisor, &serves).unwrap());
    assert!(store.supervisors().unwrap()[0].open);
    fixture.advance(seconds(60));
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    assert!(!store.close_supervisor_if_idle(supervisor, &serves).unwrap());
    end(store, &claimed, Next::Succeed);
    assert!(store.close_supervisor_if_idle(supervisor, &serves).unwrap());
    assert!(store.supervisors().unwrap().is_empty());
}

fn leaving_looks_at_its_own_names_and_queues(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("Other"));
    let labelled = job_with("A", |job| job.options.queue = "slow".to_owned());
    accept(store, labelled);
    let supervisor = open(store);
    let mut mine = serves(&["A"]);
    assert!(!store.close_supervisor_if_idle(supervisor, &mine).unwrap());
    mine.queues = vec!["fast".to_owned()];
    assert!(store.close_supervisor_if_idle(supervisor, &mine).unwrap());
}

fn a_closed_row_stays_while_it_holds_jobs(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    accept(store, job("A"));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    store.close_supervisor(supervisor).unwrap();
    let rows = store.supervisors().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].open);
    end(store, &claimed, Next::Succeed);
    assert!(store.supervisors().unwrap().is_empty());
}

fn claims_of_repeats_the_answer_to_a_claim(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let odd = job_with("A", |job| {
        job.payload = r#"{"text":"a \"quoted\" ☂"}"#.to_owned();
        job.options.retries = 3;
        job.options.priority = -2;
    });
    accept(store, odd);
    let supervisor = open(store);
    let first = claim(store, supervisor, &["A"], 1).remove(0);
    end(
        store,
        &first,
        Next::Retry {
            after: Duration::ZERO,
        },
    );
    accept(store, job("A"));
    let claimed = claim(store, supervisor, &["A"], 2);
    let mut again = store.claims_of(supervisor).unwrap();
    again.sort_by_key(|claimed| claimed.slot);
    assert_eq!(again, claimed);
    for claimed in &claimed {
        end(store, claimed, Next::Succeed);
    }
    assert_eq!(store.claims_of(supervisor).unwrap(), []);
    assert_eq!(store.claims_of(SupervisorId(999)).unwrap(), []);
}

fn handing_over_needs_somebody_who_serves_it(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    register(store, "B");
    accept(store, job("A"));
    let only_b = accept(store, job("B"));
    let open_for = |store: &mut dyn Store, names: &[&str]| {
        let new = NewSupervisor {
            serves: names.iter().map(|name| (*name).to_owned()).collect(),
            ..new_supervisor("shop")
        };
        store.open_supervisor(&new).unwrap()
    };
    let old = open_for(store, &["A", "B"]);
    let new = open_for(store, &["A", "C"]);
    let gone = open_for(store, &["A", "B"]);
    store.close_supervisor(gone).unwrap();
    let mut mine = serves(&["A", "B"]);
    let refused = store.hand_over(old, &mine, gone).unwrap();
    assert_eq!(refused, HandOver::Refused);
    // B is unfinished, and nobody else serves it.
    let kept = vec!["B".to_owned()];
    for _ in 0..2 {
        let narrowed = store.hand_over(old, &mine, new).unwrap();
        assert_eq!(narrowed, HandOver::Narrowed(kept.clone()));
        let rows = store.supervisors().unwrap();
        let row = rows.iter().find(|row| row.id == old).unwrap();
        assert_eq!((&row.serves, row.open), (&kept, true));
        mine.dispatchers.clone_from(&kept);
    }
    // A label that it does not serve is not its affair.
    let elsewhere = Serves {
        queues: vec!["slow".to_owned()],
        ..mine.clone()
    };
    let other = open_for(store, &["B"]);
    assert_eq!(
        store.hand_over(other, &elsewhere, new).unwrap(),
        HandOver::Closed
    );
    let claimed = claim(store, old, &["B"], 1).remove(0);
    assert_eq!(claimed.job, only_b);
    end(store, &claimed, Next::Succeed);
    assert_eq!(store.hand_over(old, &mine, new).unwrap(), HandOver::Closed);
    let rows = store.supervisors().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [new]);
}
