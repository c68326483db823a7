//! Once a cancellation is acknowledged, the job ends as cancelled and in no other way.

use dispatcher_core::JobState;

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for id in &moment.ledger.cancelled {
        let Some(row) = moment.after.get(id) else {
            continue;
        };
        match row.state {
            JobState::Cancelled => {}
            JobState::Running if row.cancel_requested => {}
            JobState::Queued | JobState::Running | JobState::Succeeded | JobState::Failed => {
                return Err(format!("{id} was cancelled and is {row:?}"));
            }
        }
    }
    Ok(())
}
