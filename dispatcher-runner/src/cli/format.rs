//! Times, durations, causes and options in words.
//!
//! People get local time and rough ages; JSON gets UTC and whole numbers.

use std::time::Duration;

use dispatcher_core::duration::{format_bytes, format_duration};
use dispatcher_core::{
    Backoff, DispatcherOptions, EnvPolicy, JobState, Options, Outcome, Schedule, ScheduleOptions,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::terminal::Colour;
use crate::store::UnixMs;

/// A duration with one or two units, as people say it.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => pair(seconds, 60, 'm', 's'),
        3_600..86_400 => pair(seconds / 60, 60, 'h', 'm'),
        86_400.. => pair(seconds / 3_600, 24, 'd', 'h'),
    }
}

/// How long something took: as [`rough`], with tenths of the first seconds.
pub(crate) fn run_time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 1..10 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        0 | 10.. => rough(duration),
    }
}

fn pair(amount: u64, size: u64, large: char, small: char) -> String {
    match amount % size {
        0 => format!("{}{large}", amount / size),
        rest => format!("{}{large}{rest}{small}", amount / size),
    }
}

/// How long ago something was, or how soon it will be.
pub(crate) fn ago(then: UnixMs, now: UnixMs) -> String {
    let apart = apart(then, now);
    if apart < Duration::from_secs(1) {
        "just now".to_owned()
    } else if then < now {
        format!("{} ago", rough(apart))
    } else {
        format!("in {}", rough(apart))
    }
}

/// How long ago something was, in whole seconds at least.
pub(crate) fn age(then: UnixMs, now: UnixMs) -> String {
    rough(Duration::from_secs(apart(then, now).as_secs()).max(Duration::from_secs(1)))
}

/// The time between two instants, whichever is the earlier.
fn apart(one: UnixMs, other: UnixMs) -> Duration {
    Duration::from_millis(one.abs_diff(other))
}

/// The local time of day; date and offset too where the date is not that of `beside`.
pub(crate) fn local_beside(time: UnixMs, beside: UnixMs) -> String {
    let (whole, beside) = (local(time), local(beside));
    match (whole.split_once(' '), beside.split_once(' ')) {
        (Some((date, rest)), Some((other, _))) if date == other => {
            rest.split(' ').next().unwrap_or(rest).to_owned()
        }
        _ => whole,
    }
}

/// Local date and time, with the offset from UTC.
pub(crate) fn local(time: UnixMs) -> String {
    match Timestamp::from_millisecond(time) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string(),
        Err(_) => format!("{time} ms"),
    }
}

/// UTC as RFC 3339 with milliseconds.
pub(crate) fn utc(time: UnixMs) -> String {
    match Timestamp::from_millisecond(time) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{time} ms"),
    }
}

/// What a state means at a glance.
pub(crate) fn colour_of(state: JobState) -> Colour {
    match state {
        JobState::Queued => Colour::Plain,
        JobState::Running => Colour::Busy,
        JobState::Succeeded => Colour::Good,
        JobState::Failed => Colour::Bad,
        JobState::Cancelled => Colour::Odd,
    }
}

/// How an attempt ended, in one sentence without its subject.
pub(crate) fn sentence(outcome: &Outcome, options: &Options) -> String {
    let mut text = outcome.cause.sentence(options);
    if outcome.unclean_exit {
        text.push_str(", but its process ended badly after that");
    }
    match outcome.left_processes {
        0 => {}
        1 => text.push_str("; it left a process behind"),
        many => text.push_str(&format!("; it left {many} processes behind")),
    }
    if outcome.leaked_output {
        text.push_str("; somebody still held its output open, which may be incomplete");
    }
    text
}

/// A schedule in words.
pub(crate) fn schedule(options: &ScheduleOptions) -> String {
    let zone = &options.timezone;
    match Schedule::parse(&options.expression) {
        Ok(schedule) => format!("{} ({zone})", schedule.describe()),
        // Written by a program that knows other expressions.
        Err(_) => format!("{} ({zone})", options.expression),
    }
}

/// Every option of a job, by name, as it would be written.
pub(crate) fn job_options(options: &Options) -> Vec<(&'static str, String)> {
    let Options {
        timeout,
        grace,
        queue,
        expires,
        unique_key,
        // Shown with the job that has one, and with its dispatcher.
        on_duplicate: _,
        retries,
        backoff,
        on_lost,
        priority,
        delay,
        required_packages,
        required_commands,
        package_includes,
        isolation,
        memory_limit,
        cpu_limit,
        open_files,
        nice,
        env,
        working_directory,
        leftovers,
    } = options;
    vec![
        ("timeout", or_none(timeout.map(format_duration))),
        ("grace", format_duration(*grace)),
        ("queue", queue.clone()),
        ("expires", or_none(expires.map(format_duration))),
        ("unique_key", or_none(unique_key.clone())),
        ("retries", retries.to_string()),
        ("backoff", backoff_text(backoff)),
        ("on_lost", on_lost.to_string()),
        ("priority", priority.to_string()),
        ("delay", or_none(delay.map(format_duration))),
        ("required_packages", list(required_packages)),
        ("required_commands", list(required_commands)),
        ("package_includes", list(package_includes)),
        ("isolation", isolation.to_string()),
        ("memory_limit", or_none(memory_limit.map(format_bytes))),
        ("cpu_limit", or_none(cpu_limit.map(format_duration))),
        (
            "open_files",
            or_none(open_files.map(|number| number.to_string())),
        ),
        ("nice", or_none(nice.map(|number| number.to_string()))),
        ("env", environment(env)),
        ("working_directory", or_none(working_directory.clone())),
        ("leftovers", leftovers.to_string()),
    ]
}

/// Every option of a dispatcher, by name, as it would be written.
pub(crate) fn dispatcher_options(options: &DispatcherOptions) -> Vec<(&'static str, String)> {
    let DispatcherOptions {
        max_queue,
        concurrency,
        on_duplicate,
        schedule: recurring,
    } = options;
    let mut texts = vec![
        ("max_queue", max_queue.to_string()),
        ("concurrency", concurrency.to_string()),
        ("on_duplicate", on_duplicate.to_string()),
    ];
    if let Some(recurring) = recurring {
        texts.push(("schedule", schedule(recurring)));
        texts.push(("missed", recurring.missed.to_string()));
        texts.push(("overlap", recurring.overlap.to_string()));
        texts.push(("jitter", format_duration(recurring.jitter)));
    }
    texts
}

/// The options of a job that differ from the documented defaults.
pub(crate) fn changed_job_options(options: &Options) -> Vec<(&'static str, String)> {
    let defaults = job_options(&Options::default());
    let mut texts = job_options(options);
    texts.retain(|text| !defaults.contains(text));
    texts
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "none".to_owned())
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn environment(env: &EnvPolicy) -> String {
    match env {
        EnvPolicy::Inherit => "all".to_owned(),
        EnvPolicy::Only(names) => list(names),
    }
}

fn backoff_text(backoff: &Backoff) -> String {
    match *backoff {
        Backoff::Constant { delay } => format!("constant({})", format_duration(delay)),
        Backoff::Linear { step, max } => {
            format!(
                "linear({}, {})",
                format_duration(step),
                format_duration(max)
            )
        }
        Backoff::Exponential { base, max } => {
            format!(
                "exponential({}, {})",
                format_duration(base),
                format_duration(max)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rough() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (61_000, "1m1s"),
            (3_600_000, "1h"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(rough(Duration::from_millis(ms)), text);
        }
        assert_eq!(run_time(Duration::from_millis(999)), "999ms");
        assert_eq!(run_time(Duration::from_millis(1_506)), "1.5s");
        assert_eq!(run_time(Duration::from_millis(10_999)), "10s");
        assert_eq!(age(0, 500), "1s");
        assert_eq!(age(0, 90_500), "1m30s");
        assert_eq!(ago(0, 500), "just now");
        assert_eq!(ago(0, 1_900), "1s ago");
        assert_eq!(ago(0, 90_000), "1m30s ago");
        assert_eq!(ago(90_000, 0), "in 1m30s");
    }

    #[test]
    fn json_times_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_790_000_000_123), "2026-09-21T14:13:20.123Z");
    }

    #[test]
    fn only_changed_options_are_told() {
        let options = Options {
            timeout: None,
            retries: 2,
            ..Options::default()
        };
        let changed = changed_job_options(&options);
        assert_eq!(
            changed,
            [("timeout", "none".to_owned()), ("retries", "2".to_owned())]
        );
        assert_eq!(changed_job_options(&Options::default()), []);
    }
}
