//! Messages and pieces that nobody would send.

use std::time::Duration;

use super::super::*;
use super::{Mail, Say, fitting};
use crate::fuzzing::{Seen, fuzz};
use dispatcher_core::{Dispatcher, canonical};

/// What strict JSON says of a text is said here too; whatever is read is written as strict JSON
/// in ASCII, and read again the same.
#[test]
fn dispatcherd_messages() {
    fuzz("dispatcherd_messages", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        if let Ok(strict) = canonical(text) {
            let ours = Json::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(canonical(&ours.to_ascii()).as_ref(), Ok(&strict), "{text}");
        }
        match open(text).and_then(|message| Message::of(message, Some("ü"), 7)) {
            Ok(Message::Task(task)) => task_is_kept(&task),
            Ok(Message::Control(control)) => {
                let _ = Filter::of(&control.data);
                Seen::of((control.command.len().min(9), control.reply_to.is_some()))
            }
            Err(dropped) => Seen::message(&dropped.to_string()),
        }
    });
}

fn task_is_kept(task: &Task) -> Seen {
    let text = task.message.to_ascii();
    assert!(text.is_ascii());
    // What was odd is gone now.
    let again = Json::read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(again.to_ascii(), text);
    assert!(again.odd().is_none(), "{text}");
    let mut seen = Vec::new();
    for definition in [Mail::definition(), Say::definition()] {
        let payload = payload_of(definition, task);
        let origin = remember("somebody", task, definition, fitting(&payload));
        let stored = match &payload {
            Ok(payload) => payload.clone(),
            Err(misfit) => refused_payload(definition, &misfit.to_string()).unwrap_or_default(),
        };
        let id = "0123456789abcdef".parse().expect("it is one");
        let message = recall(id, definition.name, Some(definition), &origin, &stored);
        for key in ["task", "uuid", "channel"] {
            let is = message.get(key).map(Json::to_ascii);
            let was = task.message.get(key).map(Json::to_ascii);
            let long = was.as_ref().is_some_and(|it| it.len() > 1_000);
            assert!(is == was || long, "{key} of {text}: {is:?}");
        }
        let said = payload
            .err()
            .map(|misfit| Seen::message(&misfit.to_string()));
        seen.push(said);
    }
    Seen::of((seen, task.timeout().is_ok(), task.on_duplicate()))
}

/// Lines are pieces that come one after the other; what is split comes back whole, whatever came
/// before.
#[test]
fn dispatcherd_pieces() {
    fuzz("dispatcherd_pieces", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut assembler = Assembler::default();
        let mut seen = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let Ok(message) = open(line) else { continue };
            let now = Duration::from_secs(100 * number as u64);
            seen.push(match assembler.take(message, now) {
                Piece::Whole(_) => "whole".to_owned(),
                Piece::Completed(_) => "completed".to_owned(),
                Piece::Kept => "kept".to_owned(),
                Piece::Refused(why) => why.to_string(),
            });
            assert!(assembler.partials(now).to_ascii().is_ascii());
        }
        let whole = Json::object([("task", Json::text(text.as_ref()))]);
        let pieces = split(&whole.to_ascii(), "its own id", 200);
        let mut last = None;
        for piece in &pieces {
            assert!(piece.len() <= 200);
            let piece = Json::read(piece).expect("a piece is JSON");
            last = Some(assembler.take(piece, Duration::from_secs(1_000_000)));
        }
        let wanted = match pieces.len() {
            1 => Piece::Whole(whole),
            _ => Piece::Completed(whole),
        };
        assert_eq!(last, Some(wanted));
        seen.truncate(4);
        Seen::message(&seen.join(" "))
    });
}
