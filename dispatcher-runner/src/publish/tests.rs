//! What is sent, and what is made of replies.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use dispatcher_core::{Context, Failure, Process};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(queue = "letters", name = "app.tasks.mail")]
struct Mail {
    to: String,
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Move(String, u8);

#[derive(Dispatcher, Serialize, Deserialize)]
struct Reload;

macro_rules! do_nothing {
    ($($name:ident)*) => {$(
        impl Process for $name {
            fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
                Ok(())
            }
        }
    )*};
}
do_nothing!(Mail Move Reload);

/// Somebody who reads lines of one connection, and answers them.
fn other_side(path: PathBuf, answers: Vec<String>) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for answer in answers {
            stream.write_all(answer.as_bytes()).unwrap();
        }
        let lines = BufReader::new(stream).lines();
        lines.map_while(Result::ok).collect()
    })
}

/// What the other side reads when something is published.
fn published(publish: impl FnOnce(&Publisher) -> Result<Published, PublishError>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let other = other_side(path.clone(), Vec::new());
    let published = publish(&Publisher::socket(path)).unwrap();
    let lines = other.join().unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_ascii());
    let mut message: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(message["uuid"], published.uuid);
    assert!(message["time_pub"].as_f64() > Some(1.7e9));
    let members = message.as_object_mut().unwrap();
    members.remove("time_pub");
    members.remove("uuid");
    message
}

#[test]
fn jobs_are_sent_by_their_names_and_fields() {
    let mail = Mail {
        to: "ü".to_owned()
    };
    assert_eq!(
        published(|it| it.delay(&mail)),
        json!({"task": "app.tasks.mail", "kwargs": {"to": "ü"}})
    );
    let pair = Move("a".to_owned(), 7);
    assert_eq!(
        published(|it| it.delay(&pair)),
        json!({"task": "Move", "args": ["a", 7]})
    );
    assert_eq!(published(|it| it.delay(&Reload)), json!({"task": "Reload"}));
    let options = PublishOptions {
        timeout: Some(Duration::from_millis(1500)),
        delay: Some(Duration::from_secs(2)),
        on_duplicate: Some(OnDuplicate::QueueOne),
        guid: Some("g".to_owned()),
        ..PublishOptions::default()
    };
    assert_eq!(
        published(|it| it.apply_async::<Mail>(["me"], (), &options)),
        json!({
            "task": "app.tasks.mail", "args": ["me"], "timeout": 1.5, "delay": 2.0,
            "on_duplicate": "queue_one", "guid": "g",
        })
    );
    assert_eq!(
        published(|it| it.submit("os.mkdir", ("/x", 1), json!({"mode": 2}), &options))["args"],
        json!(["/x", 1])
    );
}

#[test]
fn uuids_are_random_and_versioned() {
    let uuids: BTreeSet<String> = (0..100).map(|_| ids::random_uuid()).collect();
    assert_eq!(uuids.len(), 100);
    for uuid in uuids {
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(
            matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{uuid}"
        );
    }
}

#[test]
fn arguments_are_lists_and_objects() {
    let publisher = Publisher::socket("/nowhere");
    let options = PublishOptions::default();
    for (args, kwargs) in [(json!("x"), json!({})), (json!([]), json!([1]))] {
        let refused = publisher.submit("x", args, kwargs, &options);
        assert!(matches!(refused, Err(PublishError::Arguments(_))));
    }
    let refused = publisher.submit("x", (), (), &options);
    assert!(matches!(refused, Err(PublishError::Socket { .. })));
}

#[test]
fn replies_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let long = json!({"node_id": "a", "text": "ü".repeat(2_000)});
    let text = Json::read(&long.to_string()).unwrap().to_ascii();
    let mut answers = crate::dispatcherd::split(&text, "id", 1_024);
    answers.insert(1, "no JSON".to_owned());
    answers.push("{\"node_id\": \"b\"}".to_owned());
    let answers = answers.into_iter().map(|it| it + "\n").collect();
    let other = other_side(path.clone(), answers);
    let control = Control::socket(path);
    let within = Duration::from_secs(30);
    let replies = control.request("status", json!({"x": 1}), 2, within);
    assert_eq!(replies.unwrap(), [long, json!({"node_id": "b"})]);
    let lines = other.join().unwrap();
    let sent: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&sent["control"], &sent["control_data"]),
        (&json!("status"), &json!({"x": 1}))
    );
    assert!(sent["reply_to"].as_str().is_some_and(|it| it.len() <= 63));
}

fn config(text: &str) -> Config {
    let mut config = Config::new("app");
    let sections: toml::Table = toml::from_str(text).unwrap();
    for (name, section) in sections {
        config = config.with_source(&name, section.as_table().unwrap().clone());
    }
    config
}

fn registry() -> Registry {
    let registry = Registry::builder().with(Mail::definition());
    registry.with(Reload::definition()).build().unwrap()
}

#[test]
fn a_configuration_says_where_to() {
    let error = Publisher::from_config(&config(""), &registry()).unwrap_err();
    assert!(matches!(error, PublishError::NoSection));
    let error = Publisher::from_config(&config("[socket]"), &registry()).unwrap_err();
    assert_eq!(error.to_string(), "[sources.socket] has no `path`");
    Publisher::from_config(&config("[socket]\npath = \"/x\""), &registry()).unwrap();
}

#[cfg(feature = "pg_notify")]
#[test]
fn queues_must_be_channels() {
    let section = "[pg_notify]\nconninfo = \"host=x\"\nchannels = [\"jobs\"]";
    let error = Publisher::from_config(&config(section), &registry()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the queue `letters` of app.tasks.mail is none of the channels [\"jobs\"]"
    );
    let section = "[pg_notify]\nconninfo = \"host=x\"\nchannels = [\"jobs\", \"letters\"]";
    let error = Publisher::from_config(&config(section), &registry()).unwrap_err();
    assert!(matches!(error, PublishError::NoChannel));
    let section = format!("{section}\ndefault_publish_channel = \"jobs\"");
    let publisher = Publisher::from_config(&config(&section), &registry()).unwrap();
    let channel = |options| publisher.way.channel(&options, "x").unwrap();
    let letters = Options {
        queue: "letters".to_owned(),
        ..Options::default()
    };
    assert_eq!(channel(letters), Some("letters".to_owned()));
    assert_eq!(channel(Options::default()), Some("jobs".to_owned()));
}
