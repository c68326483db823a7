//! From `args` and `kwargs` to the payload of a dispatcher, and what is wrong with them.
//!
//! The reasons quote no values: some of them may be secrets.

use dispatcher_core::{Definition, PayloadKind};

use super::json::{Json, Odd};
use super::message::Task;

/// Why the arguments of a task are no payload of its dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("`args` is no list")]
    ArgsIsNoList,
    #[error("`kwargs` is no object")]
    KwargsIsNoObject,
    #[error("`{0}` is no number of seconds")]
    NoTime(&'static str),
    #[error("{name} takes {takes} and was given {given}")]
    TooMany {
        name: &'static str,
        takes: String,
        given: usize,
    },
    #[error("{name} was given `{field}` twice: in `args` and in `kwargs`")]
    Twice {
        name: &'static str,
        field: &'static str,
    },
    #[error("{name} has no field `{field}`; it has {fields}")]
    NoField {
        name: &'static str,
        field: String,
        fields: String,
    },
    #[error("{name} takes its arguments by place, not by name")]
    ByPlace { name: &'static str },
    #[error("`{word}` in `{place}` is no JSON, and no value of a field")]
    NotFinite { word: &'static str, place: String },
    #[error("the text in `{place}` has half of a surrogate pair, which is no character")]
    HalfPair { place: String },
}

/// How the values of a dispatcher look in its payload.
pub(super) enum Shape {
    /// Members by name.
    Named,
    /// A tuple with one field is that field.
    One,
    /// A tuple is a list.
    Tuple,
    /// Whatever was sent.
    Any,
}

impl Shape {
    pub(super) fn of(definition: &Definition) -> Self {
        match definition.payload {
            PayloadKind::Any => return Self::Any,
            PayloadKind::Fields => {}
        }
        let mut places = definition.fields.iter().enumerate();
        let tuple = places.all(|(place, field)| field.name == place.to_string());
        match definition.fields.len() {
            0 => Self::Named,
            1 if tuple => Self::One,
            2.. if tuple => Self::Tuple,
            1.. => Self::Named,
        }
    }
}

/// The payload of a task, as JSON; whether it fits the types of the fields is seen later.
pub(crate) fn payload_of(definition: &Definition, task: &Task) -> Result<String, Mismatch> {
    let (args, kwargs) = (task.args()?, task.kwargs()?);
    check_odd("args", &Json::List(args.to_vec()))?;
    check_odd("kwargs", &Json::Object(kwargs.to_vec()))?;
    let name = definition.name;
    let payload = match Shape::of(definition) {
        Shape::Any if args.is_empty() => Json::Object(kwargs.to_vec()),
        Shape::Any => Json::object([
            ("args", Json::List(args.to_vec())),
            ("kwargs", Json::Object(kwargs.to_vec())),
        ]),
        Shape::One | Shape::Tuple if !kwargs.is_empty() => {
            return Err(Mismatch::ByPlace { name });
        }
        Shape::Tuple => {
            check_count(definition, args)?;
            Json::List(args.to_vec())
        }
        Shape::One => {
            check_count(definition, args)?;
            // Without it the type says what is missing.
            args.first().cloned().unwrap_or(Json::Null)
        }
        Shape::Named => {
            check_count(definition, args)?;
            members(definition, args, kwargs)?
        }
    };
    Ok(payload.to_ascii())
}

fn members(
    definition: &Definition,
    args: &[Json],
    kwargs: &[(String, Json)],
) -> Result<Json, Mismatch> {
    let name = definition.name;
    let places = definition.fields.iter().zip(args);
    let mut members: Vec<(String, Json)> = places
        .map(|(field, value)| (field.name.to_owned(), value.clone()))
        .collect();
    for (key, value) in kwargs {
        let place = definition.fields.iter().position(|it| it.name == key);
        match place {
            None => {
                return Err(Mismatch::NoField {
                    name,
                    field: key.clone(),
                    fields: fields(definition),
                });
            }
            Some(place) if place < args.len() => {
                let field = definition.fields[place].name;
                return Err(Mismatch::Twice { name, field });
            }
            Some(_) => members.push((key.clone(), value.clone())),
        }
    }
    Ok(Json::Object(members))
}

fn fields(definition: &Definition) -> String {
    let names = definition.fields.iter().map(|it| format!("`{}`", it.name));
    match definition.fields {
        [] => "none".to_owned(),
        _ => names.collect::<Vec<_>>().join(", "),
    }
}

fn check_count(definition: &Definition, args: &[Json]) -> Result<(), Mismatch> {
    let takes = definition.fields.len();
    if args.len() <= takes {
        return Ok(());
    }
    Err(Mismatch::TooMany {
        name: definition.name,
        takes: match takes {
            0 => "no arguments".to_owned(),
            1 => "1 argument".to_owned(),
            more => format!("{more} arguments"),
        },
        given: args.len(),
    })
}

fn check_odd(whole: &str, value: &Json) -> Result<(), Mismatch> {
    let Some((path, odd)) = value.odd() else {
        return Ok(());
    };
    let place = format!("{whole}{path}");
    Err(match odd {
        Odd::NotFinite(word) => Mismatch::NotFinite { word, place },
        Odd::HalfPair(_) => Mismatch::HalfPair { place },
    })
}

/// A payload that its dispatcher refuses, and that says why: the job of a task with a mismatch.
/// `None` if the dispatcher takes anything at all.
pub(crate) fn refused_payload(definition: &Definition, why: &str) -> Option<String> {
    let why = Json::text(why);
    let candidates = [
        why.clone(),
        Json::List(vec![why.clone()]),
        Json::object([("", why)]),
    ];
    candidates.iter().map(Json::to_ascii).find(|payload| {
        let mut options = (definition.options)();
        (definition.check)(payload, &mut options).is_err()
    })
}
