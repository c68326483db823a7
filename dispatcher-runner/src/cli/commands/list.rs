//! `list`: dispatchers of the program and of the store, with their queues.
//!
//! It works without a store, too: what the program knows is shown, and why the rest is missing.

use std::collections::BTreeMap;

use dispatcher_core::DispatcherOptions;
use serde_json::{Value, json};

use crate::about::About;
use crate::cli::error::{Done, Stop};
use crate::cli::format::{changed_job_options, dispatcher_options, job_options, schedule};
use crate::cli::layout::{Cell, ColumnKind, Table, harmless};
use crate::cli::session::Session;
use crate::cli::terminal::{Colour, Colours};
use crate::store::DispatcherStatus;

/// A dispatcher, as far as program and store know it.
struct Listed {
    name: String,
    about: Option<About>,
    options: DispatcherOptions,
    status: Option<Queue>,
}

/// What the store says of a dispatcher.
#[derive(Default)]
struct Queue {
    waiting: u32,
    running: u32,
    paused: bool,
}

impl Queue {
    fn of(status: &DispatcherStatus) -> Self {
        Self {
            waiting: status.waiting,
            running: status.running,
            paused: status.paused,
        }
    }
}

pub(super) fn list(session: &mut Session<'_, '_>) -> Done {
    if session.arguments.has("names") {
        let names: Vec<_> = session.registry.iter().map(|it| it.name).collect();
        for name in names {
            session.terminal().line(name)?;
        }
        return Ok(0);
    }
    let rows = rows(session)?;
    let mut listed = collect(session, rows);
    let wanted = session.arguments.words.first().cloned();
    if let Some(typed) = &wanted {
        let name = match session.registry.resolve(typed) {
            Ok(definition) => definition.name,
            Err(_) => typed,
        };
        listed.retain(|it| it.name == name);
        if listed.is_empty() {
            session.definition(typed)?;
        }
    }
    if session.json() {
        let values = Value::Array(listed.iter().map(to_json).collect());
        session.terminal().json(&values)?;
    } else if session.arguments.has("markdown") {
        let text = markdown(&session.config, &listed);
        session.terminal().print(&text)?;
    } else if wanted.is_some() {
        let colours = session.terminal().colours();
        let text: String = listed.iter().map(|it| details(it, colours)).collect();
        session.terminal().print(&text)?;
    } else {
        print_table(session, &listed)?;
    }
    Ok(0)
}

/// The rows of the store; a store that cannot be opened is an error only where there is nothing
/// else to show.
fn rows(session: &mut Session<'_, '_>) -> Result<Option<Vec<DispatcherStatus>>, Stop> {
    let opened = session.open_to_read();
    let asked = opened.and_then(|mut store| store.ask(|store| store.dispatchers()));
    match asked {
        Err(Stop::Failed(error)) if !session.registry.is_empty() => {
            session.terminal().error(&error);
            Ok(None)
        }
        asked => asked.map(Some),
    }
}

fn collect(session: &Session<'_, '_>, rows: Option<Vec<DispatcherStatus>>) -> Vec<Listed> {
    let mut own = session.own_about();
    // A dispatcher that the store does not know has no jobs.
    let unknown = || rows.is_some().then(Queue::default);
    let rows = rows.iter().flatten();
    let mut by_name: BTreeMap<_, _> = rows
        .map(|status| (status.row.name.clone(), status))
        .collect();
    let mut listed = Vec::new();
    for definition in session.registry.iter() {
        let name = definition.name.to_owned();
        let mut options = (definition.dispatcher_options)();
        let mut job = (definition.options)();
        session.config.apply(&name, &mut job, &mut options);
        listed.push(Listed {
            about: own.remove(&name),
            options,
            status: by_name.remove(&name).map(Queue::of).or_else(unknown),
            name,
        });
    }
    for (name, status) in by_name {
        listed.push(Listed {
            about: About::parse(&status.row.about),
            options: status.row.options.clone(),
            status: Some(Queue::of(status)),
            name,
        });
    }
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    listed
}

fn print_table(session: &mut Session<'_, '_>, listed: &[Listed]) -> Result<(), Stop> {
    let mut table = Table::new(&[
        ("NAME", ColumnKind::Fixed),
        ("WAITING", ColumnKind::Number),
        ("RUNNING", ColumnKind::Number),
        ("SCHEDULE", ColumnKind::Elastic),
        ("ABOUT", ColumnKind::Elastic),
    ]);
    for it in listed {
        let (waiting, running) = counts(it);
        let mut about = first_line(it).to_owned();
        if it.status.as_ref().is_some_and(|status| status.paused) {
            about = format!("(paused) {about}");
        }
        table.row(vec![
            Cell::coloured(Colour::Strong, it.name.as_str()),
            waiting.into(),
            running.into(),
            it.options
                .schedule
                .as_ref()
                .map_or_else(String::new, schedule)
                .into(),
            about.into(),
        ]);
    }
    if listed.is_empty() {
        session.terminal().note(
            "there are no dispatchers: none is linked into this program, and none is in the state",
        );
    } else {
        let terminal = session.terminal();
        let text = table.render(terminal.width(), terminal.colours());
        terminal.print(&text)?;
    }
    let state = format!("\nstate: {}", session.location);
    let colours = session.terminal().colours();
    session.terminal().line(&colours.paint(Colour::Dim, &state))
}

fn counts(it: &Listed) -> (String, String) {
    match &it.status {
        Some(status) => (status.waiting.to_string(), status.running.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    }
}

fn first_line(it: &Listed) -> &str {
    let documentation = it.about.as_ref().map_or("", |about| &about.documentation);
    documentation.lines().next().unwrap_or_default().trim()
}

fn details(it: &Listed, colours: Colours) -> String {
    let mut text = format!("{}\n", colours.paint(Colour::Strong, &it.name));
    let mut fact = |name: &str, value: &str| {
        let name = colours.paint(Colour::Dim, &format!("{name:<10}"));
        text.push_str(&format!("  {name} {}\n", harmless(value)));
    };
    if let Some(about) = &it.about {
        for line in about.documentation.lines() {
            fact("", line.trim());
        }
        fact("place", &place(about));
        if !about.aliases.is_empty() {
            fact("aliases", &about.aliases.join(", "));
        }
        for field in &about.fields {
            let secret = if field.secret { " (secret)" } else { "" };
            let note = field
                .documentation
                .lines()
                .next()
                .unwrap_or_default()
                .trim();
            let line = format!("{}: {}{secret}  {note}", field.name, field.type_name);
            fact("field", line.trim_end());
        }
        for (name, value) in changed_job_options(&about.options) {
            fact("option", &format!("{name} = {value}"));
        }
    }
    for (name, value) in dispatcher_options(&it.options) {
        fact("option", &format!("{name} = {value}"));
    }
    let (waiting, running) = counts(it);
    fact("jobs", &format!("{waiting} waiting, {running} running"));
    if it.status.as_ref().is_some_and(|status| status.paused) {
        fact(
            "paused",
            &format!("nothing is started until `resume {}`", it.name),
        );
    }
    text
}

fn place(about: &About) -> String {
    let place = &about.place;
    format!("{}:{} ({})", place.file, place.line, place.module)
}

fn to_json(it: &Listed) -> Value {
    let about = it.about.as_ref();
    let status = it.status.as_ref();
    let place = about.map(|about| &about.place);
    json!({
        "name": it.name,
        "aliases": about.map(|about| &about.aliases),
        "documentation": about.map(|about| &about.documentation),
        "fields": about.map(|about| &about.fields),
        "place": place,
        "options": about.map(|about| &about.options),
        "dispatcher_options": it.options,
        "schedule": it.options.schedule.as_ref().map(schedule),
        "schema": about.and_then(|about| about.schema.as_ref()),
        "waiting": status.map(|status| status.waiting),
        "running": status.map(|status| status.running),
        "paused": status.map(|status| status.paused),
    })
}

/// A reference page about all dispatchers.
fn markdown(config: &crate::config::Config, listed: &[Listed]) -> String {
    let mut text = format!("# Dispatchers of {}\n", config.app());
    for it in listed {
        text.push_str(&format!("\n## {}\n", it.name));
        let Some(about) = &it.about else { continue };
        if !about.documentation.is_empty() {
            text.push_str(&format!("\n{}\n", about.documentation.trim()));
        }
        text.push_str(&format!("\nDeclared at `{}`.\n", place(about)));
        if !about.aliases.is_empty() {
            let aliases: Vec<_> = about.aliases.iter().map(|it| format!("`{it}`")).collect();
            text.push_str(&format!("\nAlso called {}.\n", aliases.join(", ")));
        }
        if !about.fields.is_empty() {
            text.push_str("\n| field | type | about |\n|---|---|---|\n");
        }
        for field in &about.fields {
            let mut note = field.documentation.trim().replace('\n', " ");
            if field.secret {
                note = format!("Secret. {note}");
            }
            text.push_str(&format!(
                "| `{}` | `{}` | {} |\n",
                cell(&field.name),
                cell(&field.type_name),
                cell(note.trim())
            ));
        }
        text.push_str("\n| option | value |\n|---|---|\n");
        let options = job_options(&about.options);
        for (name, value) in options.iter().chain(&dispatcher_options(&it.options)) {
            text.push_str(&format!("| `{name}` | {} |\n", cell(value)));
        }
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
