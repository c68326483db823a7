//! Claims: expired jobs end, due ones become ready, then ready ones are taken in order.
//!
//! The cost follows the number of queue labels in use and of jobs taken; neither the length of a
//! queue nor history matters, since only partial indexes over unfinished jobs are read.

use std::time::Duration;

use dispatcher_core::{Cause, Counters, DispatcherOptions, JobState};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::ledger::Spot;
use super::{Unit, record, rows};
use crate::store::pick::{self, Contender, Head};
use crate::store::rules::{self, DUE_PER_CLAIM_MAX};
use crate::store::{Claim, ClaimRequest, Claimed, UnixMs};

pub(super) fn claim(unit: &mut Unit<'_>, request: &ClaimRequest) -> rusqlite::Result<Claim> {
    let mut claim = Claim::default();
    expire(unit)?;
    promote(unit)?;
    if !request.slots.is_empty()
        && let Some(build) = build_if_open(unit, request)?
    {
        let (contenders, lanes) = contenders(unit, request)?;
        let keys = pick::pick(contenders, request.slots.len(), |fetch| {
            let lane = &lanes[fetch.contender][fetch.lane];
            heads(unit, lane, fetch.after, fetch.limit)
        })?;
        for (key, slot) in keys.into_iter().zip(&request.slots) {
            let to = (build, *slot);
            claim.jobs.extend(take(unit, request, &lanes, key, to)?);
        }
    }
    claim.next_due = next_due(unit.connection, unit.now)?;
    Ok(claim)
}

/// The answer to a claim that would change nothing and find nothing, read without the write lock,
/// so that supervisors that are woken in vain are in nobody's way. What somebody else changes
/// between the two looks comes with a wake-up.
pub(super) fn nothing(connection: &Connection, now: UnixMs) -> rusqlite::Result<Option<Claim>> {
    let next_due = next_due(connection, now)?;
    let is_ready: bool = connection
        .prepare_cached(sql!("is_anything_ready"))?
        .query_one([], |row| row.get(0))?;
    let is_nothing = !is_ready && next_due != Some(Duration::ZERO);
    Ok(is_nothing.then_some(Claim {
        jobs: Vec::new(),
        next_due,
    }))
}

fn build_if_open(unit: &Unit<'_>, request: &ClaimRequest) -> rusqlite::Result<Option<i64>> {
    unit.connection
        .prepare_cached(sql!("supervisor_is_open"))?
        .query_one(named_params! { ":id": request.supervisor.0 }, |row| {
            row.get(0)
        })
        .optional()
}

fn expire(unit: &mut Unit<'_>) -> rusqlite::Result<()> {
    let expired = unit
        .connection
        .prepare_cached(sql!("expired"))?
        .query_map(
            named_params! { ":now": unit.now, ":limit": DUE_PER_CLAIM_MAX as i64 },
            |row| {
                Ok(record::Subject {
                    key: row.get(0)?,
                    dispatcher: row.get(1)?,
                    queue: row.get(2)?,
                    identity: row.get(3)?,
                    watched: row.get(4)?,
                    batch: row.get(6)?,
                    called: row.get(7)?,
                    spot: Spot::queued(row.get(5)?),
                })
            },
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let outcome = rules::outcome(Cause::Expired);
    for job in &expired {
        record::end_queued(unit, job, JobState::Failed, &outcome)?;
    }
    expired
        .iter()
        .try_for_each(|job| record::release(unit, job))
}

fn promote(unit: &mut Unit<'_>) -> rusqlite::Result<()> {
    let mut statement = unit.connection.prepare_cached(sql!("promote_due"))?;
    let mut promoted =
        statement.query(named_params! { ":now": unit.now, ":limit": DUE_PER_CLAIM_MAX as i64 })?;
    while let Some(row) = promoted.next()? {
        let queue = row.get_ref(1)?.as_str()?;
        let dispatcher = row.get(0)?;
        unit.ledger.shift(
            unit.connection,
            dispatcher,
            queue,
            Spot::Waiting,
            Spot::Ready,
        )?;
    }
    drop(promoted);
    drop(statement);
    // What was promoted is in the rows now, and must be in the lanes when they are read next.
    unit.ledger.flush(unit.connection)?;
    unit.ledger = super::Ledger::default();
    Ok(())
}

/// One queue label of one dispatcher.
struct Lane {
    dispatcher: i64,
    name: String,
    queue: String,
}

/// Dispatchers that may get work, and their lanes in the same order.
fn contenders(
    unit: &Unit<'_>,
    request: &ClaimRequest,
) -> rusqlite::Result<(Vec<Contender>, Vec<Vec<Lane>>)> {
    let serves = &request.serves;
    let mut statement = unit.connection.prepare_cached(sql!("lanes_ready"))?;
    let mut found = statement.query([])?;
    let mut numbers = Vec::new();
    let mut lanes: Vec<Vec<Lane>> = Vec::new();
    while let Some(row) = found.next()? {
        let lane = Lane {
            dispatcher: row.get(0)?,
            queue: row.get(1)?,
            name: row.get(2)?,
        };
        let labelled = rules::serves_label(&serves.queues, &lane.queue);
        if !labelled || !serves.dispatchers.contains(&lane.name) {
            continue;
        }
        let options: DispatcherOptions = rows::json(row, 3)?;
        let running = rows::count(row.get(4)?);
        let capacity = rules::capacity(options.concurrency, running, request.worker_slots);
        if capacity == 0 {
            continue;
        }
        match lanes.last_mut() {
            Some(same) if same[0].dispatcher == lane.dispatcher => same.push(lane),
            Some(_) | None => {
                numbers.push((capacity, running));
                lanes.push(vec![lane]);
            }
        }
    }
    let contenders = numbers
        .into_iter()
        .zip(&lanes)
        .map(|((capacity, running), lanes)| Contender::new(capacity, running, lanes.len()))
        .collect();
    Ok((contenders, lanes))
}

fn heads(
    unit: &Unit<'_>,
    lane: &Lane,
    after: Option<(i64, i64)>,
    limit: usize,
) -> rusqlite::Result<Vec<Head>> {
    let (rank, seq) = after.unwrap_or((i64::MIN, i64::MIN));
    unit.connection
        .prepare_cached(sql!("heads"))?
        .query_map(
            named_params! {
                ":dispatcher": lane.dispatcher,
                ":queue": lane.queue,
                ":rank": rank,
                ":seq": seq,
                ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
            },
            |row| {
                Ok(Head {
                    key: row.get(0)?,
                    rank: row.get(1)?,
                    seq: row.get(2)?,
                    run_at: row.get(3)?,
                })
            },
        )?
        .collect()
}

fn take(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    lanes: &[Vec<Lane>],
    key: i64,
    (build, slot): (i64, u32),
) -> rusqlite::Result<Option<Claimed>> {
    let (payload, options, sender): (_, _, i64) = unit
        .connection
        .prepare_cached(sql!("request"))?
        .query_one(named_params! { ":job": key }, |row| {
            Ok((row.get(0)?, unit.texts.options(row, 1)?, row.get(2)?))
        })?;
    if sender > build && is_left(unit, key)? {
        return Ok(None);
    }
    let taken = unit
        .connection
        .prepare_cached(sql!("claim"))?
        .query_one(
            named_params! {
                ":key": key,
                ":supervisor": request.supervisor.0,
                ":slot": slot,
                ":now": unit.now,
            },
            |row| {
                let counters = Counters {
                    attempt: row.get(1)?,
                    failures: row.get(2)?,
                    token: row.get::<_, i64>(3)?.unsigned_abs(),
                };
                let place: (i64, String, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
                Ok((rows::job_id(row, 0)?, counters, row.get(4)?, place))
            },
        )
        .optional()?;
    let Some((job, counters, snoozes, (dispatcher, queue, run_at))) = taken else {
        return Ok(None);
    };
    unit.claimed.insert(job, key);
    let connection = unit.connection;
    unit.ledger
        .shift(connection, dispatcher, &queue, Spot::Ready, Spot::Running)?;
    let name = lanes
        .iter()
        .map(|lanes| &lanes[0])
        .find(|lane| lane.dispatcher == dispatcher)
        .map_or_else(String::new, |lane| lane.name.clone());
    Ok(Some(Claimed {
        job,
        slot,
        dispatcher: name,
        payload,
        options,
        counters,
        snoozes,
        waited: rules::until(run_at, unit.now),
    }))
}

/// Whether a job of a newer build is left to that.
fn is_left(unit: &Unit<'_>, key: i64) -> rusqlite::Result<bool> {
    let ready_since = unit
        .connection
        .prepare_cached(sql!("ready_since"))?
        .query_one(named_params! { ":key": key }, |row| row.get(0))?;
    Ok(rules::until(ready_since, unit.now) < rules::LEFT_TO_NEWER_MAX)
}

/// Time until a claim would expire or promote something.
fn next_due(connection: &Connection, now: UnixMs) -> rusqlite::Result<Option<Duration>> {
    let (due, expires): (Option<UnixMs>, Option<UnixMs>) = connection
        .prepare_cached(sql!("next_due"))?
        .query_one([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let next = [due, expires].into_iter().flatten().min();
    Ok(next.map(|instant| rules::until(now, instant)))
}
