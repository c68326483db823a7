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
use super::keys::Preset;
use super::work::WORK;

#[cfg(test)]
mod tests;

/// One option.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    /// As written.
    pub(crate) name: &'static str,
    /// What may be written, in words.
    pub(super) takes: &'static str,
    pub(super) preset: Preset,
    /// One sentence.
    pub(super) meaning: &'static str,
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
    takes: &'static str,
    preset: Preset,
    meaning: &'static str,
    set: fn(&OptionValue, &mut Target<'_>) -> Result<(), String>,
) -> OptionSpec {
    OptionSpec {
        name,
        takes,
        preset,
        meaning,
        set,
    }
}

const fn is(value: &'static str) -> Preset {
    Preset::Is(value)
}

const fn words_for(words: &'static str, example: &'static str) -> Preset {
    Preset::Words { words, example }
}

const fn none(example: &'static str) -> Preset {
    words_for("none", example)
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
const DURATION: &str = "a duration";
const DURATION_OR_NONE: &str = "a duration; `0` is none";
const TEXTS: &str = "a text or a list of them";
const POSITIVE: &str = "a whole number from 1 on";

pub(super) static OPTIONS: &[OptionSpec] = &[
    option(
        "timeout",
        DURATION_OR_NONE,
        is("\"5m\""),
        "longest run time of one attempt, waiting not included",
        assign!(job.timeout = |it| it.duration_or_none()),
    ),
    option(
        "grace",
        DURATION,
        is("\"10s\""),
        "time between TERM and KILL",
        assign!(job.grace = |it| it.duration()),
    ),
    option(
        "max_queue",
        COUNT,
        is("10"),
        "unfinished jobs, waiting or running; one more is refused; `0` is unbounded",
        assign!(dispatcher.max_queue = |it| it.integer(COUNT)),
    ),
    option(
        "concurrency",
        COUNT,
        is("1"),
        "attempts running at once, over all supervisors; `0` is as many as there are worker slots",
        assign!(dispatcher.concurrency = |it| it.integer(COUNT)),
    ),
    option(
        "queue",
        "a label",
        is("\"default\""),
        "a label by which a supervisor can be told what to serve",
        assign!(job.queue = |it| label(it)),
    ),
    option(
        "expires",
        DURATION_OR_NONE,
        none("\"1d\""),
        "a job that has waited longer ends as `expired`",
        assign!(job.expires = |it| it.duration_or_none()),
    ),
    option(
        "schedule",
        "`hourly`, `daily`, `weekly`, a cron expression of five fields, or false",
        words_for("as declared", "\"0 3 * * *\""),
        "when jobs with the default payload are submitted; `false` takes a declared schedule away",
        set_schedule,
    ),
    option(
        "timezone",
        "the IANA name of a zone",
        is("\"UTC\""),
        "zone of the schedule",
        assign_schedule!(timezone = |it| zone(it)),
    ),
    option(
        "missed",
        "`skip`, `once` or `all`",
        is("\"once\""),
        "ticks missed while nobody ran: none of them, one run for all, or each",
        assign_schedule!(missed = |it| it.word(&words(Missed::ALL, |it| it.as_str()))),
    ),
    option(
        "overlap",
        "`skip` or `queue`",
        is("\"skip\""),
        "a tick while the last scheduled run is unfinished",
        assign_schedule!(overlap = |it| it.word(&words(Overlap::ALL, |it| it.as_str()))),
    ),
    option(
        "jitter",
        DURATION,
        is("0"),
        "spread of scheduled starts: each waits a time up to this, by chance",
        assign_schedule!(jitter = |it| it.duration()),
    ),
    option(
        "on_duplicate",
        "`parallel`, `serial`, `discard` or `queue_one`",
        is("\"parallel\""),
        "an unfinished job has the same payload: accept, hold until it ends, drop, or accept one more",
        assign!(dispatcher.on_duplicate = |it| it.word(&words(OnDuplicate::ALL, |it| it.as_str()))),
    ),
    option(
        "retries",
        COUNT,
        is("0"),
        "further attempts after a failure, crash or timeout",
        assign!(job.retries = |it| it.integer(COUNT)),
    ),
    option(
        "backoff",
        "`constant(…)`, `linear(…, …)` or `exponential(…, …)`",
        is("\"exponential(1s, 1h)\""),
        "waiting time before them, the longest last; with jitter",
        assign!(job.backoff = |it| it.backoff()),
    ),
    option(
        "on_lost",
        "`rerun` or `fail`",
        is("\"rerun\""),
        "the supervisor was lost while it ran: again, at most 3 times, or a failure",
        assign!(job.on_lost = |it| it.word(&words(OnLost::ALL, |it| it.as_str()))),
    ),
    option(
        "priority",
        "a whole number",
        is("0"),
        "higher first; in order of submission inside one priority",
        assign!(job.priority = |it| it.integer("a whole number")),
    ),
    option(
        "delay",
        DURATION_OR_NONE,
        none("\"10s\""),
        "waiting time before a job may start",
        assign!(job.delay = |it| it.duration_or_none()),
    ),
    option(
        "required_packages",
        TEXTS,
        none("[\"curl\"]"),
        "packages of the operating system that must be installed",
        assign!(job.required_packages = |it| names_in(it)),
    ),
    option(
        "required_commands",
        TEXTS,
        none("[\"jq\"]"),
        "programs that must be on `PATH`",
        assign!(job.required_commands = |it| names_in(it)),
    ),
    option(
        "package_includes",
        TEXTS,
        none("[\"libm.so.6\"]"),
        "shared libraries that are loaded before the job begins",
        assign!(job.package_includes = |it| names_in(it)),
    ),
    option(
        "isolation",
        "`process`, `exec` or `pool`",
        is("\"process\""),
        "forked by the keeper, a fresh image of the program, or a worker that is reused",
        assign!(job.isolation = |it| it.word(&words(Isolation::ALL, |it| it.as_str()))),
    ),
    option(
        "memory_limit",
        "a size",
        none("\"512MiB\""),
        "memory of the whole process tree",
        assign!(job.memory_limit = |it| it.bytes().map(Some)),
    ),
    option(
        "cpu_limit",
        DURATION_OR_NONE,
        none("\"1m\""),
        "CPU time of each of its processes",
        assign!(job.cpu_limit = |it| it.duration_or_none()),
    ),
    option(
        "open_files",
        POSITIVE,
        none("1024"),
        "open descriptors of each of its processes",
        assign!(job.open_files = |it| positive(it).map(Some)),
    ),
    option(
        "nice",
        "a whole number from -20 to 19",
        none("10"),
        "niceness",
        assign!(job.nice = |it| niceness(it).map(Some)),
    ),
    option(
        "env",
        TEXTS,
        words_for("all", "[\"PATH\", \"LANG\"]"),
        "variables of the supervisor's start environment that the job sees",
        assign!(job.env = |it| variables(it).map(EnvPolicy::Only)),
    ),
    option(
        "working_directory",
        "an absolute path",
        words_for("`/`", "\"/srv/myapp\""),
        "where the job starts",
        assign!(job.working_directory = |it| directory(it).map(Some)),
    ),
    option(
        "leftovers",
        "`leave` or `kill`",
        is("\"leave\""),
        "processes that a successful job leaves behind: leave and record, or kill",
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
