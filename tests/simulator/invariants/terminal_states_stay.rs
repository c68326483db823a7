//! A terminal state never changes again.

use crate::simulator::ledger::Moment;

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (id, before) in moment
        .before
        .iter()
        .filter(|(_, row)| row.state.is_terminal())
    {
        match moment.after.get(id) {
            Some(after) if after != before => {
                return Err(format!("{id} went from {before:?} to {after:?}"));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
