//! `show`: one job with everything on record.

use std::time::Duration;

use dispatcher_core::duration::format_bytes;
use dispatcher_core::{JobState, Usage};

use super::jobs::record_json;
use crate::about::{About, masked};
use crate::cli::error::{CliError, Done, exit};
use crate::cli::format::{
    ago, changed_job_options, colour_of, local, local_beside, run_time, sentence,
};
use crate::cli::ids;
use crate::cli::layout::{Cell, ColumnKind, Table, harmless, harmless_lines};
use crate::cli::session::Session;
use crate::cli::terminal::{Colour, Colours};
use crate::store::{JobRecord, UnixMs};

/// Lines of stderr shown with the cause.
const STDERR_LINES: usize = 10;

pub(super) fn show(session: &mut Session<'_, '_>) -> Done {
    let mut store = session.open_to_read()?;
    let job = ids::resolve(&mut store, session.first_word())?;
    let record = store.ask(|store| store.job(job))?;
    store.ask(|store| store.sync())?;
    let Some(record) = record else {
        return Err(CliError::new(
            exit::NEGATIVE,
            format!("job {job} is gone"),
            "it was pruned just now",
            "`jobs` shows what there is",
        )
        .into());
    };
    let rows = store.ask(|store| store.dispatchers())?;
    let about = session.all_about(&rows);
    let about = about.get(&record.summary.dispatcher);
    if session.json() {
        session.terminal().json(&record_json(&record, about))?;
        return Ok(0);
    }
    let now = session.now();
    let terminal = session.terminal();
    let text = describe(&record, about, now, terminal.width(), terminal.colours());
    terminal.print(&text)?;
    Ok(0)
}

fn describe(
    record: &JobRecord,
    about: Option<&About>,
    now: UnixMs,
    width: Option<usize>,
    colours: Colours,
) -> String {
    let mut text = String::new();
    for (name, value) in facts(record, about, now, colours) {
        let name = colours.paint(Colour::Dim, &format!("{name:<10}"));
        text.push_str(&format!("{name} {value}\n"));
    }
    if !record.attempts.is_empty() {
        text.push('\n');
        text.push_str(&attempts(record).render(width, colours));
    }
    let stderr = record
        .attempts
        .last()
        .map(|attempt| last_lines(&attempt.stderr_end));
    if let Some(stderr) = stderr.filter(|text| !text.is_empty())
        && record.summary.state != JobState::Succeeded
    {
        let heading = colours.paint(Colour::Strong, "last lines of stderr");
        text.push_str(&format!("\n{heading}\n{stderr}\n"));
    }
    text
}

fn facts(
    record: &JobRecord,
    about: Option<&About>,
    now: UnixMs,
    colours: Colours,
) -> Vec<(&'static str, String)> {
    let summary = &record.summary;
    let mut facts = vec![
        ("job", summary.id.to_string()),
        ("dispatcher", summary.dispatcher.clone()),
        ("state", state_line(record, now, colours)),
    ];
    if let Some(outcome) = &summary.outcome {
        facts.push((
            "cause",
            harmless(&format!("it {}", sentence(outcome, &record.options))),
        ));
    }
    if let Some((fraction, text)) = &summary.progress {
        facts.push((
            "progress",
            harmless(&format!("{:.0} % {text}", fraction * 100.0)),
        ));
    }
    facts.push((
        "payload",
        harmless(&masked(about, &summary.payload).to_string()),
    ));
    facts.push((
        "submitted",
        format!(
            "{} by {}",
            local(summary.submitted_at),
            harmless(&record.summary.origin)
        ),
    ));
    facts.push(("build", record.build.id.clone()));
    if let Some(old) = record.retry_of {
        facts.push(("retry of", old.to_string()));
    }
    if let Some(batch) = &record.batch {
        facts.push(("batch", harmless(batch)));
    }
    // Afterwards the cause says so.
    if let Some(by) = &record.cancel_requested_by
        && !summary.state.is_terminal()
    {
        facts.push(("cancel", format!("requested by {}", harmless(by))));
    }
    if let Some((supervisor, slot)) = record.supervisor {
        facts.push((
            "run by",
            format!("supervisor {} in slot {slot}", supervisor.0),
        ));
    }
    facts.push(("attempts", attempts_line(record)));
    let options = changed_job_options(&record.options);
    if !options.is_empty() {
        let texts: Vec<_> = options
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        facts.push(("options", harmless(&texts.join(", "))));
    }
    if let Some(output) = &record.output {
        facts.push(("output", harmless(output)));
    }
    facts
}

fn attempts_line(record: &JobRecord) -> String {
    let counters = record.summary.counters;
    let mut counted = format!(
        "{} started, {} of {} retries used",
        counters.attempt, counters.failures, record.options.retries
    );
    for (number, word) in [(record.snoozes, "snoozes"), (record.lost, "lost")] {
        if number > 0 {
            counted.push_str(&format!(", {number} {word}"));
        }
    }
    counted
}

fn state_line(record: &JobRecord, now: UnixMs, colours: Colours) -> String {
    let summary = &record.summary;
    let state = colours.paint(colour_of(summary.state), summary.state.as_str());
    let since = match summary.state {
        JobState::Queued => match summary.run_at {
            Some(run_at) if run_at > now => format!(", to start {}", ago(run_at, now)),
            Some(_) => ", waiting for its turn".to_owned(),
            None => ", held until a job like it ends".to_owned(),
        },
        JobState::Running => match summary.started_at {
            Some(started) => format!(" since {} ({})", local(started), ago(started, now)),
            None => String::new(),
        },
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => match summary.ended_at {
            Some(ended) => format!(" at {} ({})", local(ended), ago(ended, now)),
            None => String::new(),
        },
    };
    format!("{state}{since}")
}

fn attempts(record: &JobRecord) -> Table {
    let mut table = Table::new(&[
        ("#", ColumnKind::Number),
        ("STARTED", ColumnKind::Fixed),
        ("TOOK", ColumnKind::Number),
        ("CPU", ColumnKind::Number),
        ("MEMORY", ColumnKind::Number),
        ("PID", ColumnKind::Number),
        ("OUTCOME", ColumnKind::Wrapped),
    ]);
    // The day of the submission stands above the table.
    let started = |time| local_beside(time, record.summary.submitted_at);
    for attempt in &record.attempts {
        let usage = &attempt.outcome.usage;
        table.row(vec![
            attempt.attempt.to_string().into(),
            attempt
                .started_at
                .map_or_else(|| "never".to_owned(), started)
                .into(),
            run_time(attempt.run_time).into(),
            of_limit(cpu(usage), record.options.cpu_limit.map(run_time)).into(),
            of_limit(memory(usage), record.options.memory_limit.map(format_bytes)).into(),
            attempt
                .pid
                .map_or_else(String::new, |pid| pid.to_string())
                .into(),
            Cell::from(sentence(&attempt.outcome, &record.options)),
        ]);
    }
    table
}

fn cpu(usage: &Usage) -> String {
    run_time(Duration::from_micros(
        usage.user_us.saturating_add(usage.system_us),
    ))
}

/// The whole tree's where that is known, else that of its largest process.
fn memory(usage: &Usage) -> String {
    let kib = usage.tree_peak_kib.unwrap_or(usage.max_rss_kib);
    format_bytes(kib.saturating_mul(1024))
}

/// What was used, beside what might have been.
fn of_limit(used: String, limit: Option<String>) -> String {
    match limit {
        Some(limit) => format!("{used} of {limit}"),
        None => used,
    }
}

/// The last lines of what an attempt wrote to stderr, harmless to a terminal.
fn last_lines(bytes: &[u8]) -> String {
    let text = harmless_lines(&String::from_utf8_lossy(bytes));
    let lines: Vec<_> = text.trim_end().lines().collect();
    let start = lines.len().saturating_sub(STDERR_LINES);
    let shown = lines[start..].iter().map(|line| format!("  {line}"));
    shown.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_stands_beside_its_limit() {
        let mut usage = Usage {
            max_rss_kib: 2048,
            ..Usage::default()
        };
        assert_eq!(memory(&usage), "2MiB");
        usage.tree_peak_kib = Some(10 * 1024);
        let limit = Some(format_bytes(50 << 20));
        assert_eq!(of_limit(memory(&usage), limit), "10MiB of 50MiB");
        assert_eq!(of_limit(cpu(&usage), None), cpu(&usage));
    }
}
