//! One file for each group of commands.

#[cfg_attr(
    not(any(feature = "socket", feature = "pg_notify")),
    path = "no_ask.rs"
)]
mod ask;
mod bench;
mod config;
mod control;
mod doctor;
mod jobs;
mod list;
mod notify;
mod output;
mod schedule;
mod secret;
mod serve;
mod service;
mod show;
mod status;
mod store;
mod timer;

use dispatcher_core::suggest;
use serde_json::json;

use super::Environment;
use super::arguments::Arguments;
use super::error::{CliError, Done, Stop};
use super::grammar::CommandName;
use super::session::Session;
use super::{completions, grammar};

pub use bench::{Bench, BenchForm, BenchOptions, BenchSubject};

pub(crate) use bench::bench;
pub(crate) use config::{asks_for_defaults, config_default};
pub(crate) use secret::generate_secret;

/// Runs a command.
pub(crate) fn run(name: CommandName, session: &mut Session<'_, '_>) -> Done {
    match name {
        CommandName::NotifyDispatcher => notify::notifydispatcher(session),
        CommandName::List => list::list(session),
        CommandName::Jobs => jobs::jobs(session),
        CommandName::Show => show::show(session),
        CommandName::Logs => output::logs(session),
        CommandName::Output => output::output(session),
        CommandName::Cancel => control::cancel(session),
        CommandName::Retry => control::retry(session),
        CommandName::Pause => control::pause(session),
        CommandName::Resume => control::resume(session),
        CommandName::Prune => control::prune(session),
        CommandName::Schedule => schedule::schedule(session),
        CommandName::Serve => serve::serve(session),
        CommandName::Workers => service::workers(session),
        CommandName::Reset => service::reset(session),
        CommandName::Stop => service::stop(session),
        CommandName::Control => ask::control(session),
        CommandName::Status => status::status(session),
        CommandName::Store => store::store(session),
        CommandName::Config => config::config(session),
        CommandName::Doctor => doctor::doctor(session),
        CommandName::Completions => script(session),
        CommandName::GenerateSecret => generate_secret(session.environment, &session.arguments),
        CommandName::Bench => bench(session.environment, &session.arguments),
    }
}

/// `--version`.
pub(crate) fn version(environment: &mut Environment<'_>, arguments: &Arguments) -> Done {
    let version = env!("CARGO_PKG_VERSION");
    let commit = env!("DISPATCHER_COMMIT");
    let build = environment.build.as_ref().map(|build| build.id.as_str());
    if arguments.has("json") {
        let value = json!({
            "program": environment.program,
            "version": version,
            "commit": commit,
            "build": build,
            "sources": environment.sources.iter().map(|(name, weight)| {
                json!({ "name": name, "weight": weight })
            }).collect::<Vec<_>>(),
        });
        environment.terminal.json(&value)?;
        return Ok(0);
    }
    let sources = environment.sources.iter();
    let sources: Vec<_> = sources
        .map(|(it, weight)| format!("{it} {weight}"))
        .collect();
    let sources = match &sources[..] {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let text = format!(
        "{} (dispatcher-runner {version}, commit {commit})\nbuild: {}\nsources: {sources}",
        environment.program,
        build.unwrap_or("unknown"),
    );
    environment.terminal.line(&text)?;
    Ok(0)
}

/// A label that nobody has declared is a mistake of typing, and might be claimed by nobody.
fn check_label(session: &Session<'_, '_>, label: &str, so: &str) -> Result<(), CliError> {
    let known = session.config.known_queues(&session.registry);
    if known.contains(label) {
        return Ok(());
    }
    let list: Vec<_> = known.iter().map(|label| format!("`{label}`")).collect();
    let todo = match suggest(label, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "declare it: `queue` of a dispatcher, or [service] queues".to_owned(),
    };
    Err(CliError::usage(
        format!("there is no queue `{label}`; {so}"),
        format!("dispatchers and configuration know {}", list.join(", ")),
        todo,
    ))
}

fn script(session: &mut Session<'_, '_>) -> Done {
    let program = session.environment.program.clone();
    let binary = session.environment.binary();
    let text = match session.first_word() {
        "bash" => completions::bash(&program, binary),
        "zsh" => completions::zsh(&program, binary),
        "fish" => completions::fish(&program, binary),
        other => {
            let error = CliError::usage(
                format!("there are no completions for `{other}`"),
                format!("there are {}", grammar::SHELLS.join(", ")),
                "name one of these",
            );
            return Err(Stop::from(error));
        }
    };
    session.terminal().print(&text)?;
    Ok(0)
}
