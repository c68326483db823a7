//! The services of a state, as commands find and ask them.
//!
//! Several services on one state are legitimate, so a command is for all of them unless `--service`
//! names one by its process id.

use super::error::{CliError, Stop, exit};
use super::session::{OpenStore, Session};
use crate::control::{Answer, ControlError, Request, Seen};
use crate::store::SupervisorRow;

/// The living services that the command is for; there is at least one.
pub(crate) fn chosen(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
) -> Result<Vec<SupervisorRow>, Stop> {
    let living = living(session, store)?;
    if living.is_empty() {
        return Err(nobody(session).into());
    }
    only_named(session, living)
}

/// Every living service of the state.
pub(crate) fn living(
    session: &mut Session<'_, '_>,
    store: &mut OpenStore,
) -> Result<Vec<SupervisorRow>, Stop> {
    let rows = store.ask(|store| store.supervisors())?;
    let living = rows
        .into_iter()
        .filter(|row| session.with_host(|host, _| host.is_alive(row) && host.is_service(row)));
    Ok(living.collect())
}

/// Those that `--service` names, or all.
pub(crate) fn only_named(
    session: &Session<'_, '_>,
    living: Vec<SupervisorRow>,
) -> Result<Vec<SupervisorRow>, Stop> {
    let Some(named) = session.arguments.value("service") else {
        return Ok(living);
    };
    let pids: Vec<_> = living.iter().map(|row| row.pid.to_string()).collect();
    let mut living = living;
    living.retain(|row| named.parse() == Ok(row.pid));
    if living.is_empty() {
        return Err(CliError::usage(
            format!("no service has the process id {named}"),
            match pids.is_empty() {
                true => "no service is running on this state".to_owned(),
                false => format!("those of services here are {}", pids.join(", ")),
            },
            "`status` shows services; without --service a command is for all of them",
        )
        .into());
    }
    Ok(living)
}

/// What a service does now.
pub(crate) fn seen(
    session: &mut Session<'_, '_>,
    service: &SupervisorRow,
) -> Result<Box<Seen>, ControlError> {
    let answer = session.with_host(|host, _| host.control(service, Request::Look))?;
    match answer {
        Answer::Seen(seen) => Ok(seen),
        Answer::Done | Answer::Metrics { .. } | Answer::Refused { .. } => Err(
            ControlError::Refused("it answered something that was not asked".to_owned()),
        ),
    }
}

/// A service that was asked, and did not do what it was asked.
pub(crate) fn unable(what: String, error: &ControlError, todo: &str) -> CliError {
    CliError::new(exit::NEGATIVE, what, crate::log::chain(error), todo)
}

fn nobody(session: &Session<'_, '_>) -> CliError {
    let program = &session.environment.program;
    CliError::new(
        exit::NEGATIVE,
        "no service is running",
        format!("none has its state at {}", session.location),
        format!("start one with `{program} serve`; jobs that were submitted run without it, too"),
    )
}
