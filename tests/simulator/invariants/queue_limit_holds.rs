//! Unfinished jobs of a dispatcher ≤ `max_queue`.

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Submit(group, answer) = moment.operation else {
        return Ok(());
    };
    for job in &group.jobs {
        let name = &job.dispatcher;
        let Some(declared) = moment.ledger.declared.get(name) else {
            continue;
        };
        let unfinished = moment.after.values();
        let unfinished =
            unfinished.filter(|row| row.dispatcher == *name && !row.state.is_terminal());
        let unfinished = unfinished.count();
        let full = declared.max_queue as usize;
        if full > 0 && unfinished > full {
            return Err(format!(
                "{unfinished} of {name} are unfinished, {full} may be"
            ));
        }
        if answer.is_err() && group.jobs.len() == 1 && (full == 0 || unfinished < full) {
            return Err(format!("{name} was refused at {unfinished} of {full}"));
        }
    }
    Ok(())
}
