//! The table of options that a configuration may override and a command line may set.
//!
//! One row per option of `#[dispatcher(...)]`; nothing else knows their names. Whatever is kept as
//! an override has been checked, so that applying it cannot fail.

use dispatcher_core::{
    DispatcherOptions, EnvPolicy, Isolation, Leftovers, Missed, OnDuplicate, OnLost, Options,
    Overlap, Schedule, ScheduleOptions, suggest,
};
use jiff::tz::TimeZone;

use super::OptionValue;
use super::checked::{directory_mistake, is_name, is_variable, label_mistake};
use super::error::one_line;
use super::work::WORK;

/// One option.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    /// As written.
    pub(crate) name: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
}

/// What an option is set on.
struct Target<'a> {
    job: &'a mut Options,
    dispatcher: &'a mut DispatcherOptions,
}

/// Overrides of one dispatcher; every value was checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides(Vec<(usize, OptionValue)>);

impl Overrides {
    /// Adds one; the last value of an option counts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn set(&mut self, name: &str, value: OptionValue) -> Result<(), String> {
        let Some(index) = OPTIONS.iter().position(|spec| spec.name == name) else {
            return Err(unknown_option(name));
        };
        check(&OPTIONS[index], &value)?;
        self.0.retain(|(other, _)| *other != index);
        self.0.push((index, value));
        // In the order of the table, so that a schedule is there before its zone.
        self.0.sort_by_key(|(index, _)| *index);
        Ok(())
    }

    /// Sets every overridden option.
    pub(crate) fn apply(&self, job: &mut Options, dispatcher: &mut DispatcherOptions) {
        for (index, value) in &self.0 {
            let mut target = Target { job, dispatcher };
            // It was checked when it was added; but zones are files, which may go.
            if let Err(why) = (OPTIONS[*index].set)(value, &mut target) {
                tracing::warn!(
                    option = OPTIONS[*index].name,
                    why,
                    "an override has no effect"
                );
            }
        }
    }

    /// The options of a schedule that are set here.
    pub(super) fn of_schedule(&self) -> Vec<&'static str> {
        let names = self.0.iter().map(|(index, _)| OPTIONS[*index].name);
        names.filter(|name| OF_SCHEDULE.contains(name)).collect()
    }

    /// What is set here, in the order of the table.
    #[cfg(test)]
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &OptionValue)> {
        let given = self.0.iter();
        given.map(|(index, value)| (OPTIONS[*index].name, value))
    }

    /// Whether an option is set here.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(index, _)| OPTIONS[*index].name == name)
    }
}

/// Options that mean something with a schedule only.
const OF_SCHEDULE: &[&str] = &["timezone", "missed", "overlap", "jitter"];

/// Every option that may be overridden.
pub(super) fn names() -> Vec<&'static str> {
    OPTIONS.iter().map(|spec| spec.name).collect()
}

fn check(spec: &OptionSpec, value: &OptionValue) -> Result<(), String> {
    let mut job = Options::default();
    let mut dispatcher = DispatcherOptions {
        schedule: Some(ScheduleOptions::default()),
        ..DispatcherOptions::default()
    };
    let mut target = Target {
        job: &mut job,
        dispatcher: &mut dispatcher,
    };
    (spec.set)(value, &mut target).map_err(|why| one_line(&format!("`{}` {why}", spec.name)))
}

fn unknown_option(name: &str) -> String {
    let elsewhere = match name {
        "alias" | "aliases" => "aliases stand in [aliases]: \"other-name\" = \"Name\"",
        "name" => "a dispatcher's name stands in the source, or in [aliases]",
        "unique_key" => "it is given with each job",
        "schema" | "crate" => "it can stand in the source only",
        _ => {
            let of_work = WORK.iter().map(|key| key.name);
            let all = OPTIONS.iter().map(|spec| spec.name).chain(of_work);
            let meant = suggest(name, all);
            let name = one_line(name);
            return match meant {
                Some(meant) => format!("unknown option `{name}`; did you mean `{meant}`?"),
                None => {
                    format!("unknown option `{name}`; known are {}", names().join(", "))
                }
            };
        }
    };
    format!("`{name}` is no option of a section; {elsewhere}")
}

const fn option(
    name: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
) -> OptionSpec {
    OptionSpec { name, set }
}

/// Assigns the parsed value to a field.
macro_rules! assign {
    ($field:ident . $name:ident = |$value:ident| $parse:expr) => {
        |$value, target| {
            target.$field.$name = $parse?;
            Ok(())
        }
    };
}

/// Assigns the parsed value to a field of the schedule, if there is one.
macro_rules! assign_schedule {
    ($name:ident = |$value:ident| $parse:expr) => {
        |$value, target| {
            let parsed = $parse?;
            if let Some(schedule) = &mut target.dispatcher.schedule {
                schedule.$name = parsed;
            }
            Ok(())
        }
    };
}

const COUNT: &str = "a whole number from 0 on";
const POSITIVE: &str = "a whole number from 1 on";

static OPTIONS: &[OptionSpec] = &[
    option("timeout", assign!(job.timeout = |it| it.duration_or_none())),
    option("grace", assign!(job.grace = |it| it.duration())),
    option(
        "max_queue",
        assign!(dispatcher.max_queue = |it| it.integer(COUNT)),
    ),
    option(
        "concurrency",
        assign!(dispatcher.concurrency = |it| it.integer(COUNT)),
    ),
    option("queue", assign!(job.queue = |it| label(it))),
    option("expires", assign!(job.expires = |it| it.duration_or_none())),
    option("schedule", set_schedule),
    option("timezone", assign_schedule!(timezone = |it| zone(it))),
    option(
        "missed",
        assign_schedule!(missed = |it| it.word(&words(Missed::ALL, |it| it.as_str()))),
    ),
    option(
        "overlap",
        assign_schedule!(overlap = |it| it.word(&words(Overlap::ALL, |it| it.as_str()))),
    ),
    option("jitter", assign_schedule!(jitter = |it| it.duration())),
    option(
        "on_duplicate",
        assign!(dispatcher.on_duplicate = |it| it.word(&words(OnDuplicate::ALL, |it| it.as_str()))),
    ),
    option("retries", assign!(job.retries = |it| it.integer(COUNT))),
    option("backoff", assign!(job.backoff = |it| it.backoff())),
    option(
        "on_lost",
        assign!(job.on_lost = |it| it.word(&words(OnLost::ALL, |it| it.as_str()))),
    ),
    option(
        "priority",
        assign!(job.priority = |it| it.integer("a whole number")),
    ),
    option("delay", assign!(job.delay = |it| it.duration_or_none())),
    option(
        "required_packages",
        assign!(job.required_packages = |it| names_in(it)),
    ),
    option(
        "required_commands",
        assign!(job.required_commands = |it| names_in(it)),
    ),
    option(
        "package_includes",
        assign!(job.package_includes = |it| names_in(it)),
    ),
    option(
        "isolation",
        assign!(job.isolation = |it| it.word(&words(Isolation::ALL, |it| it.as_str()))),
    ),
    option(
        "memory_limit",
        assign!(job.memory_limit = |it| it.bytes().map(Some)),
    ),
    option(
        "cpu_limit",
        assign!(job.cpu_limit = |it| it.duration_or_none()),
    ),
    option(
        "open_files",
        assign!(job.open_files = |it| positive(it).map(Some)),
    ),
    option("nice", assign!(job.nice = |it| niceness(it).map(Some))),
    option(
        "env",
        assign!(job.env = |it| variables(it).map(EnvPolicy::Only)),
    ),
    option(
        "working_directory",
        assign!(job.working_directory = |it| directory(it).map(Some)),
    ),
    option(
        "leftovers",
        assign!(job.leftovers = |it| it.word(&words(Leftovers::ALL, |it| it.as_str()))),
    ),
];

fn words<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|value| text(*value)).collect()
}

/// A text sets the expression; `false` takes the declared schedule away.
fn set_schedule(value: &OptionValue, target: &mut Target<'_>) -> Result<(), String> {
    if *value == OptionValue::Boolean(false) {
        target.dispatcher.schedule = None;
        return Ok(());
    }
    let takes = "\"hourly\", \"daily\", \"weekly\", a cron expression of five fields, or false";
    let expression = value.text(takes)?;
    if let Err(error) = Schedule::parse(&expression) {
        return Err(format!("takes {takes}, not {expression:?}: {error}"));
    }
    let schedule = &mut target.dispatcher.schedule;
    schedule.get_or_insert_default().expression = expression;
    Ok(())
}

/// A zone that this machine knows, so that a mistake is found at the start.
fn zone(value: &OptionValue) -> Result<String, String> {
    let takes = "the IANA name of a zone, such as \"Europe/Berlin\"";
    let name = value.text(takes)?;
    match TimeZone::get(&name) {
        Ok(_) => Ok(name),
        Err(error) => Err(format!("takes {takes}, not {name:?}: {error}")),
    }
}

fn positive(value: &OptionValue) -> Result<u64, String> {
    match value.integer(POSITIVE)? {
        0 => Err(format!("takes {POSITIVE}, not 0")),
        number => Ok(number),
    }
}

fn niceness(value: &OptionValue) -> Result<i32, String> {
    let takes = "a whole number from -20 to 19";
    match value.integer(takes)? {
        nice @ -20..=19 => Ok(nice),
        other => Err(format!("takes {takes}, not {other}")),
    }
}

fn directory(value: &OptionValue) -> Result<String, String> {
    let takes = "an absolute path";
    let path = value.text(takes)?;
    match directory_mistake(&path) {
        None => Ok(path),
        Some(_) => Err(format!("takes {takes}, not {path:?}")),
    }
}

fn label(value: &OptionValue) -> Result<String, String> {
    let takes = "the label of a queue";
    let label = value.text(takes)?;
    match label_mistake(&label) {
        None => Ok(label),
        Some(mistake) => Err(format!("takes {takes}, not {label:?}: {mistake}")),
    }
}

/// Labels that a service claims.
pub(super) fn labels(value: &OptionValue) -> Result<Vec<String>, String> {
    let labels = value.texts()?;
    let odd = labels
        .iter()
        .find_map(|label| label_mistake(label).map(|mistake| (label, mistake)));
    match odd {
        None => Ok(labels),
        Some((label, mistake)) => Err(format!("takes labels, not {label:?}: {mistake}")),
    }
}

fn names_in(value: &OptionValue) -> Result<Vec<String>, String> {
    let names = value.texts()?;
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(odd) => Err(format!("takes names, not {odd:?}")),
    }
}

fn variables(value: &OptionValue) -> Result<Vec<String>, String> {
    let names = value.texts()?;
    match names.iter().find(|name| !is_variable(name)) {
        None => Ok(names),
        Some(odd) => Err(format!("takes names of variables, not {odd:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: impl Into<OptionValue>) -> Result<Overrides, String> {
        let mut overrides = Overrides::default();
        overrides.set(name, value.into()).map(|()| overrides)
    }

    fn list(items: &[&str]) -> OptionValue {
        OptionValue::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn the_ends_of_each_option_are_taken() {
        let whole_century = 36_500 * 86_400;
        for (name, value) in [
            ("timeout", OptionValue::from(0)),
            ("timeout", OptionValue::from(whole_century)),
            ("timeout", OptionValue::from("36500d")),
            ("grace", OptionValue::from(0)),
            ("max_queue", OptionValue::from(0)),
            ("max_queue", OptionValue::from(i64::from(u32::MAX))),
            ("concurrency", OptionValue::from(i64::from(u32::MAX))),
            ("retries", OptionValue::from(i64::from(u32::MAX))),
            ("priority", OptionValue::from(i64::from(i32::MIN))),
            ("priority", OptionValue::from(i64::from(i32::MAX))),
            ("nice", OptionValue::from(-20)),
            ("nice", OptionValue::from(19)),
            ("open_files", OptionValue::from(i64::MAX)),
            ("memory_limit", OptionValue::from(1)),
            ("memory_limit", OptionValue::from(i64::MAX)),
            ("cpu_limit", OptionValue::from("1ms")),
            ("queue", OptionValue::from(7)),
            ("queue", OptionValue::from("é-1/x")),
            ("backoff", OptionValue::from("constant(0s)")),
            ("backoff", OptionValue::from("exponential(36500d, 36500d)")),
            ("env", list(&[])),
            ("required_packages", list(&[])),
            ("working_directory", OptionValue::from("/")),
        ] {
            let shown = format!("{name} = {value:?}");
            if let Err(why) = set(name, value) {
                panic!("{shown}: {why}");
            }
        }
    }

    #[test]
    fn what_lies_beyond_is_refused() {
        for (name, value) in [
            ("timeout", OptionValue::from(36_500 * 86_400 + 1)),
            ("timeout", OptionValue::from(i64::MAX)),
            ("timeout", OptionValue::from("36501d")),
            ("timeout", OptionValue::from(-1)),
            ("grace", OptionValue::from("")),
            ("max_queue", OptionValue::from(i64::from(u32::MAX) + 1)),
            ("concurrency", OptionValue::from(-1)),
            ("concurrency", OptionValue::from("2")),
            ("retries", OptionValue::from(i64::from(u32::MAX) + 1)),
            ("priority", OptionValue::from(i64::from(i32::MAX) + 1)),
            ("priority", OptionValue::from(i64::from(i32::MIN) - 1)),
            ("nice", OptionValue::from(20)),
            ("nice", OptionValue::from(-21)),
            ("open_files", OptionValue::from(0)),
            ("memory_limit", OptionValue::from(0)),
            ("memory_limit", OptionValue::from("512M")),
            ("queue", OptionValue::from("")),
            ("queue", OptionValue::from("a,b")),
            ("queue", OptionValue::from("a b")),
            ("backoff", OptionValue::from("linear(2s, 1s)")),
            ("backoff", OptionValue::from("constant(36501d)")),
            ("on_duplicate", OptionValue::from("Serial")),
            ("on_lost", OptionValue::from("")),
            ("leftovers", OptionValue::from(true)),
            ("env", list(&["A=1"])),
            ("env", list(&[""])),
            ("required_packages", list(&["a", " "])),
            ("required_commands", OptionValue::from("a\0b")),
            ("package_includes", list(&["\0"])),
            ("working_directory", OptionValue::from("srv")),
            ("working_directory", OptionValue::from("/a\0b")),
        ] {
            let shown = format!("{name} = {value:?}");
            let why = set(name, value).map(drop).expect_err(&shown);
            assert!(
                why.starts_with(&format!("`{name}` takes ")),
                "{shown}: {why}"
            );
        }
    }

    /// Whatever a configuration takes, a job may have: nothing is refused only when it is sent.
    #[test]
    fn what_is_taken_can_be_sent() {
        let zero = OptionValue::from(0);
        for name in ["timeout", "grace", "expires", "delay", "cpu_limit"] {
            let overrides = set(name, zero.clone()).unwrap();
            let mut job = Options::default();
            overrides.apply(&mut job, &mut DispatcherOptions::default());
            assert_eq!(super::super::checked(job.clone()), Ok(job), "{name}");
        }
    }
}
