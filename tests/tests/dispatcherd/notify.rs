//! What only PostgreSQL has: several listeners, lost connections, a server that is not there.

use std::time::Duration;

use dispatcher_core::JobState;
use dispatcher_tests::{
    Database, Home, PATIENCE, Postgres, Serving, eventually, said, terminate, within,
};
use serde_json::{Value, json};

use crate::python::{CHANNEL, HEARS, NODE, Wire, listening, section};

/// How anybody can send a message.
fn sends(message: &Value) -> String {
    let [channel, text] = [CHANNEL, &message.to_string()].map(|it| it.replace('\'', "''"));
    format!("SELECT pg_notify('{channel}', '{text}')")
}

fn notify(database: &Database<'_>, message: &Value) {
    database.psql(&sends(message));
}

pub(crate) fn note(text: &str) -> Value {
    json!({"task": "Note", "args": ["notes", text]})
}

pub(crate) fn lines(home: &Home) -> Vec<String> {
    home.sorted_lines("notes")
}

#[test]
fn a_burst_with_commands_in_it_loses_nothing() {
    let wire = Wire::postgres("");
    let database = wire.database.as_ref().expect("a database");
    // All in one transaction: they arrive together.
    let mut statements = String::from("BEGIN;");
    for number in 0..300 {
        let message = match number % 30 {
            7 => json!({"control": "alive", "reply_to": "nobody", "number": number}),
            8 => json!({"control": "nonsense", "number": number}),
            _ => note(&number.to_string()),
        };
        let channel = if number % 2 == 0 { "other" } else { CHANNEL };
        statements.push_str(&format!("SELECT pg_notify('{channel}', '{message}');"));
    }
    database.psql(&(statements + "COMMIT;"));
    let wanted = 300 - 2 * 10;
    eventually("all run", PATIENCE, || lines(&wire.home).len() == wanted);
    let ids = wire.home.ids();
    assert_eq!(ids.len(), wanted);
}

#[test]
fn lost_connections_are_replaced_and_nothing_taken_is_lost() {
    let wire = Wire::postgres("");
    let database = wire.database.as_ref().expect("a database");
    for round in 0..5 {
        let all = database.end_connections("application_name = 'dispatcher'");
        assert!(all > Some(0), "{all:?}");
        // Once it listens again, whatever is sent is heard.
        let told = format!("round {round}");
        eventually("it is heard", PATIENCE, || {
            notify(database, &note(&told));
            within(Duration::from_millis(500), || {
                lines(&wire.home).contains(&told)
            })
        });
    }
    assert_eq!(wire.ctl(&["alive"]), json!({}));
    let producers = wire.ctl(&["producers"]);
    assert_eq!(
        producers["pg_notify-producer"]["recycle_count"], 0,
        "{producers}"
    );
    for id in wire.home.ids() {
        assert_eq!(wire.home.wait(&id).state, JobState::Succeeded);
    }
}

#[test]
fn a_server_may_come_late_and_crash() {
    let mut server = Postgres::not_started();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port());
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let service = Serving::configured(&home, &section(&url, "node_id", NODE));
    eventually("it complains", PATIENCE, || {
        home.read("service.log").contains("channels are not heard")
    });
    server.begin();
    let heard = |times: usize| {
        let log = home.read("service.log");
        log.matches(HEARS).count() >= times
    };
    eventually("it listens", PATIENCE, || heard(1));
    server.restart_immediately();
    eventually("it listens again", PATIENCE, || heard(2));
    server.psql("postgres", &sends(&note("after the crash")));
    eventually("it runs", PATIENCE, || !lines(&home).is_empty());
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
}

/// Two services of two states that listen to one channel.
pub(crate) fn two(delivery: &str) -> (Database<'static>, [(Serving, Home); 2]) {
    let database = Postgres::of_process().database();
    let url = database.url();
    let services = [0, 1].map(|_| {
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        (listening(&home, &url, delivery), home)
    });
    (database, services)
}

#[test]
fn by_default_every_service_takes_a_message() {
    let (database, services) = two("fanout");
    notify(&database, &note("for all"));
    for (_, home) in &services {
        eventually("it runs", PATIENCE, || lines(home) == ["for all"]);
    }
}

#[test]
fn once_is_once_and_another_takes_over() {
    let (database, services) = two("once");
    for number in 0..20 {
        notify(&database, &note(&number.to_string()));
    }
    let [(first, first_home), (second, second_home)] = services;
    eventually("all run", PATIENCE, || lines(&first_home).len() == 20);
    assert!(second_home.ids().is_empty());
    terminate(first.pid());
    assert_eq!(first.end().code(), Some(0));
    eventually("the other one takes over", PATIENCE, || {
        notify(&database, &note("after"));
        within(Duration::from_millis(500), || {
            lines(&second_home).contains(&"after".to_owned())
        })
    });
    drop(second);
}

#[test]
fn channels_and_servers_are_checked_at_start() {
    let refused = |section: &str| {
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        let text = format!("version = 1\n[sources.pg_notify]\n{section}\n");
        std::fs::write(home.file("dispatcher.toml"), text).expect("it can be written");
        let output = home.output(["serve", "--config", "dispatcher.toml"], b"");
        assert_ne!(output.status.code(), Some(0));
        said(&output.stderr)
    };
    let said = refused("conninfo = \"host=x port=y password=geheim\"\nchannels = [\"a\"]");
    assert!(said.contains("`conninfo` cannot be read"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
    let said = refused("conninfo = \"host=x\"\nchannels = []");
    assert!(said.contains("`channels` names none"), "{said}");
    let long = "x".repeat(64);
    let said = refused(&format!("conninfo = \"host=x\"\nchannels = [{long:?}]"));
    assert!(said.contains("a channel has 1 to 63 bytes"), "{said}");
    let said =
        refused("conninfo = \"host=x\"\nchannels = [\"a\"]\ndefault_publish_channel = \"b\"");
    assert!(said.contains("is none of `channels`"), "{said}");
}

/// Python's own client reads replies of many pieces.
#[test]
fn long_replies_come_in_pieces() {
    let wire = Wire::postgres("");
    let database = wire.database.as_ref().expect("a database");
    for number in 0..8 {
        let text = format!("{number}{}", "ü".repeat(500));
        notify(
            database,
            &json!({"task": "Exclusive", "args": [text, "gate"]}),
        );
    }
    eventually("all are stored", PATIENCE, || wire.home.ids().len() == 8);
    let running = wire.ctl(&["running"]);
    assert_eq!(running.as_object().map(serde_json::Map::len), Some(8));
    assert!(running.to_string().len() > 8_000);
}
