//! What must hold after every operation and every step, one file each.

mod acknowledged_jobs_stay;
mod attempts_are_on_record;
mod cancelled_stays_cancelled;
mod capacity_holds;
mod capture_is_bounded;
mod causes_are_true;
mod counters_rise;
mod due_before_start;
mod due_jobs_start;
mod duplicates_wait;
mod effects_are_answered_once;
mod first_in_first_out;
mod idle_before_leaving;
pub(super) mod losses_are_counted;
mod nobody_outlives_the_end;
mod one_worker_per_job;
mod proved_dead_before_rescue;
mod queue_limit_holds;
mod refused_is_unchanged;
mod retries_are_used;
mod stale_tokens_change_nothing;
mod terminal_states_stay;
pub(super) mod ticks_once;
mod time_limits_hold;
mod whole_trees_die;

use super::ledger::Moment;
use super::world::World;

pub(super) use due_jobs_start::Waiting;
pub(super) use effects_are_answered_once::Open;

type OfOperation = fn(&Moment<'_>) -> Result<(), String>;
type OfStep = fn(&World) -> Result<(), String>;

const OF_OPERATIONS: &[(&str, OfOperation)] = &[
    ("acknowledged jobs stay", acknowledged_jobs_stay::check),
    ("attempts are on record", attempts_are_on_record::check),
    (
        "cancelled stays cancelled",
        cancelled_stays_cancelled::check,
    ),
    ("capacity holds", capacity_holds::check),
    ("capture is bounded", capture_is_bounded::check),
    ("causes are true", causes_are_true::check),
    ("counters rise", counters_rise::check),
    ("due before start", due_before_start::check),
    ("duplicates wait", duplicates_wait::check),
    ("first in, first out", first_in_first_out::check),
    ("idle before leaving", idle_before_leaving::check),
    ("losses are counted", losses_are_counted::check),
    ("queue limit holds", queue_limit_holds::check),
    ("retries are used", retries_are_used::check),
    ("refused is unchanged", refused_is_unchanged::check),
    (
        "stale tokens change nothing",
        stale_tokens_change_nothing::check,
    ),
    ("terminal states stay", terminal_states_stay::check),
    ("ticks once", ticks_once::check),
    ("whole trees die", whole_trees_die::check),
    (
        "proved dead before rescue",
        proved_dead_before_rescue::check,
    ),
];

const OF_STEPS: &[(&str, OfStep)] = &[
    ("due jobs start", due_jobs_start::check),
    ("time limits hold", time_limits_hold::check),
    ("one worker per job", one_worker_per_job::check),
    ("nobody outlives the end", nobody_outlives_the_end::check),
];

/// The first that one operation of the store broke.
pub(super) fn of_operations(moment: &Moment<'_>) -> Option<(&'static str, String)> {
    OF_OPERATIONS
        .iter()
        .find_map(|(name, check)| Some((*name, check(moment).err()?)))
}

/// The first that does not hold now.
pub(super) fn of_steps(world: &World) -> Option<(&'static str, String)> {
    OF_STEPS
        .iter()
        .find_map(|(name, check)| Some((*name, check(world).err()?)))
}
