//! A supervisor leaves for want of work only when nothing that it serves is unfinished.

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::CloseIfIdle(serves, true) = moment.operation else {
        return Ok(());
    };
    let left = moment
        .after
        .iter()
        .find(|(_, row)| !row.state.is_terminal() && serves.dispatchers.contains(&row.dispatcher));
    match left {
        Some((id, row)) => Err(format!("it left {id}, {row:?}")),
        None => Ok(()),
    }
}
