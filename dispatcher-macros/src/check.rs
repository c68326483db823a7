//! Judges what was written: unknown, repeated, wrong and contradicting options, and wrong shapes.
//!
//! Always gives a result, as far as it can be read; whoever calls looks at the errors first.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Ident, Path};

use crate::ast::{Input, Shape};
use crate::attr::Entry;
use crate::errors::Errors;
use crate::read::{Reader, Setting, name_mistake};
use crate::table::{self, Home, Known, Takes};
use crate::value::{Value, ValueKind};

/// What the options mean.
pub(crate) struct Checked {
    /// Path to `dispatcher_core`.
    pub(crate) krate: Path,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) job: Vec<(&'static str, Setting)>,
    pub(crate) dispatcher: Vec<(&'static str, Setting)>,
    pub(crate) schedule: Option<Schedule>,
    /// Where `schema` was asked for.
    pub(crate) schema: Option<Span>,
    pub(crate) fields: Vec<Field>,
}

/// A schedule, with the place where it was asked for.
pub(crate) struct Schedule {
    pub(crate) span: Span,
    pub(crate) settings: Vec<(&'static str, Setting)>,
}

/// A field of the payload.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) documentation: String,
    pub(crate) secret: bool,
}

/// Judges the whole item.
pub(crate) fn check(input: &Input, errors: &mut Errors) -> Checked {
    check_shape(input, errors);
    let mut checked = Checked {
        krate: syn::parse_quote!(::dispatcher_core),
        name: input.ident.unraw().to_string(),
        aliases: Vec::new(),
        job: Vec::new(),
        dispatcher: Vec::new(),
        schedule: None,
        schema: None,
        fields: Vec::new(),
    };
    let mut options: Vec<Recognised<'_>> = Vec::new();
    let mut schedule = Vec::new();
    let mut aliases = Vec::new();
    for entry in &input.entries {
        let Some(known) = recognise(entry, &options, errors) else {
            continue;
        };
        options.push((known, entry));
        let mut reader = Reader { known, errors };
        match known.home {
            Home::Definition => define(&mut reader, entry, &mut checked, &mut aliases),
            Home::Job => checked.job.extend(named(&mut reader, entry)),
            Home::Dispatcher => checked.dispatcher.extend(named(&mut reader, entry)),
            Home::Schedule => schedule.extend(named(&mut reader, entry)),
        }
    }
    check_own_name(input, &options, &checked, errors);
    check_aliases(aliases, &mut checked, errors);
    checked.schedule = check_schedule(&options, schedule, errors);
    check_capacity(&options, &checked, errors);
    checked.fields = check_fields(input, errors);
    checked
}

type Recognised<'a> = (&'static Known, &'a Entry);

/// The option of an entry; an unknown or repeated one is reported.
fn recognise(
    entry: &Entry,
    before: &[Recognised<'_>],
    errors: &mut Errors,
) -> Option<&'static Known> {
    let key = entry.key.to_string();
    let Some(known) = table::find(&key) else {
        errors.at(entry.key.span(), unknown(&key));
        return None;
    };
    if !known.repeats() && before.iter().any(|(other, _)| other.name == key) {
        let message = format!("`{key}` is given a second time; remove one of the two");
        errors.at(entry.key.span(), message);
        return None;
    }
    Some(known)
}

fn unknown(key: &str) -> String {
    match key {
        "unique_key" => "`unique_key` belongs to one job, not to its dispatcher; \
             write `job.dispatch().unique_key(\"…\")` where the job is submitted"
            .to_owned(),
        "secret" => "`secret` is an option of a field, found it on the struct; \
             write `#[dispatcher(secret)]` above the field"
            .to_owned(),
        key => table::unknown(key),
    }
}

fn named(reader: &mut Reader<'_>, entry: &Entry) -> Option<(&'static str, Setting)> {
    let name = reader.known.name;
    let field = if name == "schedule" {
        "expression"
    } else {
        name
    };
    Some((field, reader.setting(&entry.value)?))
}

/// Name, alias, schema or crate.
fn define<'a>(
    reader: &mut Reader<'_>,
    entry: &'a Entry,
    checked: &mut Checked,
    aliases: &mut Vec<(String, &'a Value)>,
) {
    let value = &entry.value;
    let name = reader.known.name;
    match (reader.known.takes, &value.kind) {
        (Takes::Nothing, ValueKind::Absent) => checked.schema = Some(entry.key.span()),
        (Takes::Nothing, _) => reader.errors.over(
            &value.tokens,
            format!(
                "`{name}` takes no value, found {value}; write `{name}` alone, or leave it out"
            ),
        ),
        (Takes::Path, ValueKind::Path(path)) => checked.krate = path.clone(),
        (Takes::Path, _) => {
            reader.wrong_kind::<()>(value, "a path without quotes");
        }
        _ => match reader.name(value) {
            Some(text) if reader.known.repeats() => aliases.push((text, value)),
            Some(text) => checked.name = text,
            None => {}
        },
    }
}

/// The struct's own name, when it is the dispatcher's, keeps to the rules of names too.
fn check_own_name(
    input: &Input,
    options: &[Recognised<'_>],
    checked: &Checked,
    errors: &mut Errors,
) {
    if options.iter().any(|(known, _)| known.name == "name") {
        return;
    }
    if let Some(mistake) = name_mistake(&checked.name) {
        let message = format!(
            "the struct's name is its dispatcher's, but {mistake}; \
             write `#[dispatcher(name = \"…\")]` with a shorter one"
        );
        errors.at(input.ident.span(), message);
    }
}

fn check_aliases(aliases: Vec<(String, &Value)>, checked: &mut Checked, errors: &mut Errors) {
    for (alias, value) in aliases {
        if alias == checked.name {
            let message =
                format!("the alias {alias:?} is the dispatcher's own name; remove this alias");
            errors.over(&value.tokens, message);
        } else if checked.aliases.contains(&alias) {
            let message = format!("the alias {alias:?} is given a second time; remove this one");
            errors.over(&value.tokens, message);
        } else {
            checked.aliases.push(alias);
        }
    }
}

/// Options that only say how a schedule behaves need one.
fn check_schedule(
    options: &[Recognised<'_>],
    settings: Vec<(&'static str, Setting)>,
    errors: &mut Errors,
) -> Option<Schedule> {
    let key =
        |(known, entry): &Recognised<'_>| (known.name == "schedule").then(|| entry.key.clone());
    let schedule: Option<Ident> = options.iter().find_map(key);
    if let Some(schedule) = schedule {
        return Some(Schedule {
            span: schedule.span(),
            settings,
        });
    }
    for (known, entry) in options {
        if known.home == Home::Schedule {
            let message = format!(
                "`{}` belongs to a schedule, found none; add `schedule = \"daily\"`, \
                 or remove the option",
                known.name
            );
            errors.at(entry.key.span(), message);
        }
    }
    None
}

/// Running jobs are unfinished ones, so that a shorter queue makes the concurrency unreachable.
fn check_capacity(options: &[Recognised<'_>], checked: &Checked, errors: &mut Errors) {
    let number = |name| {
        let setting = checked.dispatcher.iter().find(|(known, _)| *known == name);
        match setting {
            Some((_, Setting::Unsigned(number))) => Some(*number),
            Some(_) | None => None,
        }
    };
    let (Some(max_queue), Some(concurrency)) = (number("max_queue"), number("concurrency")) else {
        return;
    };
    if max_queue == 0 || concurrency <= max_queue {
        return;
    }
    for (known, entry) in options {
        if known.name == "concurrency" {
            let message = format!(
                "`concurrency = {concurrency}` can never be reached, because running jobs count \
                 towards `max_queue = {max_queue}`; write `max_queue = {concurrency}` or more \
                 (0 is unbounded)"
            );
            errors.over(&entry.value.tokens, message);
        }
    }
}

fn check_fields(input: &Input, errors: &mut Errors) -> Vec<Field> {
    let mut fields = Vec::new();
    for field in &input.fields {
        let secret = check_field(&field.entries, errors);
        let Some(name) = &field.name else {
            continue;
        };
        fields.push(Field {
            name: name.clone(),
            type_name: field.type_name.clone(),
            documentation: field.documentation.clone(),
            secret,
        });
    }
    fields
}

/// Whether the field is secret.
fn check_field(entries: &[Entry], errors: &mut Errors) -> bool {
    let mut secret = false;
    for entry in entries {
        let key = entry.key.to_string();
        if key != "secret" {
            errors.at(entry.key.span(), unknown_of_field(&key));
            continue;
        }
        if secret {
            let message = "`secret` is given a second time; remove one of the two";
            errors.at(entry.key.span(), message);
        }
        secret = true;
        if !matches!(entry.value.kind, ValueKind::Absent) {
            let message = format!(
                "`secret` takes no value, found {}; write `#[dispatcher(secret)]`, or leave it out",
                entry.value
            );
            errors.over(&entry.value.tokens, message);
        }
    }
    secret
}

fn unknown_of_field(key: &str) -> String {
    if table::find(key).is_some() {
        return format!(
            "`{key}` is an option of the struct, found it on a field; \
             move it to the `#[dispatcher(...)]` above the struct"
        );
    }
    match table::nearest_of(key, std::iter::once("secret")) {
        Some(meant) => format!("a field has no option `{key}`; did you mean `{meant}`?"),
        None => format!("a field has no option `{key}`; there is only `secret`"),
    }
}

fn check_shape(input: &Input, errors: &mut Errors) {
    let ident = &input.ident;
    match input.shape {
        Shape::Struct => {}
        Shape::Enum(span) => errors.at(
            span,
            format!(
                "a dispatcher is a struct, found an enum; keep the enum without the derive \
                 and write `struct Run{name}({ident});`, or make each variant a dispatcher",
                name = ident.unraw()
            ),
        ),
        Shape::Union(span) => errors.at(
            span,
            "a dispatcher is a struct, found a union, which cannot be stored as JSON; \
             write a struct with the fields that the job needs",
        ),
    }
    let generics = &input.generics;
    if generics.lifetimes().next().is_some() {
        errors.over(
            &generics.params,
            "a dispatcher owns its data, because it is stored and sent to another process, \
             found a lifetime; write owned fields (`String` for `&str`, `Vec<u8>` for `&[u8]`)",
        );
    } else if !generics.params.is_empty() {
        errors.over(
            &generics.params,
            format!(
                "a dispatcher is one type with one name, found generic parameters; \
                 keep `{ident}` without the derive and wrap a concrete type: \
                 `struct Run{name}({ident}<…>);`",
                name = ident.unraw()
            ),
        );
    }
}
