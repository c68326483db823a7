//! Counters of dispatchers within one write transaction, read once and written back once.
//!
//! A job counts by the one spot it is in; moving it from spot to spot is the only way to change a
//! counter, so counters cannot drift from rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params};

/// Where a job stands, as far as counters are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// Queued, and may be claimed.
    Ready,
    /// Queued, and waits for its time or for a duplicate.
    Waiting,
    Running,
    Finished,
    /// Not stored (yet, or any more).
    Nowhere,
}

impl Spot {
    /// The spot of a queued job.
    pub(super) fn queued(waits_for: i64) -> Self {
        if waits_for == 0 {
            Self::Ready
        } else {
            Self::Waiting
        }
    }

    fn counts(self) -> Counts {
        let [waiting, ready, running, finished] = match self {
            Self::Ready => [1, 1, 0, 0],
            Self::Waiting => [1, 0, 0, 0],
            Self::Running => [0, 0, 1, 0],
            Self::Finished => [0, 0, 0, 1],
            Self::Nowhere => [0, 0, 0, 0],
        };
        Counts {
            waiting,
            ready,
            running,
            finished,
        }
    }
}

struct Counts {
    waiting: i64,
    ready: i64,
    running: i64,
    finished: i64,
}

/// Counters of one dispatcher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) waiting: i64,
    pub(super) running: i64,
    pub(super) finished: i64,
    pub(super) mean_run_us: Option<i64>,
    /// Key of the newest succeeded job with an output.
    pub(super) latest_output: Option<i64>,
}

/// What a transaction has changed so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    tallies: BTreeMap<i64, Tally>,
    /// Differences of (unfinished, ready), by dispatcher and queue label.
    lanes: BTreeMap<(i64, String), (i64, i64)>,
    /// The next sequence number, once one was taken.
    sequence: Option<i64>,
}

impl Ledger {
    /// The counters of a dispatcher, with everything that this transaction has done.
    pub(super) fn tally(
        &mut self,
        connection: &Connection,
        dispatcher: i64,
    ) -> rusqlite::Result<&mut Tally> {
        use std::collections::btree_map::Entry;
        match self.tallies.entry(dispatcher) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(read_tally(connection, dispatcher)?)),
        }
    }

    /// Takes a number above every one that was taken before.
    pub(super) fn next_sequence(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        let next = match self.sequence {
            Some(next) => next,
            None => connection
                .prepare_cached(sql!("sequence"))?
                .query_one([], |row| row.get(0))?,
        };
        self.sequence = Some(next + 1);
        Ok(next)
    }

    /// Moves a job from one spot to another.
    pub(super) fn shift(
        &mut self,
        connection: &Connection,
        dispatcher: i64,
        queue: &str,
        from: Spot,
        to: Spot,
    ) -> rusqlite::Result<()> {
        let (from, to) = (from.counts(), to.counts());
        let tally = self.tally(connection, dispatcher)?;
        tally.waiting += to.waiting - from.waiting;
        tally.running += to.running - from.running;
        tally.finished += to.finished - from.finished;
        let unfinished = to.waiting + to.running - from.waiting - from.running;
        let ready = to.ready - from.ready;
        if unfinished != 0 || ready != 0 {
            let lane = self
                .lanes
                .entry((dispatcher, queue.to_owned()))
                .or_default();
            lane.0 += unfinished;
            lane.1 += ready;
        }
        Ok(())
    }

    /// Writes the counters; the last step of a transaction.
    pub(super) fn flush(&self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(next) = self.sequence {
            connection
                .prepare_cached(sql!("sequence_update"))?
                .execute(named_params! { ":next": next })?;
        }
        for (dispatcher, tally) in &self.tallies {
            connection
                .prepare_cached(sql!("tally_update"))?
                .execute(named_params! {
                    ":dispatcher": dispatcher,
                    ":waiting": tally.waiting,
                    ":running": tally.running,
                    ":finished": tally.finished,
                    ":mean_run_us": tally.mean_run_us,
                    ":latest_output": tally.latest_output,
                })?;
        }
        for ((dispatcher, queue), (unfinished, ready)) in &self.lanes {
            if *unfinished == 0 && *ready == 0 {
                continue;
            }
            connection
                .prepare_cached(sql!("lane_shift"))?
                .execute(named_params! {
                    ":dispatcher": dispatcher,
                    ":queue": queue,
                    ":unfinished": unfinished,
                    ":ready": ready,
                })?;
        }
        Ok(())
    }
}

fn read_tally(connection: &Connection, dispatcher: i64) -> rusqlite::Result<Tally> {
    connection.prepare_cached(sql!("tally"))?.query_one(
        named_params! { ":dispatcher": dispatcher },
        |row| {
            Ok(Tally {
                waiting: row.get(0)?,
                running: row.get(1)?,
                finished: row.get(2)?,
                mean_run_us: row.get(3)?,
                latest_output: row.get(4)?,
            })
        },
    )
}
