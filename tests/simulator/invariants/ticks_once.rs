//! A tick of a schedule submits at most once, over all runners, whatever the clock does.

use dispatcher_core::TickFate;

use crate::simulator::ledger::{Moment, Operation};
use crate::store::{TickRequest, Ticked, UnixMs};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Tick(requests, ticked) = moment.operation else {
        return Ok(());
    };
    let mut seen = moment.ledger.ticks.clone();
    for tick in submitted(requests, ticked) {
        if tick.1 > moment.ledger.latest {
            return Err(format!("{tick:?} is not yet there"));
        }
        if !seen.insert(tick.clone()) {
            return Err(format!("{tick:?} was submitted twice"));
        }
    }
    Ok(())
}

/// Ticks of which each submitted a job.
pub(in crate::simulator) fn submitted(
    requests: &[TickRequest],
    ticked: &Ticked,
) -> Vec<(String, UnixMs)> {
    let decided = requests.iter().zip(ticked);
    let submitted = decided.flat_map(|(request, ticks)| {
        let ticks = ticks.iter().filter(|tick| tick.fate == TickFate::Submitted);
        ticks.map(|tick| (request.dispatcher.name.clone(), tick.tick))
    });
    submitted.collect()
}
