//! What a source asks of its service: jobs, replies, streams, counters.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::support::{Service, section, stored, virtually};
use crate::client::SpawnError;
use crate::pool::{ExecError, Part, PoolRequest, Reply, Wish};
use crate::sources::board::{Seat, SourceStage};
use crate::sources::{DispatchOptions, Dispatched, Host, PoolTask, Ways};

/// A handle whose requests are kept for the test to answer.
fn asking(pool: u32) -> (Host, Arc<Mutex<Vec<PoolRequest>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    let ways = Ways {
        exec: Arc::new(move |request| kept.lock().unwrap().push(request)),
        ..Service::new().ways()
    };
    let seat = Seat::new("doorbell", 10, SourceStage::Serving);
    let pool = section("doorbell", "", pool).pool;
    (Host::new("doorbell", pool, ways, seat), requests)
}

fn reply(body: &str) -> Part {
    Part::End(Ok(Reply {
        body: body.into(),
        ..Reply::default()
    }))
}

/// Lets whoever can go on do so.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_job_is_stored_with_what_was_said_of_it() {
    virtually(async {
        let service = Service::new();
        let (host, _) = service.host(0);
        let options = DispatchOptions {
            unique_key: Some("a".into()),
            priority: Some(3),
            ..DispatchOptions::default()
        };
        let sent = host.dispatch("counted", json!({ "tick": 4 }), options.clone());
        assert_eq!(sent.await.unwrap(), stored());
        let json = r#"{"tick":5}"#.to_owned();
        let sent = host.dispatch_json("Count", json, DispatchOptions::default());
        sent.await.unwrap();
        let jobs = service.sent();
        assert_eq!(
            (jobs[0].name, jobs[0].payload.as_str()),
            ("Count", r#"{"tick":4}"#)
        );
        assert_eq!(
            (&jobs[0].options, jobs[0].origin.as_str()),
            (&options, "source ticker")
        );
        assert_eq!(jobs[1].payload, r#"{"tick":5}"#);
    });
}

#[test]
fn a_refusal_has_a_type_and_a_duplicate_is_told() {
    virtually(async {
        let service = Service {
            store: Arc::new(|number| match number {
                0 => Ok(Dispatched {
                    duplicate: true,
                    ..stored()
                }),
                _ => Err(SpawnError::PayloadTooLarge { bytes: 3, max: 2 }),
            }),
            ..Service::new()
        };
        let (host, _) = service.host(0);
        let send = |name| host.dispatch(name, json!({ "tick": 1 }), DispatchOptions::default());
        assert!(matches!(send("Cuont").await, Err(SpawnError::Unknown(_))));
        assert!(send("Count").await.unwrap().duplicate);
        let error = send("Count").await;
        assert!(matches!(error, Err(SpawnError::PayloadTooLarge { .. })));
        let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = host
            .dispatch("Count", no_json, DispatchOptions::default())
            .await;
        assert!(matches!(error, Err(SpawnError::Payload(_))));
        assert_eq!(service.sent().len(), 2);
    });
}

#[test]
fn options_of_a_job_replace_only_what_they_say() {
    let mut options = dispatcher_core::Options {
        retries: 4,
        unique_key: Some("declared".into()),
        ..dispatcher_core::Options::default()
    };
    let unchanged = options.clone();
    DispatchOptions::default().apply(&mut options);
    assert_eq!(options, unchanged);
    let given = DispatchOptions {
        unique_key: Some("k".into()),
        queue: Some("mail".into()),
        retries: Some(1),
        ..DispatchOptions::default()
    };
    given.apply(&mut options);
    assert_eq!(
        (options.unique_key.as_deref(), options.retries),
        (Some("k"), 1)
    );
    assert_eq!(options.queue, "mail");
}

#[test]
fn a_request_goes_to_the_own_pool_or_another_and_its_reply_comes_back() {
    virtually(async {
        let (host, requests) = asking(1);
        for (pool, expected) in [(None, "php"), (Some("other"), "other")] {
            let host = host.clone();
            let asked = tokio::spawn(async move {
                match pool {
                    None => host.exec("context", "body").await,
                    Some(pool) => host.exec_on(pool, "context", "body").await,
                }
            });
            settle().await;
            let mut request = requests.lock().unwrap().pop().unwrap();
            assert_eq!(request.pool, expected);
            assert_eq!((request.flags, &request.context[..]), (0, &b"context"[..]));
            assert_eq!(request.body, b"body");
            assert_eq!((request.answer)(reply("OK")), Wish::More);
            assert_eq!(asked.await.unwrap().unwrap().body, b"OK");
        }
    });
}

#[test]
fn a_stream_that_is_asked_for_one_reply_is_put_together() {
    virtually(async {
        let (host, requests) = asking(1);
        let asked = tokio::spawn(async move { host.exec("", "").await });
        settle().await;
        let mut request = requests.lock().unwrap().pop().unwrap();
        for chunk in ["a", "b"] {
            let wish = (request.answer)(Part::Chunk(chunk.into()));
            assert_eq!(wish, Wish::More);
        }
        (request.answer)(reply("c"));
        assert_eq!(asked.await.unwrap().unwrap().body, b"abc");
    });
}

#[test]
fn chunks_come_one_by_one_and_dropping_them_cancels_the_rest() {
    virtually(async {
        let (host, requests) = asking(1);
        let mut chunks = host.exec_stream(PoolTask::default()).unwrap();
        let mut request = requests.lock().unwrap().pop().unwrap();
        for chunk in ["a", "b"] {
            (request.answer)(Part::Chunk(chunk.into()));
        }
        assert_eq!(chunks.next().await.unwrap().unwrap(), b"a");
        assert_eq!(chunks.next().await.unwrap().unwrap(), b"b");
        (request.answer)(reply("c"));
        assert_eq!(chunks.next().await.unwrap().unwrap(), b"c");
        assert!(chunks.next().await.is_none());
        assert!(chunks.next().await.is_none(), "and so it stays");

        let chunks = host.exec_stream(PoolTask::default()).unwrap();
        let mut request = requests.lock().unwrap().pop().unwrap();
        assert_eq!((request.answer)(Part::Chunk("a".into())), Wish::More);
        drop(chunks);
        assert_eq!((request.answer)(Part::Chunk("b".into())), Wish::Enough);
    });
}

#[test]
fn a_reader_that_does_not_read_is_cancelled() {
    virtually(async {
        let (host, requests) = asking(1);
        let mut chunks = host.exec_stream(PoolTask::default()).unwrap();
        let mut request = requests.lock().unwrap().pop().unwrap();
        let mib = vec![0; 1 << 20];
        let wishes: Vec<_> = (0..66)
            .map(|_| (request.answer)(Part::Chunk(mib.clone())))
            .collect();
        assert_eq!(wishes.iter().filter(|it| **it == Wish::More).count(), 64);
        for _ in 0..64 {
            assert!(chunks.next().await.unwrap().is_ok());
        }
        let error = chunks.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("64 MiB"), "{error}");
        assert!(chunks.next().await.is_none());
    });
}

#[test]
fn a_request_without_a_pool_or_a_supervisor_has_an_error() {
    virtually(async {
        let (host, requests) = asking(0);
        let error = host.exec("", "").await.unwrap_err();
        assert!(error.to_string().contains("[sources.doorbell]"), "{error}");
        let asked = tokio::spawn(async move { host.exec_on("php", "", "").await });
        settle().await;
        // The supervisor is gone, and the request with it.
        drop(requests.lock().unwrap().pop().unwrap());
        assert_eq!(asked.await.unwrap(), Err(ExecError::Stopping));
    });
}

#[test]
fn counters_and_gauges_are_kept_and_bounded() {
    let service = virtually(async { Service::new() });
    let (host, seat) = service.host(0);
    host.count("seen");
    host.count_by("seen", 2);
    host.gauge("depth", 0.5);
    let state = seat.look();
    assert_eq!(state.counters["seen"], 3);
    assert!((state.gauges["depth"] - 0.5).abs() < f64::EPSILON);
    for number in 0..100 {
        let name: &'static str = Box::leak(format!("made-up-{number}").into_boxed_str());
        host.count(name);
        host.gauge(name, 1.0);
    }
    host.count("seen");
    let state = seat.look();
    assert_eq!((state.counters.len(), state.gauges.len()), (64, 64));
    assert_eq!(state.counters["seen"], 4);
}
