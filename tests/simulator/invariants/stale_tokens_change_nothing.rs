//! A record whose token is not that of the running claim changes no row.

use dispatcher_core::JobState;

use crate::simulator::ledger::{Moment, Operation};
use crate::store::Recorded;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, answer) = moment.operation else {
        return Ok(());
    };
    let row = moment.before.get(&record.job);
    let valid =
        row.is_some_and(|row| row.state == JobState::Running && row.counters.token == record.token);
    match (valid, answer) {
        (false, Recorded::Applied(_)) => Err(format!(
            "a stale record of {} was applied to {row:?}",
            record.job
        )),
        (false, Recorded::Fenced) if moment.before != moment.after => Err(format!(
            "a fenced record of {} changed something",
            record.job
        )),
        (true, Recorded::Fenced) => Err(format!("a valid record of {} was fenced", record.job)),
        (true, Recorded::Applied(_)) | (false, Recorded::Fenced) => Ok(()),
    }
}
