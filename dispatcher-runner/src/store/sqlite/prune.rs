//! Pruning of finished jobs, a bounded number per call.
//!
//! The job that a dispatcher's `latest_output` points at is never taken.

use rusqlite::{Connection, ToSql, named_params};

use super::ledger::Spot;
use super::{Unit, batches};
use crate::store::{Retention, rules};

pub(super) fn prune(
    unit: &mut Unit<'_>,
    retention: &Retention,
    batch: usize,
) -> rusqlite::Result<u64> {
    let before = unit.now.saturating_sub(rules::millis(retention.age));
    let count_max = i64::try_from(retention.count_per_dispatcher).unwrap_or(i64::MAX);
    let mut left = i64::try_from(batch).unwrap_or(i64::MAX);
    let mut removed = 0;
    for (dispatcher, finished, keep) in finished(unit.connection)? {
        let old = keys(
            unit.connection,
            sql!("prune_old"),
            named_params! {
                ":dispatcher": dispatcher, ":before": before, ":keep": keep, ":limit": left,
            },
        )?;
        let pruned = remove(unit, dispatcher, &old)?;
        left -= pruned;
        let excess = (finished - pruned - count_max).max(0);
        let oldest = keys(
            unit.connection,
            sql!("prune_oldest"),
            named_params! {
                ":dispatcher": dispatcher, ":keep": keep, ":limit": excess.min(left),
            },
        )?;
        let excess = remove(unit, dispatcher, &oldest)?;
        left -= excess;
        removed += pruned + excess;
        if left == 0 {
            break;
        }
    }
    batches::prune(unit, before, i64::try_from(batch).unwrap_or(i64::MAX))?;
    unit.connection
        .prepare_cached(sql!("lanes_prune"))?
        .execute([])?;
    Ok(removed.unsigned_abs())
}

type Finished = (i64, i64, Option<i64>);

fn finished(connection: &Connection) -> rusqlite::Result<Vec<Finished>> {
    connection
        .prepare_cached(sql!("prune_tallies"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

fn keys(
    connection: &Connection,
    statement: &str,
    parameters: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached(statement)?
        .query_map(parameters, |row| row.get(0))?
        .collect()
}

fn remove(unit: &mut Unit<'_>, dispatcher: i64, keys: &[i64]) -> rusqlite::Result<i64> {
    for key in keys {
        for statement in [
            sql!("prune_requests"),
            sql!("prune_outputs"),
            sql!("prune_attempts"),
            sql!("prune_captures"),
            sql!("prune_job"),
        ] {
            unit.connection
                .prepare_cached(statement)?
                .execute(named_params! { ":key": key })?;
        }
        unit.ledger.shift(
            unit.connection,
            dispatcher,
            "",
            Spot::Finished,
            Spot::Nowhere,
        )?;
    }
    i64::try_from(keys.len()).map_err(|_| rusqlite::Error::InvalidQuery)
}
