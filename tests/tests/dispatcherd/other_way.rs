//! Our publisher and our control client: to an unmodified Python service, and to one of ours.

use std::fs::File;
use std::process::{Child, Command};
use std::time::Duration;

use dispatcher_runner::{Control, PublishOptions, Publisher};
use dispatcher_tests::{Home, PATIENCE, Postgres, eventually, said};
use serde_json::{Value, json};

use crate::python::{CHANNEL, NODE, Wire, settings, tools};

/// A service of the Python package, in a directory of its own.
struct Python {
    child: Child,
    home: Home,
}

impl Python {
    fn start(mut settings: Value, home: Home) -> Self {
        settings["service"] = json!({
            "pool_kwargs": {"max_workers": 2}, "main_kwargs": {"node_id": "python"},
        });
        settings["producers"] = json!({"ControlProducer": {}});
        let file = home.file("dispatcher.yml");
        std::fs::write(&file, settings.to_string()).expect("it can be written");
        let log = File::create(home.file("python.log")).expect("it can be written");
        let mut command = Command::new(tools().join("dispatcherd"));
        command.arg("--config").arg(file).current_dir(home.path());
        let out = log.try_clone().expect("a descriptor");
        let child = command.stdout(out).stderr(log).spawn();
        let child = child.expect("the package is installed: scripts/prepare installs it");
        Self { child, home }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Publishes, lists, cancels and runs; the callables are of Python's own library.
fn everything_reaches_python(python: &Python, publisher: &Publisher, control: &Control) {
    let second = Duration::from_secs(1);
    let ask = |command: &str, data: Value| {
        let replies = control.request(command, data, 1, second);
        replies.expect("it can be asked").pop()
    };
    eventually("it answers", PATIENCE, || ask("alive", Value::Null));
    assert_eq!(
        ask("alive", Value::Null),
        Some(json!({"node_id": "python"}))
    );
    let options = PublishOptions::default();
    let folder = python.home.file("made");
    publisher
        .submit("os.mkdir", [&folder], (), &options)
        .expect("it is sent");
    eventually("the folder is made", PATIENCE, || folder.is_dir());
    // Long enough for pieces; the file of that name is made.
    let long = "ü".repeat(3_000);
    let file = python.home.file("written");
    let code = format!("open({file:?}, 'w').write({long:?})");
    publisher
        .submit("subprocess.call", [["python3", "-c", &code]], (), &options)
        .expect("it is sent");
    eventually("it is written", PATIENCE, || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == long)
    });
    let sleeper = PublishOptions {
        uuid: Some("the sleeper".to_owned()),
        timeout: Some(Duration::from_secs(50)),
        ..PublishOptions::default()
    };
    let sent = publisher.submit("time.sleep", [60], (), &sleeper);
    assert_eq!(sent.expect("it is sent").uuid, "the sleeper");
    let data = json!({"uuid": "the sleeper"});
    let running = eventually("it runs", PATIENCE, || {
        let running = ask("running", data.clone())?;
        let mut places = running.as_object()?.keys();
        places
            .any(|it| it.starts_with("worker-"))
            .then_some(running)
    });
    let members = running.as_object().expect("an object");
    let message = members
        .iter()
        .find_map(|(key, message)| key.starts_with("worker-").then_some(message))
        .expect("it is in a worker");
    assert_eq!(
        (&message["task"], &message["timeout"]),
        (&json!("time.sleep"), &json!(50.0))
    );
    let cancelled = ask("cancel", data.clone()).expect("a reply");
    assert_eq!(cancelled.as_object().map(serde_json::Map::len), Some(2));
    let other = python.home.file("by command");
    let acknowledged = ask("run", json!({"task": "os.mkdir", "args": [other]}));
    assert!(acknowledged.expect("a reply")["ack"].is_object());
    eventually("it is made, too", PATIENCE, || other.is_dir());
    control
        .send("set_log_level", json!({"level": "INFO"}))
        .expect("it is sent");
    assert!(ask("status", Value::Null).expect("a reply")["main"].is_object());
}

#[test]
fn python_is_driven_over_its_socket() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let path = home.file("messages.sock");
    let settings = json!({
        "version": 2, "brokers": {"socket": {"socket_path": path}},
    });
    let python = Python::start(settings, home);
    eventually("the socket is there", PATIENCE, || path.exists());
    everything_reaches_python(&python, &Publisher::socket(&path), &Control::socket(&path));
}

#[test]
fn python_is_driven_over_postgresql() {
    let database = Postgres::of_process().database();
    let url = database.url();
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let python = Python::start(settings(&url), home);
    let publisher = Publisher::postgres(&url, [CHANNEL]).expect("it fits");
    let control = Control::postgres(&url, CHANNEL).expect("it fits");
    everything_reaches_python(&python, &publisher, &control);
}

over_every_transport! {
    "";
    the_command_shows_replies
}

/// The command `control`, with what it prints.
fn command(wire: &Wire, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["control", "--config", "dispatcher.toml"];
    all.extend(arguments);
    let output = wire.home.output(all, b"");
    (
        output.status.code(),
        said(&output.stdout),
        said(&output.stderr),
    )
}

fn the_command_shows_replies(wire: &Wire) {
    let (code, out, err) = command(wire, &["alive"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let replies: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(replies, json!([{"node_id": NODE}]));
    let task = r#"{"task": "Note", "args": ["notes", "by command"]}"#;
    let (code, out, _) = command(wire, &["run", task]);
    assert_eq!(code, Some(0), "{out}");
    eventually("it runs", PATIENCE, || {
        wire.home.read("notes") == "by command\n"
    });
    let (code, out, _) = command(wire, &["cancel", "--expected-replies", "0"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    let (code, out, err) = command(
        wire,
        &["alive", "--expected-replies", "2", "--within", "100ms"],
    );
    assert_eq!(code, Some(1));
    let replies: Vec<Value> = serde_json::from_str(&out).expect("JSON");
    assert_eq!(replies.len(), 1);
    assert!(err.contains("1 of 2 replies came within 100ms"), "{err}");
    let (code, _, err) = command(wire, &["alive", "{"]);
    assert_eq!(code, Some(64), "{err}");
    let (code, _, err) = command(wire, &["alive", "--source", "pg_notfy"]);
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("did you mean `pg_notify`?"), "{err}");
}

#[test]
fn without_a_source_the_command_says_what_else_there_is() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let output = home.output(["control", "alive"], b"");
    assert_eq!(output.status.code(), Some(78));
    let said = said(&output.stderr);
    assert!(
        said.contains("neither [sources.socket] nor [sources.pg_notify]"),
        "{said}"
    );
    assert!(
        said.contains("`status`, `workers`, `reset` and `stop`"),
        "{said}"
    );
}
