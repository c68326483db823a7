//! `attempt` and `token` only rise, by one with each claim; `failures` never fall, and stop at the
//! maximum.

use dispatcher_core::JobState;

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, after) in moment.after {
        if after.counters.failures > after.retries {
            return Err(format!("{id} has too many failures: {after:?}"));
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
