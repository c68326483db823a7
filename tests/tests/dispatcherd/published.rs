//! What our publisher sends is taken by a service of ours, also by one that was away.

use dispatcher_core::{JobState, OnDuplicate};
use dispatcher_runner::{PublishOptions, Publisher};
use dispatcher_tests::{
    Database, Home, HostService, PATIENCE, Postgres, configure_host, eventually,
};

use crate::notify::{lines, two};
use crate::python::{CHANNEL, HEARS, listening, section};

fn publisher(database: &Database<'_>) -> Publisher {
    Publisher::postgres(&database.url(), [CHANNEL]).expect("it fits")
}

fn publish(publisher: &Publisher, text: &str) {
    let sent = publisher.submit("Note", ["notes", text], (), &PublishOptions::default());
    sent.unwrap_or_else(|error| panic!("{text}: {error:?}"));
}

/// Nothing is left that a death could have done again.
fn all_noted(database: &Database<'_>, home: &Home) {
    let untaken = "SELECT count(*) FROM dispatcher_wire.published WHERE NOT taken";
    eventually("all are noted", PATIENCE, || database.psql(untaken) == "0");
    for id in home.ids() {
        assert_eq!(home.wait(&id).state, JobState::Succeeded);
    }
}

fn numbers(count: usize) -> Vec<String> {
    let mut numbers: Vec<_> = (0..count).map(|it| it.to_string()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn who_was_away_takes_it_on_return() {
    let database = Postgres::of_process().database();
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let publisher = publisher(&database);
    let service = listening(&home, &database.url(), "fanout");
    (0..5).for_each(|number| publish(&publisher, &number.to_string()));
    eventually("they run", PATIENCE, || lines(&home) == numbers(5));
    all_noted(&database, &home);
    // By SIGKILL.
    drop(service);
    (5..30).for_each(|number| publish(&publisher, &number.to_string()));
    // Nothing of it is cut into pieces on this way.
    let long = "x".repeat(20_000);
    publish(&publisher, &long);
    let _service = listening(&home, &database.url(), "fanout");
    eventually("all run", PATIENCE, || lines(&home).len() >= 31);
    let mut wanted = numbers(30);
    wanted.push(long);
    wanted.sort_unstable();
    assert!(lines(&home) == wanted, "each once");
    all_noted(&database, &home);
}

#[test]
fn nothing_is_lost_while_connections_are() {
    let database = Postgres::of_process().database();
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let publisher = publisher(&database);
    let service = listening(&home, &database.url(), "fanout");
    for number in 0..200 {
        publish(&publisher, &number.to_string());
        if number % 20 == 10 {
            // As soon as it listens again.
            eventually("one is cut off", PATIENCE, || {
                database.end_connections("query LIKE 'LISTEN %'") == Some(1)
            });
        }
    }
    eventually("all run", PATIENCE, || lines(&home).len() >= 200);
    assert_eq!(lines(&home), numbers(200), "each once");
    assert!(home.read("service.log").matches(HEARS).count() > 1);
    drop(service);
}

#[test]
fn between_two_that_take_turns_nothing_is_lost() {
    let (database, services) = two("once");
    let publisher = publisher(&database);
    publish(&publisher, "0");
    let [(first, first_home), (second, second_home)] = services;
    eventually("it runs", PATIENCE, || lines(&first_home) == ["0"]);
    all_noted(&database, &first_home);
    drop(first);
    (1..50).for_each(|number| publish(&publisher, &number.to_string()));
    let all = eventually("the other one has the rest", PATIENCE, || {
        let mut all = lines(&first_home);
        all.extend(lines(&second_home));
        all.sort_unstable();
        (all.len() >= 50).then_some(all)
    });
    assert_eq!(all, numbers(50), "each once");
    drop(second);
}

/// Every service that listens runs a message itself, also where all could run it.
#[test]
fn on_one_store_each_service_runs_its_own() {
    let database = Postgres::of_process().database();
    let url = database.url();
    let services = [0, 1, 2].map(|_| {
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        configure_host(&home, "one", &section(&url, "delivery", "fanout"));
        let service = HostService::start(&home, "one", &url);
        eventually("it listens", PATIENCE, || service.log().contains(HEARS));
        (service, home)
    });
    let publisher = publisher(&database);
    (0..20).for_each(|number| publish(&publisher, &number.to_string()));
    // Of each service only its own are duplicates.
    let discard = PublishOptions {
        on_duplicate: Some(OnDuplicate::Discard),
        ..PublishOptions::default()
    };
    let sent = publisher.submit("Note", ["notes", "20"], (), &discard);
    assert!(sent.is_ok(), "{sent:?}");
    let stored = "SELECT count(*) FROM dispatcher.everything";
    eventually("all are stored", PATIENCE, || database.psql(stored) == "63");
    for (service, home) in &services {
        eventually("all run", PATIENCE, || lines(home).len() >= 21);
        assert_eq!(lines(home), numbers(21), "{}", service.log());
    }
}

/// Without the right to keep messages, everything else works.
#[test]
fn a_user_who_may_make_nothing_hears_all_the_same() {
    let database = Postgres::of_process().database();
    let user = format!("user_{}", database.name());
    database.psql(&format!(
        "CREATE ROLE {user} LOGIN; REVOKE ALL ON DATABASE \"{}\" FROM PUBLIC; \
         GRANT CONNECT ON DATABASE \"{}\" TO {user};",
        database.name(),
        database.name()
    ));
    let url = database.url().replace("postgres@", &format!("{user}@"));
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let service = listening(&home, &url, "fanout");
    assert!(home.read("service.log").contains("dispatcher_wire"));
    let publisher = Publisher::postgres(&url, [CHANNEL]).expect("it fits");
    publish(&publisher, "heard");
    eventually("it runs", PATIENCE, || lines(&home) == ["heard"]);
    drop(service);
    database.psql(&format!("DROP OWNED BY {user}; DROP ROLE {user};"));
}
