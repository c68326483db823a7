//! Of unfinished jobs of one identity only one may start, and `queue_one` keeps no more than two.

use std::collections::BTreeMap;

use dispatcher_core::OnDuplicate;

use crate::simulator::ledger::Moment;
use crate::store::Waits;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let mut same: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for row in moment.after.values().filter(|row| !row.state.is_terminal()) {
        if let Some(identity) = &row.identity {
            let counts = same.entry((&row.dispatcher, identity)).or_default();
            counts.0 += 1;
            counts.1 += usize::from(row.waits != Waits::Duplicate);
        }
    }
    for ((name, identity), (all, free)) in same {
        let declared = moment.ledger.declared.get(name);
        let most = match declared.map(|it| it.on_duplicate) {
            Some(OnDuplicate::Serial) | None => usize::MAX,
            Some(OnDuplicate::QueueOne) => 2,
            // Of a `parallel` dispatcher only jobs with a unique key are looked at.
            Some(OnDuplicate::Discard | OnDuplicate::Parallel) => 1,
        };
        if all > most || free != 1 {
            return Err(format!(
                "{all} of {name} {identity}, of which {free} may start"
            ));
        }
    }
    Ok(())
}
