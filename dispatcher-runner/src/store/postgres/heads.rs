//! The ready jobs that a claim chooses from, read lane by lane and locked as they are read.
//!
//! A few of every lane are read at once; the choice says where it needs more, and is made again. It
//! is a pure function of what was read, so that nothing is chosen twice.

use std::collections::BTreeMap;

use super::errors::Failure;
use super::transaction::Tx;
use super::{count, rows};
use crate::store::ClaimRequest;
use crate::store::pick::{self, Contender, Fetch, Head};
use crate::store::rules;

/// What to do about dispatchers that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    OrSkipped,
    AfterOthers,
}

/// From where lanes and running jobs are read; those that are not named, from their beginning.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) lanes: (Vec<i32>, Vec<i64>),
    pub(super) dispatchers: (Vec<i32>, Vec<i64>),
}

pub(super) struct Heads {
    /// Dispatchers that may get work, and their lanes in the same order.
    contenders: Vec<(u32, u32)>,
    lanes: Vec<Vec<Lane>>,
    /// Of dispatchers: the claim before which nothing of it runs.
    running_from: BTreeMap<i32, i64>,
    skipped: bool,
    build: i64,
}

/// One queue label and priority of one dispatcher.
struct Lane {
    id: i32,
    rank: i64,
    low: i64,
    heads: Vec<Head>,
    /// Nothing is behind the heads that were read.
    whole: bool,
}

/// The choice needs more of a lane than was read.
struct Missing {
    contender: usize,
    lane: usize,
    limit: usize,
}

impl Heads {
    /// Locks what must be locked, and reads the first ready jobs of every lane.
    pub(super) async fn read(
        tx: &Tx<'_>,
        request: &ClaimRequest,
        from: &Marks,
        locked: Locked,
        open: usize,
    ) -> Result<Self, Failure> {
        let slots = request.slots.len();
        let share = slots.div_ceil(open.max(1)).max(1);
        let limit = i64::try_from(share).unwrap_or(i64::MAX);
        let (names, queues) = (&request.serves.dispatchers, &request.serves.queues);
        let lock = match locked {
            Locked::OrSkipped => sql!("limited_lock_free"),
            Locked::AfterOthers => sql!("limited_lock"),
        };
        let supervisor = request.supervisor.0;
        let me_values = with![supervisor => INT8];
        let lock_values = with![names => TEXT_ARRAY];
        let head_values = with![
            names => TEXT_ARRAY,
            queues => TEXT_ARRAY,
            supervisor => INT8,
            from.lanes.0 => INT4_ARRAY,
            from.lanes.1 => INT8_ARRAY,
            limit => INT8,
            i64::try_from(rules::LEFT_TO_NEWER_MAX.as_millis()).unwrap_or(i64::MAX) => INT8,
            from.dispatchers.0 => INT4_ARRAY,
            from.dispatchers.1 => INT8_ARRAY,
        ];
        let (me, (limited, found)) = futures_util::future::try_join(
            tx.row_or_none(sql!("supervisor_lock"), me_values),
            futures_util::future::try_join(
                tx.rows(lock, lock_values),
                tx.rows(sql!("heads"), head_values),
            ),
        )
        .await?;
        let mut heads = Self {
            contenders: Vec::new(),
            lanes: Vec::new(),
            running_from: BTreeMap::new(),
            skipped: false,
            build: i64::MIN,
        };
        let Some(me) = me else {
            return Ok(heads);
        };
        heads.build = me.try_get(0)?;
        let limited = limited
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<Vec<i32>, _>>()?;
        heads.sort(&found, &limited, request.worker_slots, share)?;
        Ok(heads)
    }

    fn sort(
        &mut self,
        found: &[tokio_postgres::Row],
        limited: &[i32],
        worker_slots: u32,
        share: usize,
    ) -> Result<(), Failure> {
        let mut places: BTreeMap<i32, usize> = BTreeMap::new();
        for row in found {
            let dispatcher: i32 = row.try_get(0)?;
            let concurrency = rows::number_u32(row, 1)?;
            if concurrency > 0 && !limited.contains(&dispatcher) {
                self.skipped = true;
                continue;
            }
            self.running_from.insert(dispatcher, row.try_get(9)?);
            let running = count(row.try_get(2)?);
            let capacity = rules::capacity(concurrency, running, worker_slots);
            if capacity == 0 {
                continue;
            }
            let place = *places.entry(dispatcher).or_insert_with(|| {
                self.contenders.push((capacity, running));
                self.lanes.push(Vec::new());
                self.lanes.len() - 1
            });
            let lanes = &mut self.lanes[place];
            let id: i32 = row.try_get(3)?;
            let rank = i64::from(row.try_get::<_, i32>(4)?);
            if lanes.last().is_none_or(|last| last.id != id) {
                lanes.push(Lane {
                    id,
                    rank,
                    low: row.try_get(8)?,
                    heads: Vec::new(),
                    whole: false,
                });
            }
            let lane = lanes.len() - 1;
            lanes[lane].heads.push(Head {
                key: row.try_get(5)?,
                rank,
                seq: row.try_get(6)?,
                run_at: row.try_get(7)?,
            });
        }
        for lane in self.lanes.iter_mut().flatten() {
            lane.whole = lane.heads.len() < share;
        }
        Ok(())
    }

    /// Whether a dispatcher with ready jobs was locked by somebody else.
    pub(super) fn skipped(&self) -> bool {
        self.skipped
    }

    /// Of dispatchers with ready jobs: the claim before which nothing of it runs. That is so for as
    /// long as their rows are locked, and afterwards, since claims only rise; for those without a
    /// limit, whose rows nobody locks, it may be wrong for a while.
    pub(super) fn running_from(&self) -> &BTreeMap<i32, i64> {
        &self.running_from
    }

    /// Lanes with ready jobs.
    pub(super) fn open_lanes(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Chooses, and reads on where the choice needs it.
    pub(super) async fn pick(
        &mut self,
        tx: &Tx<'_>,
        request: &ClaimRequest,
    ) -> Result<Vec<i64>, Failure> {
        loop {
            let contenders = self
                .contenders
                .iter()
                .zip(&self.lanes)
                .map(|((capacity, running), lanes)| {
                    Contender::new(*capacity, *running, lanes.len())
                })
                .collect();
            let missing = match pick::pick(contenders, request.slots.len(), |it| self.fetch(it)) {
                Ok(picked) => return Ok(picked),
                Err(missing) => missing,
            };
            self.read_on(tx, &missing).await?;
        }
    }

    fn fetch(&self, fetch: Fetch) -> Result<Vec<Head>, Missing> {
        let lane = &self.lanes[fetch.contender][fetch.lane];
        let after = fetch.after.map_or(i64::MIN, |(_, seq)| seq);
        let rest = lane.heads.iter().filter(|head| head.seq > after);
        let heads: Vec<Head> = rest.take(fetch.limit).copied().collect();
        if heads.len() < fetch.limit && !lane.whole {
            return Err(Missing {
                contender: fetch.contender,
                lane: fetch.lane,
                limit: fetch.limit - heads.len(),
            });
        }
        Ok(heads)
    }

    async fn read_on(&mut self, tx: &Tx<'_>, missing: &Missing) -> Result<(), Failure> {
        let lane = &mut self.lanes[missing.contender][missing.lane];
        let after = lane.heads.last().map_or(lane.low, |head| head.seq + 1);
        let limit = i64::try_from(missing.limit).unwrap_or(i64::MAX);
        let values = with![
            lane.id => INT4,
            after => INT8,
            limit => INT8,
            self.build => INT8,
            i64::try_from(rules::LEFT_TO_NEWER_MAX.as_millis()).unwrap_or(i64::MAX) => INT8,
        ];
        let found = tx.rows(sql!("heads_of_lane"), values).await?;
        lane.whole = found.len() < missing.limit;
        for row in &found {
            lane.heads.push(Head {
                key: row.try_get(0)?,
                rank: lane.rank,
                seq: row.try_get(1)?,
                run_at: row.try_get(2)?,
            });
        }
        Ok(())
    }

    /// Lanes and numbers of chosen jobs.
    pub(super) fn places(&self, picked: &[i64]) -> Vec<(i32, i64)> {
        let lanes = self.lanes.iter().flatten();
        lanes
            .flat_map(|lane| lane.heads.iter().map(|head| (lane.id, head)))
            .filter(|(_, head)| picked.contains(&head.key))
            .map(|(lane, head)| (lane, head.seq))
            .collect()
    }
}
