//! `schedule`: shows what runs by itself and when, and decides what is due.
//!
//! A tick with nothing to do says nothing in a pipe: cron mails whatever is written there.

use dispatcher_core::{DecidedTick, TickFate, ZonedSchedule, suggest};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::timer;
use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::format::{ago, rough, schedule as in_words, utc};
use crate::cli::grammar::SCHEDULE_WORDS;
use crate::cli::layout::{Cell, ColumnKind, Table, harmless};
use crate::cli::session::Session;
use crate::cli::terminal::Colour;
use crate::client::{ScheduleProblem, Scheduled};
use crate::store::UnixMs;

/// Times to come that are shown.
const NEXT_SHOWN: usize = 5;

/// A schedule of the program, as it is shown.
struct Listed {
    of: Scheduled,
    zoned: Option<ZonedSchedule>,
    next: Vec<UnixMs>,
}

impl Listed {
    fn zone(&self) -> TimeZone {
        let zone = self.zoned.as_ref().map(ZonedSchedule::zone);
        zone.cloned().unwrap_or(TimeZone::UTC)
    }
}

pub(super) fn schedule(session: &mut Session<'_, '_>) -> Done {
    let word = session.first_word().to_owned();
    refuse_flags_but_of_install(session, &word)?;
    if session.registry.is_empty() {
        let program = &session.environment.program;
        return Err(CliError::usage(
            format!("{program} has no schedules of its own"),
            "it is the generic binary: dispatchers are linked into applications",
            "name the application with --app ./myapp, or with [app] program in dispatcher.toml",
        )
        .into());
    }
    match word.as_str() {
        "list" => list(session),
        "tick" => tick(session),
        "install" => timer::install(session),
        "remove" => timer::remove(session),
        other => Err(unknown(other).into()),
    }
}

fn unknown(word: &str) -> CliError {
    let todo = match suggest(word, SCHEDULE_WORDS.iter().copied()) {
        Some(meant) => format!("did you mean `schedule {meant}`?"),
        None => "`schedule --help` says what each does".to_owned(),
    };
    let why = format!("there are {}", SCHEDULE_WORDS.join(", "));
    CliError::usage(format!("schedule cannot `{word}`"), why, todo)
}

fn refuse_flags_but_of_install(session: &Session<'_, '_>, word: &str) -> Result<(), CliError> {
    let flags = ["systemd", "crontab", "print"];
    match flags.into_iter().find(|flag| session.arguments.has(flag)) {
        Some(flag) if word != "install" => Err(CliError::usage(
            format!("schedule {word} has no option --{flag}"),
            "it is an option of schedule install",
            "`schedule --help`",
        )),
        Some(_) | None => Ok(()),
    }
}

/// The schedules of the program, and those of them that cannot be followed.
fn listed(
    session: &mut Session<'_, '_>,
) -> Result<(Vec<Listed>, Vec<ScheduleProblem>, UnixMs), Stop> {
    let mut store = session.open_to_read()?;
    let known = store.ask(|store| store.schedules())?;
    let rows = store.ask(|store| store.dispatchers())?;
    let build = session.environment.build.as_ref();
    let all = Scheduled::of(&session.registry, &session.config, build, &known, &rows);
    let (mut listed, mut problems) = (Vec::new(), Vec::new());
    for of in all.into_iter().filter(|it| it.options.is_some()) {
        let zoned = of.zoned().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let next = zoned
            .iter()
            .flat_map(|zoned| zoned.upcoming(&of.record, known.now, NEXT_SHOWN));
        listed.push(Listed {
            next: next.collect(),
            zoned,
            of,
        });
    }
    Ok((listed, problems, known.now))
}

/// What would keep a timer from following the schedules; at least one is needed.
pub(super) fn check(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let (listed, problems, _) = listed(session)?;
    if let Some(problem) = problems.first() {
        return Err(not_followed(problem).into());
    }
    if listed.is_empty() {
        return Err(CliError::new(
            exit::CONFIGURATION,
            "there is nothing for a timer to do",
            "no dispatcher of this program has a schedule",
            "declare one, as in #[dispatcher(schedule = \"daily\")]",
        )
        .into());
    }
    Ok(())
}

fn list(session: &mut Session<'_, '_>) -> Done {
    let (listed, problems, now) = listed(session)?;
    if session.json() {
        let values = Value::Array(listed.iter().map(to_json).collect());
        session.terminal().json(&values)?;
    } else if listed.is_empty() {
        let note = "no dispatcher of this program has a schedule";
        session.terminal().note(note);
    } else {
        let table = table(&listed, now);
        let terminal = session.terminal();
        let text = table.render(terminal.width(), terminal.colours());
        terminal.print(&text)?;
    }
    for problem in &problems {
        session.terminal().error(&not_followed(problem));
    }
    Ok(if problems.is_empty() {
        0
    } else {
        exit::CONFIGURATION
    })
}

fn table(listed: &[Listed], now: UnixMs) -> Table {
    let mut table = Table::new(&[
        ("NAME", ColumnKind::Fixed),
        ("SCHEDULE", ColumnKind::Elastic),
        ("LAST TICK", ColumnKind::Elastic),
        ("NEXT", ColumnKind::Fixed),
        ("", ColumnKind::Spare),
    ]);
    for it in listed {
        let zone = &it.zone();
        let name = it.of.definition.name;
        let words = it.of.options.as_ref().map_or_else(String::new, in_words);
        let words = match it.of.paused {
            true => format!("(paused) {words}"),
            false => words,
        };
        let last = it.of.record.last.as_ref();
        let last = last.map_or_else(
            || Cell::coloured(Colour::Dim, "none yet"),
            |last| {
                Cell::coloured(
                    colour(&last.fate),
                    format!("{}, {}", at(last.tick, zone), outcome(last)),
                )
            },
        );
        let mut first = [Cell::coloured(Colour::Strong, name), words.into(), last];
        if it.next.is_empty() {
            let [name, words, last] = first;
            table.row(vec![name, words, last, "never".into(), "".into()]);
            continue;
        }
        for (nth, next) in it.next.iter().enumerate() {
            let [name, words, last] = std::mem::replace(&mut first, ["", "", ""].map(Cell::from));
            let soon = match nth {
                0 => ago(*next, now),
                _ => String::new(),
            };
            table.row(vec![name, words, last, at(*next, zone).into(), soon.into()]);
        }
    }
    table
}

/// A time as the clock of a zone shows it, to the minute.
fn at(time: UnixMs, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(time) {
        Ok(time) => {
            let zoned = time.to_zoned(zone.clone());
            zoned.strftime("%a %Y-%m-%d %H:%M %:z").to_string()
        }
        Err(_) => format!("{time} ms"),
    }
}

fn colour(fate: &TickFate) -> Colour {
    match fate {
        TickFate::Submitted | TickFate::Duplicate => Colour::Plain,
        TickFate::Overlapped | TickFate::Missed => Colour::Odd,
        TickFate::QueueFull | TickFate::Refused(_) => Colour::Bad,
    }
}

/// What became of a tick, in a few words.
fn outcome(tick: &DecidedTick) -> String {
    let job = tick
        .job
        .map_or_else(|| "a job".to_owned(), |id| format!("job {id}"));
    match &tick.fate {
        TickFate::Submitted => format!("submitted as {job}"),
        TickFate::Duplicate => format!("{job} stood for it"),
        TickFate::Overlapped => format!("dropped: {job} was unfinished"),
        TickFate::Missed => "missed".to_owned(),
        TickFate::QueueFull => "refused: the queue was full".to_owned(),
        TickFate::Refused(reason) => format!("refused: {}", harmless(reason)),
    }
}

fn to_json(it: &Listed) -> Value {
    let options = it.of.options.as_ref();
    let zone = &it.zone();
    let local = |time: &UnixMs| {
        let time = Timestamp::from_millisecond(*time).ok()?;
        let zoned = time.to_zoned(zone.clone());
        Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    };
    json!({
        "name": it.of.definition.name,
        "schedule": options.map(|it| &it.expression),
        "timezone": options.map(|it| &it.timezone),
        "words": it.zoned.as_ref().map(|zoned| zoned.schedule().describe()),
        "missed": options.map(|it| it.missed.as_str()),
        "overlap": options.map(|it| it.overlap.as_str()),
        "jitter_ms": options.map(|it| u64::try_from(it.jitter.as_millis()).unwrap_or(u64::MAX)),
        "paused": it.of.paused,
        "last": it.of.record.last.as_ref().map(tick_json),
        "next": it.next.iter().map(local).collect::<Vec<_>>(),
    })
}

fn tick_json(tick: &DecidedTick) -> Value {
    let reason = match &tick.fate {
        TickFate::Refused(reason) => Some(reason),
        TickFate::Submitted
        | TickFate::Duplicate
        | TickFate::Overlapped
        | TickFate::Missed
        | TickFate::QueueFull => None,
    };
    json!({
        "tick": utc(tick.tick),
        "fate": tick.fate.as_str(),
        "reason": reason,
        "job": tick.job,
    })
}

fn tick(session: &mut Session<'_, '_>) -> Done {
    let registry = session.registry.clone();
    let report = session.with_host(|host, state| host.tick(state, &registry))?;
    let mut code = 0;
    for problem in &report.problems {
        session.terminal().error(&not_followed(problem));
        code = exit::CONFIGURATION;
    }
    for (name, tick) in &report.decided {
        if let Some(error) = refusal(name, tick) {
            code = if code == 0 { error.exit } else { code };
            session.terminal().error(&error);
        } else if !session.json() {
            let line = format!("{name}: tick {} {}", utc(tick.tick), outcome(tick));
            session.terminal().line(&line)?;
        }
    }
    if session.json() {
        let decided = report.decided.iter().map(|(name, tick)| {
            let mut value = tick_json(tick);
            value["dispatcher"] = json!(name);
            value
        });
        let value = json!({
            "decided": decided.collect::<Vec<_>>(),
            "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "next_in_ms": report.next_in.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        });
        session.terminal().json(&value)?;
    } else if report.decided.is_empty() && session.terminal().width().is_some() {
        let note = match report.next_in {
            Some(wait) => format!("nothing is due; the next tick is in {}", rough(wait)),
            None => "nothing is due, and nothing will be".to_owned(),
        };
        session.terminal().note(&note);
    }
    Ok(code)
}

/// The error that a tick's fate is; `None` for those that are no error.
fn refusal(name: &str, tick: &DecidedTick) -> Option<CliError> {
    let what = format!("the tick of {name} at {} submitted nothing", utc(tick.tick));
    match &tick.fate {
        TickFate::QueueFull => Some(CliError::new(
            exit::QUEUE_FULL,
            what,
            "as many of its jobs are unfinished as max_queue allows",
            format!("see `jobs --dispatcher {name}`, or raise max_queue"),
        )),
        TickFate::Refused(reason) => Some(CliError::new(
            exit::CONFIGURATION,
            what,
            harmless(reason),
            "set that right; the next tick tries again",
        )),
        TickFate::Submitted | TickFate::Duplicate | TickFate::Overlapped | TickFate::Missed => None,
    }
}

fn not_followed(problem: &ScheduleProblem) -> CliError {
    CliError::new(
        exit::CONFIGURATION,
        format!("the schedule of {} cannot be followed", problem.dispatcher),
        problem.reason.clone(),
        "correct it in the source or the configuration, or install the zones (tzdata)",
    )
}
