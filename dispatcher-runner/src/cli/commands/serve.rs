//! `serve`: this process becomes the service.

use super::check_label;
use crate::cli::error::{CliError, Done};
use crate::cli::session::Session;
use crate::config::label_mistake;

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
        config = config.with_queues(labels);
    }
    if let Some(workers) = session.arguments.value("workers") {
        config = config.with_workers(workers_of(workers)?);
    }
    session.environment.host.serve(config)?;
    Ok(0)
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
