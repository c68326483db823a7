//! Submission: groups that are all or nothing, under one durable commit.
//!
//! The limit of the queue, the look for duplicates and the insertion share one write transaction,
//! so that fifty processes at once cannot get past `max_queue`. A refused group is rolled back to
//! its savepoint, rows of dispatchers and counters included.

use std::time::Duration;

use dispatcher_core::{DispatcherOptions, OnDuplicate};
use rusqlite::{OptionalExtension as _, named_params};

use super::ledger::Spot;
use super::{Durability, SqliteStore, Unit, batches, callbacks, errors, receipts, rows, supervise};
use crate::store::rules::{self, Verdict};
use crate::store::{
    Accepted, Build, DispatcherRow, NewJob, StoreError, Submission, SubmitError, Submitted,
};

/// Why a group is not stored: a refusal, or an error of its own.
pub(super) enum Refusal {
    Full(SubmitError),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn submit(
    store: &mut SqliteStore,
    groups: &[Submission],
) -> Vec<Result<Submitted, SubmitError>> {
    let path = store.path.clone();
    let wait_max = store.wait_max;
    let committed = store.write(Durability::Synced, |unit| {
        groups
            .iter()
            .map(|submission| match guarded(unit, submission)? {
                Ok(submitted) => Ok(Ok(submitted)),
                Err(Refusal::Full(refusal)) => Ok(Err(refusal)),
                Err(Refusal::Failed(error)) => {
                    Ok(Err(errors::explain(&path, wait_max, &error).into()))
                }
            })
            .collect::<rusqlite::Result<Vec<_>>>()
    });
    match committed {
        Ok(answers) => answers,
        Err(error) => refuse_all(groups.len(), error),
    }
}

/// Nothing was committed, so nobody may be told otherwise, whatever its own group had come to.
fn refuse_all(groups: usize, error: StoreError) -> Vec<Result<Submitted, SubmitError>> {
    let mut answers: Vec<_> = (1..groups)
        .map(|_| Err(errors::again(&error).into()))
        .collect();
    if groups > 0 {
        answers.push(Err(error.into()));
    }
    answers
}

/// One group under its savepoint. The outer error is one that ends the whole transaction.
fn guarded(
    unit: &mut Unit<'_>,
    submission: &Submission,
) -> rusqlite::Result<Result<Submitted, Refusal>> {
    let connection = unit.connection;
    let ledger = unit.ledger.clone();
    connection
        .prepare_cached("SAVEPOINT a_group")?
        .execute([])?;
    let answer = group(unit, submission);
    if let Err(refusal) = answer {
        if connection.is_autocommit() {
            // SQLite gave up the transaction: no group of it exists any more.
            return match refusal {
                Refusal::Failed(error) => Err(error),
                Refusal::Full(_) => Err(rusqlite::Error::InvalidQuery),
            };
        }
        unit.ledger = ledger;
        connection
            .prepare_cached("ROLLBACK TO a_group")?
            .execute([])?;
        connection.prepare_cached("RELEASE a_group")?.execute([])?;
        return match refusal {
            Refusal::Failed(error) if !is_of_one_group(&error) => Err(error),
            Refusal::Failed(_) | Refusal::Full(_) => Ok(Err(refusal)),
        };
    }
    connection.prepare_cached("RELEASE a_group")?.execute([])?;
    Ok(answer)
}

/// An id that exists already is the fault of one group; a full disk concerns all of them.
fn is_of_one_group(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

fn group(unit: &mut Unit<'_>, submission: &Submission) -> Result<Submitted, Refusal> {
    let wanted = submission.receipt.as_ref();
    let before = wanted.map_or(Ok(None), |wanted| receipts::before(unit, wanted))?;
    if let Some(before) = before {
        return Ok(Submitted {
            jobs: before.jobs,
            supervisors: supervise::rows(unit.connection, sql!("supervisors_open"))?,
            replay_of: Some(before.note),
        });
    }
    let batch = submission.batch.as_ref();
    let batch_key = batch.map(|batch| batches::begin(unit, batch)).transpose()?;
    let mut known = Vec::with_capacity(submission.dispatchers.len());
    for row in &submission.dispatchers {
        known.push((row.name.as_str(), upsert(unit, row)?));
    }
    let mut jobs = Vec::with_capacity(submission.jobs.len());
    for job in &submission.jobs {
        let registered = known.iter().find(|(name, _)| *name == job.dispatcher);
        let dispatcher = match registered {
            Some((_, dispatcher)) => dispatcher.clone(),
            None => unregistered(unit, &job.dispatcher)?,
        };
        jobs.push(one(unit, job, &dispatcher, batch_key)?);
    }
    if let (Some(batch), Some(key)) = (batch, batch_key) {
        let own = jobs.iter().filter(|job| !job.duplicate).map(|job| job.id);
        batches::write(unit, key, batch, &own.collect::<Vec<_>>())?;
    }
    callbacks::write(unit, &submission.callbacks, &jobs)?;
    if let Some(wanted) = wanted {
        receipts::write(unit, wanted, &jobs)?;
    }
    Ok(Submitted {
        jobs,
        supervisors: supervise::rows(unit.connection, sql!("supervisors_open"))?,
        replay_of: None,
    })
}

/// Stores one job; a refused one has written nothing.
pub(super) fn one(
    unit: &mut Unit<'_>,
    job: &NewJob,
    dispatcher: &Registered,
    batch: Option<i64>,
) -> Result<Accepted, Refusal> {
    let policy = rules::policy(dispatcher.options.on_duplicate, &job.options);
    let verdict = verdict(unit, job, dispatcher.id, policy)?;
    let held = match verdict {
        Verdict::Drop(survivor) => {
            return Ok(Accepted {
                id: survivor,
                duplicate: true,
            });
        }
        Verdict::Accept => false,
        Verdict::Hold => true,
    };
    check_room(unit, job, dispatcher)?;
    let place = Place::of(job, dispatcher.id, held, unit.now);
    let watched = rules::is_watched(policy, &job.options);
    insert(
        unit,
        job,
        &Place {
            watched,
            batch,
            ..place
        },
    )?;
    Ok(Accepted {
        id: job.id,
        duplicate: false,
    })
}

/// Stores a job that nothing refuses and that no duplicate holds.
pub(super) fn whatever_the_queue(unit: &mut Unit<'_>, job: &NewJob) -> rusqlite::Result<()> {
    let dispatcher = unregistered(unit, &job.dispatcher)?;
    let place = Place::of(job, dispatcher.id, false, unit.now);
    insert(unit, job, &place)
}

fn verdict(
    unit: &Unit<'_>,
    job: &NewJob,
    dispatcher: i64,
    policy: OnDuplicate,
) -> rusqlite::Result<Verdict> {
    if !rules::watches(policy) {
        return Ok(Verdict::Accept);
    }
    let mut statement = unit.connection.prepare_cached(sql!("twins"))?;
    let twins = statement
        .query_map(
            named_params! { ":dispatcher": dispatcher, ":identity": rules::identity(job) },
            |row| rows::job_id(row, 0),
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rules::verdict(policy, &twins))
}

fn check_room(unit: &mut Unit<'_>, job: &NewJob, dispatcher: &Registered) -> Result<(), Refusal> {
    let DispatcherOptions {
        max_queue,
        concurrency,
        ..
    } = dispatcher.options;
    let tally = unit.ledger.tally(unit.connection, dispatcher.id)?;
    let unfinished = tally.waiting + tally.running;
    if max_queue == 0 || unfinished < i64::from(max_queue) {
        return Ok(());
    }
    Err(Refusal::Full(SubmitError::QueueFull {
        dispatcher: job.dispatcher.clone(),
        max_queue,
        unfinished: rows::count(unfinished),
        concurrency,
        mean_run: tally
            .mean_run_us
            .map(|us| Duration::from_micros(us.unsigned_abs())),
    }))
}

/// Where a new job goes.
struct Place {
    dispatcher: i64,
    watched: bool,
    waits_for: i64,
    run_at: i64,
    batch: Option<i64>,
}

impl Place {
    fn of(job: &NewJob, dispatcher: i64, held: bool, now: i64) -> Self {
        let delay = job.options.delay.map_or(0, rules::millis);
        Self {
            dispatcher,
            watched: false,
            waits_for: match (held, delay) {
                (true, _) => 2,
                (false, 0) => 0,
                (false, _) => 1,
            },
            run_at: now + delay,
            batch: None,
        }
    }
}

fn insert(unit: &mut Unit<'_>, job: &NewJob, place: &Place) -> rusqlite::Result<()> {
    let key = unit.ledger.next_sequence(unit.connection)?;
    let expires_ms = job.options.expires.map(rules::millis);
    unit.connection
        .prepare_cached(sql!("job_insert"))?
        .execute(named_params! {
            ":key": key,
            ":id": job.id.as_str(),
            ":dispatcher": place.dispatcher,
            ":queue": job.options.queue,
            ":identity": rules::identity(job),
            ":watched": place.watched,
            ":waits_for": place.waits_for,
            ":rank": -i64::from(job.options.priority),
            ":submitted_at": unit.now,
            ":run_at": place.run_at,
            ":expires_ms": expires_ms,
            ":expires_at": expires_ms.map(|expires| place.run_at.saturating_add(expires)),
            ":batch": place.batch,
        })?;
    let options = unit.texts.text(&job.options)?;
    unit.connection
        .prepare_cached(sql!("request_insert"))?
        .execute(named_params! {
            ":job": key,
            ":payload": job.payload,
            ":options": options,
            ":origin": job.origin,
            ":build_modified_ns": job.build.modified_ns,
            ":build_id": job.build.id,
            ":retry_of": job.retry_of.as_ref().map(|id| id.as_str()),
        })?;
    let spot = Spot::queued(place.waits_for);
    unit.ledger.shift(
        unit.connection,
        place.dispatcher,
        &job.options.queue,
        Spot::Nowhere,
        spot,
    )
}

/// A dispatcher's row, as far as submissions need it.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub(super) id: i64,
    options: DispatcherOptions,
}

/// A dispatcher that nobody has registered gets the defaults, and gives way to any build.
fn unregistered(unit: &Unit<'_>, name: &str) -> rusqlite::Result<Registered> {
    let stored = unit
        .connection
        .prepare_cached(sql!("dispatcher_by_name"))?
        .query_one(named_params! { ":name": name }, |row| {
            Ok(Registered {
                id: row.get(0)?,
                options: rows::json(row, 3)?,
            })
        })
        .optional()?;
    match stored {
        Some(stored) => Ok(stored),
        None => add(
            unit,
            &DispatcherRow {
                name: name.to_owned(),
                build: Build {
                    modified_ns: i64::MIN,
                    id: String::new(),
                },
                options: DispatcherOptions::default(),
                about: String::new(),
            },
        ),
    }
}

/// Inserts or refreshes a dispatcher's row; writes only if there is something new.
pub(super) fn upsert(unit: &Unit<'_>, row: &DispatcherRow) -> rusqlite::Result<Registered> {
    let stored = unit
        .connection
        .prepare_cached(sql!("dispatcher_by_name"))?
        .query_one(named_params! { ":name": row.name }, |stored| {
            let id: i64 = stored.get(0)?;
            let stored = DispatcherRow {
                name: row.name.clone(),
                build: rows::build(stored, 1)?,
                options: rows::json(stored, 3)?,
                about: stored.get(4)?,
            };
            Ok((id, stored))
        })
        .optional()?;
    let Some((id, stored)) = stored else {
        return add(unit, row);
    };
    if !rules::replaces(row, &stored) {
        return Ok(Registered {
            id,
            options: stored.options,
        });
    }
    unit.connection
        .prepare_cached(sql!("dispatcher_update"))?
        .execute(named_params! {
            ":id": id,
            ":build_modified_ns": row.build.modified_ns,
            ":build_id": row.build.id,
            ":options": rows::to_json(&row.options)?,
            ":about": row.about,
        })?;
    let watched = |row: &DispatcherRow| rules::watches(row.options.on_duplicate);
    if watched(row) && !watched(&stored) {
        unit.connection
            .prepare_cached(sql!("watch_all"))?
            .execute(named_params! { ":dispatcher": id })?;
    }
    Ok(Registered {
        id,
        options: row.options.clone(),
    })
}

fn add(unit: &Unit<'_>, row: &DispatcherRow) -> rusqlite::Result<Registered> {
    let id = unit
        .connection
        .prepare_cached(sql!("dispatcher_insert"))?
        .query_one(
            named_params! {
                ":name": row.name,
                ":build_modified_ns": row.build.modified_ns,
                ":build_id": row.build.id,
                ":options": rows::to_json(&row.options)?,
                ":about": row.about,
            },
            |row| row.get(0),
        )?;
    unit.connection
        .prepare_cached(sql!("tally_insert"))?
        .execute(named_params! { ":dispatcher": id })?;
    Ok(Registered {
        id,
        options: row.options.clone(),
    })
}
