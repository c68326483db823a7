//! What comes in, and what becomes of it; then what nobody would send.

mod fuzz;

use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, JobId, OnDuplicate, Process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chunks::{Counts, PieceError};
use super::*;

#[derive(Dispatcher, Serialize, Deserialize)]
struct Mail {
    to: String,
    #[serde(default)]
    copies: u64,
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Login {
    user: String,
    #[dispatcher(secret)]
    password: String,
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Reload;

#[derive(Dispatcher, Serialize, Deserialize)]
struct Wait(f64);

#[derive(Dispatcher, Serialize, Deserialize)]
struct Move(String, String);

/// Whose one value is a text: it would take a reason for a value.
#[derive(Dispatcher, Serialize, Deserialize)]
struct Say(String);

macro_rules! do_nothing {
    ($($name:ident)*) => {$(
        impl Process for $name {
            fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
                Ok(())
            }
        }
    )*};
}
do_nothing!(Mail Login Reload Wait Move Say);

/// What a text asks for, as the third message of its service.
fn read(text: &str) -> Result<Message, Dropped> {
    Message::of(open(text)?, None, 3)
}

fn task(message: &Value) -> Task {
    match read(&message.to_string()).unwrap() {
        Message::Task(task) => task,
        Message::Control(control) => panic!("{control:?}"),
    }
}

fn value(json: &Json) -> Value {
    let text = json.to_ascii();
    assert!(text.is_ascii(), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_message_is_a_task_a_command_or_dropped_with_the_reason() {
    let Ok(Message::Task(task)) = read(r#"{"task": "app.mail", "more": [1]}"#) else {
        panic!("no task");
    };
    assert_eq!(task.name, "app.mail");
    assert_eq!(
        value(&task.message),
        json!({"task": "app.mail", "more": [1], "uuid": "internal-3"})
    );
    let Ok(Message::Task(task)) = read("reload all") else {
        panic!("no task");
    };
    assert_eq!(task.name, "reload all");
    let Ok(Message::Control(control)) = read(
        r#"{"control": "running", "reply_to": "here", "control_data": {"uuid": "7"}, "task": "x"}"#,
    ) else {
        panic!("no command");
    };
    assert_eq!(control.command, "running");
    assert_eq!(control.reply_to.as_deref(), Some("here"));
    assert_eq!(value(&control.data), json!({"uuid": "7"}));
    for (text, why) in [
        ("[]", Dropped::NoObject),
        ("7", Dropped::NoObject),
        ("null", Dropped::NoObject),
        ("\"task\"", Dropped::NoObject),
        ("NaN", Dropped::NoObject),
        ("{}", Dropped::NoTask),
        (r#"{"task": 7}"#, Dropped::TaskIsNoText),
        (r#"{"task": "\ud800"}"#, Dropped::TaskIsNoText),
        (r#"{"control": null}"#, Dropped::ControlIsNoText),
        (r#"{"task": "lambda: 1"}"#, Dropped::Lambda),
        ("lambda: __import__('os')", Dropped::Lambda),
    ] {
        assert_eq!(read(text), Err(why), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(read(&deep), Err(Dropped::TooDeep(_))));
}

#[test]
fn a_reply_goes_to_a_channel_that_exists() {
    let reply_to = |name: &str| {
        let text = json!({"control": "alive", "reply_to": name}).to_string();
        match read(&text) {
            Ok(Message::Control(control)) => control.reply_to,
            other => panic!("{other:?}"),
        }
    };
    let longest = "x".repeat(63);
    for name in ["a", "Some Channel; DROP \"x\"", &longest] {
        assert_eq!(reply_to(name).as_deref(), Some(name));
    }
    for name in ["", &"x".repeat(64), "nu\0ll"] {
        assert_eq!(reply_to(name), None, "{name}");
    }
}

#[test]
fn what_python_calls_json_has_a_result() {
    let text = r#"{"task": "x", "a": NaN, "b": [Infinity, -Infinity], "c": "x\ud83dy",
        "d": 123456789012345678901234567890, "e": "\ud83d\ude00", "f": -0.5e-7, "g": {"h": NaN}}"#;
    let Ok(Message::Task(task)) = read(text) else {
        panic!("no task");
    };
    assert_eq!(
        task.message.to_ascii(),
        "{\"task\":\"x\",\"a\":null,\"b\":[null,null],\"c\":\"x\\ufffdy\",\
         \"d\":123456789012345678901234567890,\"e\":\"\\ud83d\\ude00\",\"f\":-0.5e-7,\
         \"g\":{\"h\":null},\"uuid\":\"internal-3\"}"
    );
}

#[test]
fn the_last_of_equal_keys_counts() {
    let message = Json::read(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
    assert_eq!(message.to_ascii(), r#"{"a":3,"b":2}"#);
}

/// The payload, or why there is none.
fn payload<T: Dispatcher>(message: &Value) -> Result<Value, String> {
    let mut message = message.clone();
    message["task"] = json!("x");
    let payload = payload_of(T::definition(), &task(&message));
    let payload = payload.map_err(|misfit| misfit.to_string())?;
    Ok(serde_json::from_str(&payload).unwrap())
}

#[test]
fn arguments_become_fields_by_order_and_name() {
    for (message, wanted) in [
        (json!({"args": ["me", 2]}), json!({"to": "me", "copies": 2})),
        (
            json!({"args": ["me"], "kwargs": {"copies": 2}}),
            json!({"to": "me", "copies": 2}),
        ),
        (json!({"kwargs": {"to": "me"}}), json!({"to": "me"})),
        (json!({"args": null, "kwargs": null}), json!({})),
    ] {
        assert_eq!(payload::<Mail>(&message), Ok(wanted));
    }
    assert_eq!(payload::<Reload>(&json!({})), Ok(json!({})));
    assert_eq!(payload::<Wait>(&json!({"args": [1.5]})), Ok(json!(1.5)));
    assert_eq!(
        payload::<Move>(&json!({"args": ["a", "b"]})),
        Ok(json!(["a", "b"]))
    );
    let big = "18446744073709551615";
    let text = format!(r#"{{"task": "x", "args": ["me", {big}]}}"#);
    let Ok(Message::Task(task)) = read(&text) else {
        panic!("no task");
    };
    let payload = payload_of(Mail::definition(), &task).unwrap();
    assert_eq!(payload, format!(r#"{{"to":"me","copies":{big}}}"#));
}

#[test]
fn arguments_that_are_no_fields_have_a_reason() {
    for (message, wanted) in [
        (
            json!({"args": [1, 2, 3]}),
            "Mail takes 2 arguments and was given 3",
        ),
        (
            json!({"args": ["me"], "kwargs": {"to": "you"}}),
            "Mail was given `to` twice: in `args` and in `kwargs`",
        ),
        (
            json!({"kwargs": {"form": "x"}}),
            "Mail has no field `form`; it has `to`, `copies`",
        ),
        (json!({"args": "me"}), "`args` is no list"),
        (json!({"kwargs": ["me"]}), "`kwargs` is no object"),
    ] {
        assert_eq!(payload::<Mail>(&message), Err(wanted.to_owned()));
    }
    let refused = payload::<Move>(&json!({"kwargs": {"0": "a"}}));
    let by_place = "Move takes its arguments by place, not by name";
    assert_eq!(refused, Err(by_place.to_owned()));
    let refused = payload::<Reload>(&json!({"args": [1]}));
    assert_eq!(
        refused,
        Err("Reload takes no arguments and was given 1".to_owned())
    );
    for (text, wanted) in [
        (
            r#"{"task": "x", "args": ["me", NaN]}"#,
            "`NaN` in `args[1]` is no JSON, and no value of a field",
        ),
        (
            r#"{"task": "x", "kwargs": {"to": ["\ud800"]}}"#,
            "the text in `kwargs.to[0]` has half of a surrogate pair, which is no character",
        ),
    ] {
        let Ok(Message::Task(task)) = read(text) else {
            panic!("no task");
        };
        let error = payload_of(Mail::definition(), &task).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn a_job_that_cannot_run_says_why() {
    for definition in [
        Mail::definition(),
        Reload::definition(),
        Wait::definition(),
        Move::definition(),
        Say::definition(),
    ] {
        let payload = refused_payload(definition, "the reason").unwrap();
        let mut options = (definition.options)();
        let error = (definition.check)(&payload, &mut options).unwrap_err();
        if definition.name == "Mail" {
            assert!(error.to_string().contains("the reason"), "{error}");
        }
    }
}

#[test]
fn times_and_policies_are_those_of_python() {
    let seconds = |message: Value| task(&message).timeout();
    let none = json!({"task": "x", "timeout": 0.0});
    assert_eq!(seconds(none), Ok(None));
    assert_eq!(seconds(json!({"task": "x"})), Ok(None));
    let half = json!({"task": "x", "timeout": 0.5});
    assert_eq!(seconds(half), Ok(Some(Duration::from_millis(500))));
    for odd in [json!(-1), json!("5"), json!(true), json!([5])] {
        let odd = json!({"task": "x", "timeout": odd});
        assert_eq!(seconds(odd), Err(Mismatch::NoTime("timeout")));
    }
    let huge = task(&json!({"task": "x", "delay": 1e300})).delay();
    assert!(huge.unwrap().is_some());
    for (word, policy) in [
        ("parallel", Some(OnDuplicate::Parallel)),
        ("serial", Some(OnDuplicate::Serial)),
        ("discard", Some(OnDuplicate::Discard)),
        ("queue_one", Some(OnDuplicate::QueueOne)),
        ("never", None),
    ] {
        let task = task(&json!({"task": "x", "on_duplicate": word}));
        assert_eq!(task.on_duplicate(), policy);
    }
}

fn fitting<T, E>(payload: &Result<T, E>) -> Fitting {
    match payload {
        Ok(_) => Fitting::Fits,
        Err(_) => Fitting::Misfits,
    }
}

fn id() -> JobId {
    "0123456789abcdef".parse().unwrap()
}

/// The message that a job of `T` shows, after it was stored.
fn echoed<T: Dispatcher>(message: &Value) -> Value {
    let task = task(message);
    let definition = T::definition();
    let payload = payload_of(definition, &task);
    let origin = remember("source socket", &task, definition, fitting(&payload));
    assert!(origin.starts_with("source socket with message {"));
    let payload = payload
        .or_else(|misfit| Ok::<_, ()>(refused_payload(definition, &misfit.to_string()).unwrap()))
        .unwrap();
    let name = definition.name;
    value(&recall(id(), name, Some(definition), &origin, &payload))
}

#[test]
fn a_job_shows_the_message_that_it_came_with() {
    for message in [
        json!({"task": "a.b", "uuid": "1", "time_pub": 1.5, "args": ["me"], "kwargs": {"copies": 2}}),
        json!({"task": "a.b", "uuid": 7, "args": ["me", 2], "guid": "g", "odd": [{"a": null}]}),
        json!({"task": "a.b", "uuid": "ü", "kwargs": {"to": "me"}}),
        json!({"task": "a.b", "uuid": "1"}),
        // These do not fit.
        json!({"task": "a.b", "uuid": "1", "args": [1, 2, 3], "kwargs": {"x": 1}}),
        json!({"task": "a.b", "uuid": "1", "args": "x"}),
        json!({"task": "a.b", "uuid": "1", "kwargs": {"x": 1}}),
    ] {
        assert_eq!(echoed::<Mail>(&message), message);
    }
    let message = json!({"task": "a.b", "uuid": "1", "args": ["a", "b"]});
    assert_eq!(echoed::<Move>(&message), message);
    let message = json!({"task": "a.b", "uuid": "1", "args": [2.5]});
    assert_eq!(echoed::<Wait>(&message), message);
}

#[test]
fn a_job_that_came_in_another_way_has_a_message_too() {
    let definition = Some(Mail::definition());
    let message = recall(id(), "Mail", definition, "pid 7 (app)", r#"{"to":"me"}"#);
    assert_eq!(
        value(&message),
        json!({"uuid": "0123456789abcdef", "task": "Mail", "kwargs": {"to": "me"}})
    );
    let message = recall(id(), "Gone", None, "pid 7 (app)", "[1]");
    assert_eq!(
        value(&message),
        json!({"uuid": "0123456789abcdef", "task": "Gone", "args": [[1]]})
    );
}

#[test]
fn a_long_note_keeps_what_is_understood() {
    let long = "x".repeat(20_000);
    let message = json!({"task": "a.b", "uuid": "1", "time_pub": 2, "args": ["me"], "odd": long});
    assert_eq!(
        echoed::<Mail>(&message),
        json!({"task": "a.b", "uuid": "1", "time_pub": 2, "args": ["me"]})
    );
}

#[test]
fn secrets_are_masked_in_what_is_shown() {
    let shown = |message: Value| {
        let message = task(&message).message;
        value(&masked(message, Some(Login::definition())))
    };
    let told = shown(json!({"task": "x", "uuid": 1, "args": ["me", "pass", "pass"]}));
    assert_eq!(told["args"], json!(["me", "***", "***"]));
    let told = shown(json!({"task": "x", "uuid": 1, "kwargs": {"user": "me", "password": "p"}}));
    assert_eq!(told["kwargs"], json!({"user": "me", "password": "***"}));
    let told = shown(json!({"task": "x", "uuid": 1, "kwargs": {"pasword": "p"}, "args": "p"}));
    assert_eq!(
        (&told["kwargs"], &told["args"]),
        (&json!({"pasword": "***"}), &json!("***"))
    );
}

#[test]
fn a_filter_asks_for_all_of_its_values() {
    let message = task(&json!({
        "task": "a.b", "uuid": "1", "args": [1, "x"], "kwargs": {"b": 2, "a": {"c": 3}},
    }))
    .message;
    let matches = |data: Value, same| {
        let data = Json::read(&data.to_string()).unwrap();
        let meant = if same { "A" } else { "B" };
        Filter::of(&data).matches(&message, "A", Some(meant))
    };
    for data in [
        json!({}),
        json!({"task": "a.b"}),
        json!({"uuid": "1", "args": [1.0, "x"]}),
        json!({"kwargs": {"a": {"c": 3}, "b": 2}, "task": "", "other": 7}),
        json!({"args": [], "kwargs": null}),
    ] {
        assert!(matches(data.clone(), false), "{data}");
    }
    for data in [
        json!({"task": "a"}),
        json!({"uuid": "2"}),
        json!({"args": [1]}),
        json!({"kwargs": {"b": 2}}),
    ] {
        assert!(!matches(data.clone(), false), "{data}");
    }
    assert!(matches(json!({"task": "a"}), true));
}

const START: Duration = Duration::from_secs(1_000);

/// Has an assembler read pieces; the message that they were.
fn assembled(assembler: &mut Assembler, pieces: &[String]) -> Option<Json> {
    let mut whole = None;
    for piece in pieces {
        match assembler.take(Json::read(piece).unwrap(), START) {
            Piece::Completed(message) => assert!(whole.replace(message).is_none()),
            Piece::Kept => {}
            other => panic!("{other:?}"),
        }
    }
    whole
}

#[test]
fn long_messages_go_in_pieces_of_any_order() {
    let long = Json::object([
        ("task", Json::text("a.b")),
        (
            "args",
            Json::List(vec![Json::text("ü\"\\\n😀".repeat(2_000))]),
        ),
    ]);
    let text = long.to_ascii();
    for bytes_max in [LINE_BYTES_MAX, NOTIFY_BYTES_MAX] {
        let mut pieces = split(&text, "0123456789abcdef0123456789abcdef", bytes_max);
        assert!(pieces.len() > text.len() / bytes_max, "{}", pieces.len());
        assert!(
            pieces
                .iter()
                .all(|it| it.len() <= bytes_max && it.is_ascii())
        );
        pieces.reverse();
        let mut assembler = Assembler::default();
        assert_eq!(assembled(&mut assembler, &pieces).as_ref(), Some(&long));
        let total = pieces.len() as u64;
        let counts = Counts {
            received: total,
            completed: 1,
            ..Counts::default()
        };
        assert_eq!(assembler.counts(), counts);
    }
    assert_eq!(split(&text, "id", text.len()), [text]);
}

fn piece(id: &str, index: usize, total: usize, payload: &str) -> Json {
    let piece = json!({
        "__dispatcherd_chunk__": "v1", "message_id": id,
        "index": index, "total": total, "payload": payload,
    });
    Json::read(&piece.to_string()).unwrap()
}

#[test]
fn pieces_that_cannot_be_put_together_are_refused() {
    let mut assembler = Assembler::default();
    let mut take = |piece: Json| assembler.take(piece, START);
    let other = Json::read(r#"{"__dispatcherd_chunk__": "v2"}"#).unwrap();
    assert_eq!(take(other), Piece::Refused(PieceError::Version));
    let bare = Json::read(r#"{"__dispatcherd_chunk__": "v1"}"#).unwrap();
    assert_eq!(take(bare), Piece::Refused(PieceError::Odd));
    assert_eq!(take(piece("a", 2, 2, "")), Piece::Refused(PieceError::Odd));
    assert_eq!(take(piece("a", 0, 2, "{")), Piece::Kept);
    assert_eq!(
        take(piece("a", 1, 3, "}")),
        Piece::Refused(PieceError::Disagree)
    );
    let none = Piece::Refused(PieceError::NoMessage);
    assert_eq!(take(piece("b", 0, 1, "nonsense")), none);
    assert_eq!(take(piece("c", 0, 1, "[1]")), none);
    assert_eq!(take(piece("d", 0, 2, "{}")), Piece::Kept);
    // The same piece twice counts once.
    assert_eq!(take(piece("d", 0, 2, "{}")), Piece::Kept);
    assert_eq!(take(piece("d", 1, 2, " ")), Piece::Completed(Json::empty()));
    assert!(matches!(
        take(piece("e", 0, usize::MAX, "")),
        Piece::Refused(PieceError::TooLarge { .. })
    ));
    let huge = "x".repeat(3 * 1024 * 1024);
    assert_eq!(take(piece("f", 0, 4, &huge)), Piece::Kept);
    assert_eq!(take(piece("f", 1, 4, &huge)), Piece::Kept);
    assert!(matches!(
        take(piece("f", 2, 4, &huge)),
        Piece::Refused(PieceError::TooLarge { .. })
    ));
    let status = value(&assembler.status());
    assert_eq!(status["active_messages"], 0);
    assert_eq!(status["errored_assemblies"], 8);
}

#[test]
fn pieces_are_given_up_when_they_are_old_or_too_many() {
    let mut assembler = Assembler::default();
    assembler.take(piece("old", 0, 2, "{"), START);
    let partials = value(&assembler.partials(START + Duration::from_secs(3)));
    assert_eq!(
        partials,
        json!({"old": {
            "seconds_since_start": 3.0, "expected_total": 2,
            "chunks": [{"chunk_id": 0, "length": 1}],
        }})
    );
    assembler.expire(START + AGE_MAX);
    assert_eq!(assembler.counts().expired, 1);
    for number in 0..3_000 {
        assembler.take(piece(&number.to_string(), 0, 2, "{"), START + AGE_MAX);
    }
    assert_eq!(assembler.counts().expired, 2_001);
    assert_eq!(value(&assembler.status())["active_messages"], 1_000);
    // The newest are kept.
    let last = assembler.take(piece("2999", 1, 2, "}"), START + AGE_MAX);
    assert_eq!(last, Piece::Completed(Json::empty()));
    let large = "x".repeat(7 * 1024 * 1024);
    for number in 0..12 {
        let id = format!("large {number}");
        assembler.take(piece(&id, 0, 2, &large), START + AGE_MAX);
    }
    let held = value(&assembler.partials(START + AGE_MAX));
    let held: usize = held
        .as_object()
        .unwrap()
        .values()
        .map(|it| usize::try_from(it["chunks"][0]["length"].as_u64().unwrap()).unwrap())
        .sum();
    assert!(held <= 64 * 1024 * 1024, "{held}");
}
