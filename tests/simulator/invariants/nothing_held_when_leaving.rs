//! A supervisor that leaves, and was told that its row is closed, holds no running job.

use dispatcher_core::JobState;

use crate::simulator::ledger::Ledger;
use crate::store::SupervisorId;

pub(in crate::simulator) fn check(
    ledger: &Ledger,
    row: Option<SupervisorId>,
    closed: bool,
) -> Result<(), String> {
    if !closed {
        return Ok(());
    }
    let mut rows = ledger.rows.iter();
    let holds = |holder: Option<(SupervisorId, u32)>| holder.map(|(holder, _)| holder) == row;
    match rows.find(|(_, it)| it.state == JobState::Running && holds(it.holder)) {
        Some((id, row)) => Err(format!("{id} is left running: {row:?}")),
        None => Ok(()),
    }
}
