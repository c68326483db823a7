//! `serve`: this process becomes the service.

use crate::cli::error::{CliError, Done};
use crate::cli::session::Session;

pub(super) fn serve(session: &mut Session<'_, '_>) -> Done {
    if session.registry.is_empty() {
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
        config = config.with_queues(labels_of(labels)?);
    }
    if let Some(workers) = session.arguments.value("workers") {
        config = config.with_workers(workers_of(workers)?);
    }
    session.environment.host.serve(config)?;
    Ok(0)
}

fn labels_of(text: &str) -> Result<Vec<String>, CliError> {
    let labels: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
    if labels.iter().any(String::is_empty) {
        return Err(CliError::usage(
            format!("--queues cannot be `{text}`"),
            "a label is empty",
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
