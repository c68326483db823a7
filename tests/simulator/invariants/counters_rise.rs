//! `attempt` and `token` only rise, by one with each claim; `failures` never fall, and stop at the
//! maximum, as do reruns after a loss.

use dispatcher_core::JobState;
use dispatcher_core::limits::LOST_RERUNS_MAX;

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, after) in moment.after {
        if after.counters.failures > after.retries || after.lost > LOST_RERUNS_MAX {
            return Err(format!("{id} failed or was lost too often: {after:?}"));
        }
        let Some(before) = moment.before.get(id) else {
            continue;
        };
        let (old, new) = (&before.counters, &after.counters);
        let claimed = before.state == JobState::Queued && after.state == JobState::Running;
        if new.attempt != old.attempt + u32::from(claimed)
            || new.token != old.token + u64::from(claimed)
            || new.failures < old.failures
        {
            return Err(format!("{id} went from {before:?} to {after:?}"));
        }
    }
    Ok(())
}
