//! The message of a job, as lists of jobs show it; it is kept with the job.
//!
//! Arguments stand in the job's payload; what else the message said is a note in the job's origin,
//! so that it outlives the service. A job that came in another way has a message, too.

use dispatcher_core::{Definition, JobId, canonical};

use super::json::Json;
use super::message::Task;
use super::payload::Shape;

/// Longest note: a longer one loses what nobody here understands.
const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Longest value that is kept then.
const VALUE_BYTES_MAX: usize = 1_024;
/// What stands between the sender and the note.
const MARK: &str = " with message ";
/// In a note: how many of the values were positional.
const PLACES: &str = "args";
/// In a note: the arguments did not fit, and stand in the note.
const MISFIT: &str = "misfit";

/// Whether the arguments of a task stand in its job's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitting {
    Fits,
    Misfits,
}

/// The origin of a job: who sends it, and what its message says besides its arguments.
///
/// Arguments that did not fit stand in the note, where people see them.
pub(crate) fn remember(
    who: &str,
    task: &Task,
    definition: &Definition,
    fitting: Fitting,
) -> String {
    let fits = fitting == Fitting::Fits;
    let message = match fits {
        true => task.message.clone(),
        false => masked(task.message.clone(), Some(definition)),
    };
    let Json::Object(members) = &message else {
        return who.to_owned();
    };
    let mut note = Json::empty();
    for (key, value) in members {
        match (key.as_str(), value) {
            ("args", Json::List(args)) if fits => {
                if !args.is_empty() {
                    note.set(PLACES, args.len().into());
                }
            }
            ("kwargs", _) if fits => {}
            (key, value) => note.set(key, value.clone()),
        }
    }
    if !fits {
        note.set(MISFIT, true.into());
    }
    let mut text = note.to_ascii();
    if text.len() > NOTE_BYTES_MAX {
        text = shortened(&note).to_ascii();
    }
    format!("{who}{MARK}{text}")
}

fn shortened(note: &Json) -> Json {
    let kept = [
        "task",
        "uuid",
        "time_pub",
        "channel",
        "on_duplicate",
        PLACES,
        MISFIT,
    ];
    let kept = kept.into_iter().filter_map(|key| {
        let value = note.get(key)?;
        (value.to_ascii().len() <= VALUE_BYTES_MAX).then(|| (key, value.clone()))
    });
    Json::object(kept)
}

/// The message of a job; of one that came in another way, what it would have been.
pub(crate) fn recall(
    id: JobId,
    dispatcher: &str,
    definition: Option<&Definition>,
    origin: &str,
    payload: &str,
) -> Json {
    let note = origin
        .split_once(MARK)
        .and_then(|(_, note)| Json::read(note).ok());
    let note = note.unwrap_or_else(Json::empty);
    let places = match note.get(PLACES) {
        None => Some(0),
        Some(Json::Number(_)) => note.get(PLACES).and_then(Json::as_usize),
        // They did not fit, and are in the note as they were sent.
        Some(_) => None,
    };
    let note_is_of_misfit = note.get(MISFIT).is_some();
    let mut message = Json::object([
        ("uuid", Json::text(id.as_str())),
        ("task", Json::text(dispatcher)),
    ]);
    if let Json::Object(members) = note {
        for (key, value) in members {
            if key != MISFIT && (key != PLACES || places.is_none()) {
                message.set(&key, value);
            }
        }
    }
    // Of a task that did not fit the payload is the reason.
    if let (Some(places), false) = (places, note_is_of_misfit) {
        let payload = Json::read(payload).unwrap_or(Json::Null);
        let (args, kwargs) = arguments(definition, payload, places);
        if !args.is_empty() {
            message.set("args", Json::List(args));
        }
        if !kwargs.is_false() {
            message.set("kwargs", kwargs);
        }
    }
    message
}

/// Takes a payload apart as it was put together.
fn arguments(definition: Option<&Definition>, payload: Json, places: usize) -> (Vec<Json>, Json) {
    let shape = definition.map_or(Shape::Any, Shape::of);
    match (shape, payload) {
        (Shape::Any, Json::Object(members)) if places > 0 => {
            let both = Json::Object(members);
            let args = match both.get("args") {
                Some(Json::List(args)) => args.clone(),
                Some(_) | None => Vec::new(),
            };
            let kwargs = both.get("kwargs").cloned();
            (args, kwargs.unwrap_or_else(Json::empty))
        }
        (Shape::Tuple, Json::List(items)) => (items, Json::empty()),
        (Shape::Named, Json::Object(mut members)) => {
            let fields = definition.map_or(&[][..], |it| it.fields);
            let mut args = Vec::new();
            for field in fields.iter().take(places) {
                let at = members.iter().position(|(name, _)| name == field.name);
                args.push(at.map_or(Json::Null, |at| members.remove(at).1));
            }
            (args, Json::Object(members))
        }
        (Shape::Any, payload @ Json::Object(_)) => (Vec::new(), payload),
        (Shape::Any | Shape::One | Shape::Tuple | Shape::Named, payload) => {
            (vec![payload], Json::empty())
        }
    }
}

/// The message with `***` for the values of secret fields.
pub(crate) fn masked(mut message: Json, definition: Option<&Definition>) -> Json {
    let fields = definition.map_or(&[][..], |it| it.fields);
    if !fields.iter().any(|it| it.secret) {
        return message;
    }
    let Json::Object(members) = &mut message else {
        return message;
    };
    for (key, value) in members {
        match (key.as_str(), value) {
            ("args", Json::List(args)) => {
                let places = args.iter_mut().enumerate();
                for (place, value) in places {
                    // One too many may be the secret as well.
                    if fields.get(place).is_none_or(|it| it.secret) {
                        *value = Json::text("***");
                    }
                }
            }
            ("kwargs", Json::Object(kwargs)) => {
                for (name, value) in kwargs {
                    let known = fields.iter().find(|it| it.name == name);
                    if known.is_none_or(|it| it.secret) {
                        *value = Json::text("***");
                    }
                }
            }
            ("args" | "kwargs", value) => *value = Json::text("***"),
            (_, _) => {}
        }
    }
    message
}

/// Which jobs a command is about: those whose message has these values.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    task: Option<String>,
    others: Vec<(&'static str, String)>,
}

impl Filter {
    /// What `control_data` asks for; what Python takes for false asks for nothing.
    pub(crate) fn of(data: &Json) -> Self {
        let wanted = |key| data.get(key).filter(|it| !it.is_false());
        let others = ["args", "kwargs", "uuid"].into_iter();
        Self {
            task: wanted("task").map(|it| match it.as_str() {
                Some(name) => name.to_owned(),
                // No task is called like this.
                None => it.to_ascii(),
            }),
            others: others
                .filter_map(|key| Some((key, comparable(wanted(key)?))))
                .collect(),
        }
    }

    /// The name of the task that is asked for.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Whether the message of a job of a dispatcher has what is asked for. `meant` is the dispatcher
    /// to which the name leads that is asked for.
    pub(crate) fn matches(&self, message: &Json, dispatcher: &str, meant: Option<&str>) -> bool {
        let same = meant == Some(dispatcher);
        let named = self
            .task
            .as_deref()
            .is_none_or(|name| same || message.get("task").and_then(Json::as_str) == Some(name));
        let has = |(key, wanted): &(&str, String)| {
            message.get(key).map(comparable).as_ref() == Some(wanted)
        };
        named && self.others.iter().all(has)
    }
}

/// A text that is the same for equal values.
fn comparable(value: &Json) -> String {
    let text = value.to_ascii();
    canonical(&text).unwrap_or(text)
}
