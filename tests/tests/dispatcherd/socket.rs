//! What only the socket has: a file, connections, lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use dispatcher_tests::{Home, PATIENCE, Serving, eventually, terminate};
use serde_json::{Value, json};

use crate::python::{NODE, Wire};

fn connect(home: &Home) -> UnixStream {
    UnixStream::connect(home.file("messages.sock")).expect("somebody answers")
}

/// What is answered to lines, whole.
fn answers(home: &Home, text: &[u8]) -> Vec<Value> {
    let mut stream = connect(home);
    stream.write_all(text).expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("it can");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("UTF-8");
    assert!(all.is_ascii(), "{all}");
    let lines = all.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

#[test]
fn the_file_is_for_its_user_and_goes_with_the_service() {
    let wire = Wire::socket("");
    let path = wire.home.file("messages.sock");
    let mode = path.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    terminate(wire.service.pid());
    let Wire { service, home, .. } = wire;
    assert_eq!(service.end().code(), Some(0));
    assert!(!path.exists());
    drop(home);
}

#[test]
fn a_stale_file_is_replaced_and_one_that_answers_is_not() {
    let wire = Wire::socket("");
    // Of another state, for another service.
    let config = std::fs::read_to_string(wire.home.file("dispatcher.toml")).expect("its file");
    let config = config.strip_prefix("version = 1\n").expect("its beginning");
    let second = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let service = Serving::configured(&second, config);
    eventually("the second one complains", PATIENCE, || {
        let log = second.read("service.log");
        log.contains("somebody answers at")
    });
    assert_eq!(wire.ctl(&["alive"]), json!({}));
    wire.kill();
    // It tries again, and finds that nobody answers any more.
    eventually("the second one takes over", PATIENCE, || {
        let log = second.read("service.log");
        log.contains("messages are taken at the socket")
    });
    let reply = answers(
        &wire.home,
        b"{\"control\": \"main\", \"reply_to\": \"x\"}\n",
    );
    assert_eq!(reply[0]["pid"], service.pid());
    drop(service);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let path = home.file("messages.sock");
    std::fs::write(&path, "precious").expect("it can be written");
    let config = format!(
        "[sources.socket]\npath = {:?}\n",
        path.display().to_string()
    );
    let service = Serving::configured(&home, &config);
    eventually("it complains", PATIENCE, || {
        home.read("service.log")
            .contains("is there already, and no socket")
    });
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "precious");
    drop(service);
}

#[test]
fn replies_come_in_order_and_only_to_who_wants_them() {
    let wire = Wire::socket("");
    let lines = "{\"control\": \"alive\"}\n\n{\"control\": \"alive\", \"reply_to\": \"a\"}\n\
                 {\"task\": \"Note\", \"args\": [\"notes\", \"x\"]}\n\
                 {\"control\": \"running\", \"reply_to\": \"b\", \"control_data\": {\"uuid\": \"0\"}}\n\
                 {\"control\": \"chunks\", \"reply_to\": \"c\"}";
    let replies = answers(&wire.home, lines.as_bytes());
    assert_eq!(replies.len(), 3, "{replies:?}");
    assert!(replies.iter().all(|reply| reply["node_id"] == NODE));
    assert_eq!(replies[0], json!({"node_id": NODE}));
    assert!(replies[2]["status"].is_object());
}

#[test]
fn a_connection_may_be_slow_silent_or_broken_and_holds_up_nobody() {
    let wire = Wire::socket("");
    let silent = connect(&wire.home);
    let mut half = connect(&wire.home);
    half.write_all(b"{\"control\": \"alive\", \"repl")
        .expect("it reads");
    let mut broken = connect(&wire.home);
    broken.write_all(b"\xff\xfe\n\0\n").expect("it reads");
    let mut endless = connect(&wire.home);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        endless.write_all(&piece).expect("it reads");
    }
    endless
        .write_all(b"\n{\"control\": \"alive\", \"reply_to\": \"x\"}\n")
        .expect("it reads");
    let mut reply = String::new();
    BufReader::new(endless)
        .read_line(&mut reply)
        .expect("a reply");
    assert!(reply.contains("node_id"), "{reply}");
    assert_eq!(wire.ctl(&["alive"]), json!({}));
    half.write_all(b"y_to\": \"x\"}\n").expect("it reads");
    let mut reply = String::new();
    BufReader::new(half).read_line(&mut reply).expect("a reply");
    assert!(reply.contains("node_id"), "{reply}");
    drop(silent);
    let log = wire.home.read("service.log");
    assert!(log.contains("the message is not UTF-8"), "{log}");
    assert!(log.contains("the message has more than"), "{log}");
}

#[test]
fn long_replies_come_in_pieces() {
    let wire = Wire::socket("");
    let text = "ü".repeat(700);
    let mut lines = String::new();
    for number in 0..3 {
        let task = json!({"task": "Exclusive", "args": [format!("{number}{text}"), "gate"]});
        lines.push_str(&format!("{task}\n"));
    }
    lines.push_str("{\"control\": \"running\", \"reply_to\": \"x\"}\n");
    let replies = answers(&wire.home, lines.as_bytes());
    assert!(replies.len() > 10, "{}", replies.len());
    assert!(replies.iter().all(|it| it["__dispatcherd_chunk__"] == "v1"));
    let whole: String = replies
        .iter()
        .filter_map(|it| it["payload"].as_str())
        .collect();
    let reply: Value = serde_json::from_str(&whole).expect("JSON");
    assert_eq!(
        reply.as_object().map(serde_json::Map::len),
        Some(4),
        "{reply}"
    );
}
