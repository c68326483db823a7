//! Every attempt that is over is on record: a job that does not run has as many as it had starts.

use dispatcher_core::JobState;

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, row) in moment.after {
        let running = usize::from(row.state == JobState::Running);
        if row.attempts + running != row.counters.attempt as usize {
            return Err(format!(
                "{id} has {} attempts on record: {row:?}",
                row.attempts
            ));
        }
    }
    Ok(())
}
