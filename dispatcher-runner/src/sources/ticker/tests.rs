//! What the ticker does, in virtual time; each mend of the tutorial's has a test.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use std::sync::Arc;

use super::*;
use crate::client::SpawnError;
use crate::pool::{ExecError, Reply};
use crate::sources::Dispatched;
use crate::sources::board::Seat;
use crate::sources::stop::StopSwitch;
use crate::sources::tests::support::{EPOCH, Service, pass, section, stored, virtually};

fn ticker(text: &str) -> Ticker {
    section("ticker", text, 0).read().unwrap()
}

/// What becomes of the section, with a pool of so many workers.
fn checked(text: &str, workers: u32) -> Result<Ticker, String> {
    virtually(async {
        let (host, _) = Service::new().host(workers);
        let read = section("ticker", text, 0).read::<Ticker>();
        let mut ticker = read.map_err(|problems| problems[0].to_string())?;
        ticker.init(&host).map_err(|error| error.to_string())?;
        Ok(ticker)
    })
}

/// Runs it for a time, then stops it and waits for its end.
async fn run(service: &Service, text: &str, workers: u32, time: Duration) -> Seat {
    let mut ticker = ticker(text);
    let (host, seat) = service.host(workers);
    ticker.init(&host).unwrap();
    let (switch, stop) = StopSwitch::new();
    let serving = tokio::spawn(async move { ticker.serve(&host, stop).await });
    pass(time).await;
    switch.stop();
    serving.await.unwrap().unwrap();
    seat
}

fn counted(seat: &Seat, counter: &str) -> u64 {
    seat.look().counters.get(counter).copied().unwrap_or(0)
}

/// When requests were made, in milliseconds, and the numbers of their ticks.
fn ticks(service: &Service) -> Vec<(u64, u64)> {
    let asked = service.asked();
    let number = |body: &str| serde_json::from_str::<Value>(body).unwrap()["tick"].as_u64();
    asked
        .iter()
        .map(|asked| (asked.at, number(&asked.body).unwrap()))
        .collect()
}

const MOMENT: Duration = Duration::from_millis(100);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_worker_is_told_the_tick_and_when_the_last_one_was() {
    virtually(async {
        let service = Service::new();
        let seat = run(&service, "", 1, secs(3) + MOMENT).await;
        let told: Vec<_> = service
            .asked()
            .into_iter()
            .map(|asked| (asked.at, asked.pool, asked.context, asked.body))
            .collect();
        let tick = |at, context: Value, body| {
            let context = json!({ "lastTick": context }).to_string();
            (at, "php".to_owned(), context, String::from(body))
        };
        assert_eq!(
            told,
            [
                tick(1000, Value::Null, r#"{"tick":0}"#),
                tick(2000, json!(EPOCH + 1), r#"{"tick":1}"#),
                tick(3000, json!(EPOCH + 2), r#"{"tick":2}"#),
            ]
        );
        assert_eq!(counted(&seat, STARTED), 3);
        assert_eq!(counted(&seat, MISSED) + counted(&seat, FAILED), 0);
    });
}

#[test]
fn an_interval_is_a_second_or_as_configured() {
    let interval = |text: &str| checked(text, 1).unwrap().interval.duration();
    for (text, time) in [
        ("", secs(1)),
        ("interval = \"1s\"", secs(1)),
        ("interval = \"10s\"", secs(10)),
        ("interval = \"1m\"", secs(60)),
        ("interval = 5", secs(5)),
        ("interval = \"250ms\"", Duration::from_millis(250)),
    ] {
        assert_eq!(interval(text), time, "{text}");
    }
}

#[test]
fn a_wrong_value_is_an_error_of_the_configuration() {
    for (text, workers, said) in [
        ("interval = \"soon\"", 1, "a duration such as \"5m\""),
        ("interval = \"0s\"", 1, "longer than 0"),
        ("interval = 0", 1, "longer than 0"),
        ("interval = -1", 1, "a duration such as"),
        ("interval = true", 1, "a duration such as"),
        ("overlap = \"wait\"", 1, "`skip`, `queue`, `coalesce`"),
        ("intervall = \"1s\"", 1, "did you mean `interval`?"),
        ("", 0, "nobody to tell"),
        ("dispatcher = \"Count\"", 1, "exclude each other"),
        (
            "dispatcher = \"Cuont\"",
            0,
            "no dispatcher is called `Cuont`",
        ),
        ("payload = { a = 1 }", 1, "is for a `dispatcher`"),
        (
            "dispatcher = \"Count\"\noverlap = \"coalesce\"",
            0,
            "on_duplicate = \"queue_one\"",
        ),
    ] {
        let error = checked(text, workers).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn a_failure_is_seen_and_counted_and_the_next_tick_comes() {
    virtually(async {
        let died = || ExecError::WorkerDied {
            cause: "exited",
            what: "the worker ended with exit code 3".into(),
        };
        let service = Service {
            answers: Arc::new(move |number| {
                let answer = match number {
                    0 => Ok(Reply::default()),
                    _ => Err(died()),
                };
                (Duration::ZERO, answer)
            }),
            ..Service::new()
        };
        let seat = run(&service, "", 1, secs(4) + MOMENT).await;
        assert_eq!(
            (counted(&seat, STARTED), counted(&seat, FAILED)),
            (4, 3),
            "the source goes on"
        );
        let state = seat.look();
        assert!(!state.healthy);
        assert_eq!(
            state.last_error.as_deref(),
            Some("the worker ended with exit code 3")
        );
    });
}

#[test]
fn what_works_again_is_healthy_again() {
    virtually(async {
        let service = Service {
            answers: Arc::new(move |number| {
                let answer = match number {
                    0 => Err(ExecError::Refused("boom".into())),
                    _ => Ok(Reply::default()),
                };
                (Duration::ZERO, answer)
            }),
            ..Service::new()
        };
        let seat = run(&service, "", 1, secs(2) + MOMENT).await;
        assert!(seat.look().healthy);
        assert_eq!(counted(&seat, FAILED), 1);
    });
}

#[test]
fn ticks_run_beside_each_other_as_far_as_the_pool_has_workers() {
    virtually(async {
        let service = Service::busy(Duration::from_millis(1_500));
        let seat = run(&service, "", 2, secs(10) + MOMENT).await;
        assert_eq!(counted(&seat, STARTED), 10);
        assert_eq!(counted(&seat, MISSED), 0);
        assert_eq!(service.at_once.lock().unwrap().1, 2);
    });
}

#[test]
fn skip_misses_ticks_while_every_worker_is_busy_and_counts_them() {
    virtually(async {
        let service = Service::busy(Duration::from_millis(2_400));
        let seat = run(&service, "overlap = \"skip\"", 1, secs(7) + MOMENT).await;
        assert_eq!(ticks(&service), [(1000, 0), (4000, 3), (7000, 6)]);
        assert_eq!((counted(&seat, STARTED), counted(&seat, MISSED)), (3, 4));
        assert_eq!(service.at_once.lock().unwrap().1, 1);
    });
}

#[test]
fn queue_runs_every_tick_later() {
    virtually(async {
        let service = Service::busy(Duration::from_millis(2_400));
        let seat = run(&service, "overlap = \"queue\"", 1, secs(8) + MOMENT).await;
        assert_eq!(ticks(&service), [(1000, 0), (3400, 1), (5800, 2)]);
        assert_eq!(
            (counted(&seat, STARTED), counted(&seat, MISSED)),
            (3, 5),
            "those that waited when it was stopped are missed"
        );
    });
}

#[test]
fn a_queue_of_ticks_has_an_end() {
    virtually(async {
        let service = Service::busy(secs(1_000_000));
        let due = WAITING_MAX as u64 + 10;
        let mut ticker = ticker("overlap = \"queue\"");
        let (host, seat) = service.host(1);
        ticker.init(&host).unwrap();
        let (_switch, stop) = StopSwitch::new();
        let serving = tokio::spawn(async move { ticker.serve(&host, stop).await });
        pass(secs(due) + MOMENT).await;
        assert_eq!((counted(&seat, STARTED), counted(&seat, MISSED)), (1, 9));
        serving.abort();
    });
}

#[test]
fn coalesce_runs_the_latest_of_those_that_wait() {
    virtually(async {
        let service = Service::busy(Duration::from_millis(2_400));
        let seat = run(&service, "overlap = \"coalesce\"", 1, secs(6) + MOMENT).await;
        assert_eq!(ticks(&service), [(1000, 0), (3400, 2), (5800, 4)]);
        assert_eq!((counted(&seat, STARTED), counted(&seat, MISSED)), (3, 3));
    });
}

#[test]
fn told_to_stop_it_starts_nothing_and_waits_for_what_runs() {
    virtually(async {
        let service = Service::busy(secs(5));
        let seat = run(&service, "", 4, secs(2) + MOMENT).await;
        assert_eq!(service.millis(), 7000, "the second tick took until then");
        assert_eq!(ticks(&service).len(), 2);
        assert_eq!((counted(&seat, STARTED), counted(&seat, FAILED)), (2, 0));
    });
}

#[test]
fn a_machine_that_slept_makes_no_burst() {
    for (overlap, started, missed) in [("skip", 2, 9), ("coalesce", 2, 9), ("queue", 11, 0)] {
        virtually(async {
            let service = Service::new();
            let mut ticker = ticker(&format!("overlap = \"{overlap}\""));
            let (host, seat) = service.host(4);
            ticker.init(&host).unwrap();
            let (switch, stop) = StopSwitch::new();
            let serving = tokio::spawn(async move { ticker.serve(&host, stop).await });
            pass(secs(1) + MOMENT).await;
            advance(secs(10)).await;
            pass(MOMENT).await;
            switch.stop();
            serving.await.unwrap().unwrap();
            assert_eq!(
                (counted(&seat, STARTED), counted(&seat, MISSED)),
                (started, missed),
                "{overlap}"
            );
            let (_, number) = ticks(&service).pop().unwrap();
            assert_eq!(number, 10, "{overlap}: the newest one ran");
        });
    }
}

#[test]
fn a_tick_may_be_a_job() {
    for (text, name, payload, key) in [
        ("dispatcher = \"Count\"", "Count", r#"{"tick":1}"#, true),
        ("dispatcher = \"counted\"", "Count", r#"{"tick":1}"#, true),
        ("dispatcher = \"Clean\"", "Clean", "{}", true),
        (
            "dispatcher = \"Count\"\npayload = { tick = 7 }\noverlap = \"queue\"",
            "Count",
            r#"{"tick":7}"#,
            false,
        ),
    ] {
        virtually(async {
            let service = Service::new();
            let seat = run(&service, text, 0, secs(2) + MOMENT).await;
            let sent = service.sent();
            assert_eq!(sent.len(), 2);
            let last = &sent[1];
            assert_eq!((last.name, last.payload.as_str()), (name, payload));
            assert_eq!(last.origin, "source ticker");
            assert_eq!(
                last.options.unique_key.is_some(),
                key,
                "skipped: one unfinished job at a time"
            );
            assert_eq!((counted(&seat, STARTED), counted(&seat, MISSED)), (2, 0));
        });
    }
}

#[test]
fn jobs_that_are_dropped_or_refused_are_counted() {
    virtually(async {
        let service = Service {
            store: Arc::new(|number| match number {
                0 => Ok(stored()),
                1 => Ok(Dispatched {
                    duplicate: true,
                    ..stored()
                }),
                _ => Err(SpawnError::QueueFull {
                    dispatcher: "Clean".into(),
                    max_queue: 10,
                    retry_after: secs(1),
                }),
            }),
            ..Service::new()
        };
        let seat = run(&service, "dispatcher = \"Clean\"", 0, secs(3) + MOMENT).await;
        assert_eq!((counted(&seat, MISSED), counted(&seat, FAILED)), (1, 1));
        let error = seat.look().last_error.unwrap();
        assert!(error.contains("queue of Clean is full"), "{error}");
    });
}
