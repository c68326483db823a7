//! Ids as people type them: shortened to a unique prefix.

use dispatcher_core::JobId;

use super::error::{CliError, Stop};
use super::session::OpenStore;

/// Candidates named in an error.
const CANDIDATES_MAX: usize = 8;

/// The one job whose id begins with `typed`.
pub(crate) fn resolve(store: &mut OpenStore, typed: &str) -> Result<JobId, Stop> {
    let prefix = typed.to_ascii_lowercase();
    let possible = !prefix.is_empty()
        && prefix.len() <= JobId::LEN
        && format!("{prefix:0<width$}", width = JobId::LEN)
            .parse::<JobId>()
            .is_ok();
    if !possible {
        return Err(CliError::usage(
            format!("`{typed}` is no id"),
            dispatcher_core::JobIdError.to_string(),
            "`jobs` shows ids",
        )
        .into());
    }
    let found = store.ask(|store| store.find(&prefix, CANDIDATES_MAX + 1))?;
    match found[..] {
        [id] => Ok(id),
        [] => Err(CliError::usage(
            format!("no job has the id {typed}"),
            "it never existed here, or it ended and was pruned",
            "`jobs` shows ids; `status` shows which state file is asked",
        )
        .into()),
        _ => {
            let shown = found.iter().take(CANDIDATES_MAX);
            let mut names: Vec<_> = shown.map(JobId::to_string).collect();
            if found.len() > CANDIDATES_MAX {
                names.push("…".to_owned());
            }
            Err(CliError::usage(
                format!("several jobs have ids that begin with {typed}"),
                format!("there are {}", names.join(", ")),
                "write more characters",
            )
            .into())
        }
    }
}
