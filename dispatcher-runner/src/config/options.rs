//! The table of options that a configuration may override and a command line may set.
//!
//! One row per option of `#[dispatcher(...)]`; parsing, suggestions and help all read this table.

use dispatcher_core::{
    DispatcherOptions, EnvPolicy, Isolation, Leftovers, Missed, OnDuplicate, OnLost, Options,
    Overlap, ScheduleOptions, suggest,
};

use super::OptionValue;

/// One option.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    /// As written.
    pub(crate) name: &'static str,
    /// To whom it belongs.
    pub(crate) owner: OptionOwner,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
}

/// To whom an option belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionOwner {
    /// Frozen in the job's row.
    Job,
    /// One for all jobs of the dispatcher.
    Dispatcher,
    /// Of the dispatcher's schedule; without a schedule it means nothing.
    Schedule,
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
            let set = (OPTIONS[*index].set)(value, &mut target);
            assert!(
                set.is_ok(),
                "invariant: values were checked when they were added"
            );
        }
    }

    /// Whether nothing is overridden.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The whole table.
pub(crate) fn options() -> &'static [OptionSpec] {
    OPTIONS
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
    (spec.set)(value, &mut target).map_err(|why| format!("`{}` {why}", spec.name))
}

fn unknown_option(name: &str) -> String {
    let elsewhere = match name {
        "alias" | "aliases" => "aliases stand in [aliases]: \"other-name\" = \"Name\"",
        "name" => "a dispatcher's name stands in the source, or in [aliases]",
        "unique_key" => "it is given with each job",
        "schema" | "crate" => "it can stand in the source only",
        _ => {
            return match suggest(name, OPTIONS.iter().map(|spec| spec.name)) {
                Some(meant) => format!("unknown option `{name}`; did you mean `{meant}`?"),
                None => {
                    let known: Vec<_> = OPTIONS.iter().map(|spec| spec.name).collect();
                    format!("unknown option `{name}`; known are {}", known.join(", "))
                }
            };
        }
    };
    format!("`{name}` is no option of a section; {elsewhere}")
}

const fn of_job(
    name: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
) -> OptionSpec {
    OptionSpec {
        name,
        owner: OptionOwner::Job,
        set,
    }
}

const fn of_dispatcher(
    name: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
) -> OptionSpec {
    OptionSpec {
        name,
        owner: OptionOwner::Dispatcher,
        set,
    }
}

const fn of_schedule(
    name: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
) -> OptionSpec {
    OptionSpec {
        name,
        owner: OptionOwner::Schedule,
        set,
    }
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
    of_job("timeout", assign!(job.timeout = |it| it.duration_or_none())),
    of_job("grace", assign!(job.grace = |it| it.duration())),
    of_dispatcher(
        "max_queue",
        assign!(dispatcher.max_queue = |it| it.integer(COUNT)),
    ),
    of_dispatcher(
        "concurrency",
        assign!(dispatcher.concurrency = |it| it.integer(COUNT)),
    ),
    of_job(
        "queue",
        assign!(job.queue = |it| it.text("the label of a queue")),
    ),
    of_job("expires", assign!(job.expires = |it| it.duration_or_none())),
    of_dispatcher("schedule", set_schedule),
    of_schedule(
        "timezone",
        assign_schedule!(timezone = |it| it.text("the IANA name of a zone")),
    ),
    of_schedule(
        "missed",
        assign_schedule!(missed = |it| it.word(&words(Missed::ALL, |it| it.as_str()))),
    ),
    of_schedule(
        "overlap",
        assign_schedule!(overlap = |it| it.word(&words(Overlap::ALL, |it| it.as_str()))),
    ),
    of_schedule("jitter", assign_schedule!(jitter = |it| it.duration())),
    of_dispatcher(
        "on_duplicate",
        assign!(dispatcher.on_duplicate = |it| it.word(&words(OnDuplicate::ALL, |it| it.as_str()))),
    ),
    of_job("retries", assign!(job.retries = |it| it.integer(COUNT))),
    of_job("backoff", assign!(job.backoff = |it| it.backoff())),
    of_job(
        "on_lost",
        assign!(job.on_lost = |it| it.word(&words(OnLost::ALL, |it| it.as_str()))),
    ),
    of_job(
        "priority",
        assign!(job.priority = |it| it.integer("a whole number")),
    ),
    of_job("delay", assign!(job.delay = |it| it.duration_or_none())),
    of_job(
        "required_packages",
        assign!(job.required_packages = |it| it.texts()),
    ),
    of_job(
        "required_commands",
        assign!(job.required_commands = |it| it.texts()),
    ),
    of_job(
        "package_includes",
        assign!(job.package_includes = |it| it.texts()),
    ),
    of_job(
        "isolation",
        assign!(job.isolation = |it| it.word(&words(Isolation::ALL, |it| it.as_str()))),
    ),
    of_job(
        "memory_limit",
        assign!(job.memory_limit = |it| it.bytes().map(Some)),
    ),
    of_job(
        "cpu_limit",
        assign!(job.cpu_limit = |it| it.duration_or_none()),
    ),
    of_job(
        "open_files",
        assign!(job.open_files = |it| positive(it).map(Some)),
    ),
    of_job("nice", assign!(job.nice = |it| niceness(it).map(Some))),
    of_job(
        "env",
        assign!(job.env = |it| it.texts().map(EnvPolicy::Only)),
    ),
    of_job(
        "working_directory",
        assign!(job.working_directory = |it| directory(it).map(Some)),
    ),
    of_job(
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
    let schedule = &mut target.dispatcher.schedule;
    schedule.get_or_insert_default().expression = expression;
    Ok(())
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
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(format!("takes {takes}, not {path:?}"))
    }
}
