//! `serve`: this process becomes the service.

use super::check_label;
use crate::cli::error::{CliError, Done};
use crate::cli::session::Session;
use crate::config::{Config, OptionValue, label_mistake};

pub(super) fn serve(session: &mut Session<'_, '_>) -> Done {
    let brings_nothing = session.config.sources().next().is_none();
    if session.registry.is_empty() && brings_nothing {
        let program = &session.environment.program;
        return Err(CliError::usage(
            format!("{program} has nothing to serve"),
            "it is the generic binary: dispatchers are linked into applications",
            "name the application with --app ./myapp, or with [app] program in dispatcher.toml",
        )
        .into());
    }
    let mut config = session.config.clone();
    if let Some(labels) = session.arguments.value("queues") {
        let labels = labels_of(labels)?;
        for label in &labels {
            check_label(session, label, "nothing was started")?;
        }
        let labels = OptionValue::List(labels);
        set(&mut config, "queues", &labels, "--queues")?;
    }
    if let Some(workers) = session.arguments.value("workers") {
        let workers = OptionValue::Integer(workers_of(workers)?.into());
        set(&mut config, "workers", &workers, "--workers")?;
    }
    session.environment.host.serve(config)?;
    Ok(0)
}

/// Sets a key of `[service]`; what the flag takes was checked before.
fn set(
    config: &mut Config,
    key: &str,
    value: &OptionValue,
    flag: &'static str,
) -> Result<(), CliError> {
    let set = config.set_by_flag(&["service"], key, value, flag);
    set.map_err(|why| CliError::usage(format!("{flag} cannot be used"), why, "`serve --help`"))
}

fn labels_of(text: &str) -> Result<Vec<String>, CliError> {
    let labels: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
    if let Some(mistake) = labels.iter().find_map(|label| label_mistake(label)) {
        return Err(CliError::usage(
            format!("--queues cannot be `{text}`"),
            mistake,
            "separate labels by commas, as in --queues mail,reports",
        ));
    }
    Ok(labels)
}

fn workers_of(text: &str) -> Result<u32, CliError> {
    let workers = text.parse().ok().filter(|workers| *workers > 0);
    workers.ok_or_else(|| {
        CliError::usage(
            format!("--workers cannot be `{text}`"),
            "it takes a number of jobs that may run at once, from 1 on",
            "leave it out for twice the number of CPUs",
        )
    })
}
