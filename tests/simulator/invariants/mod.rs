//! What must hold after every operation and every step, one file each.

mod acknowledged_jobs_stay;
mod attempts_are_on_record;
mod cancelled_stays_cancelled;
mod capacity_holds;
mod capture_is_bounded;
mod capture_is_its_own;
mod causes_are_true;
mod counters_rise;
mod due_before_start;
mod due_jobs_start;
mod duplicates_wait;
mod effects_are_answered_once;
mod first_in_first_out;
mod idle_before_leaving;
pub(super) mod losses_are_counted;
mod no_boot_in_back_off;
mod nobody_outlives_the_end;
mod nothing_held_when_leaving;
mod one_worker_per_job;
mod pool_crowds_are_bounded;
mod pool_workers_keep_their_limits;
mod pools_recover;
mod proved_dead_before_rescue;
mod queue_limit_holds;
mod refused_is_unchanged;
mod requests_keep_their_limits;
mod resets_are_answered;
mod retries_are_used;
mod stale_tokens_change_nothing;
mod terminal_states_stay;
pub(super) mod ticks_once;
mod time_limits_hold;
mod whole_trees_die;

use dispatcher_core::engine::Effect;

use super::ledger::Moment;
use super::runner::RunnerId;
use super::world::World;

pub(super) use due_jobs_start::Waiting;
pub(super) use effects_are_answered_once::Open;
pub(super) use no_boot_in_back_off::BackOff;
pub(super) use nothing_held_when_leaving::check as nothing_held_when_leaving;
pub(super) use pools_recover::SETTLES;

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
    ("capture is its own", capture_is_its_own::check),
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
    (
        "pool workers keep their limits",
        pool_workers_keep_their_limits::check,
    ),
    ("pools recover", pools_recover::check),
    (
        "requests keep their limits",
        requests_keep_their_limits::check,
    ),
    ("resets are answered", resets_are_answered::check),
];

/// The first that one operation of the store broke.
pub(super) fn of_operations(moment: &Moment<'_>) -> Option<(&'static str, String)> {
    OF_OPERATIONS
        .iter()
        .find_map(|(name, check)| Some((*name, check(moment).err()?)))
}

/// What must hold when a driver is about to perform something.
pub(super) fn of_effect(world: &mut World, id: RunnerId, effect: &Effect) {
    if let Err(what) = no_boot_in_back_off::check(world, id, effect) {
        world.broken("no boot in back-off", what);
    }
}

/// What must hold when a driver has performed everything.
pub(super) fn of_rest(world: &mut World, id: RunnerId) {
    if let Err(what) = resets_are_answered::of_ends(world, id) {
        world.broken("resets end only whom they replace", what);
    }
    if let Err(what) = pool_crowds_are_bounded::check(world, id) {
        world.broken("pool crowds are bounded", what);
    }
}

/// The first that does not hold now.
pub(super) fn of_steps(world: &World) -> Option<(&'static str, String)> {
    OF_STEPS
        .iter()
        .find_map(|(name, check)| Some((*name, check(world).err()?)))
}
