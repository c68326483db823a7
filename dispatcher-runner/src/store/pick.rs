//! The claim order, as a merge over lanes that reads as little of each as it can.
//!
//! In each round every dispatcher with a ready job and free capacity gets one: first those with
//! nothing running, then by priority, then by the oldest due job. Inside a dispatcher the order
//! is (priority, sequence), whatever the queue labels are.

use std::collections::VecDeque;

/// The job at the front of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: i64,
    /// Negated priority: lower goes first.
    pub(super) rank: i64,
    pub(super) seq: i64,
    pub(super) run_at: i64,
}

/// A dispatcher that may get work.
#[derive(Debug)]
pub(super) struct Contender {
    /// Attempts that may start now.
    pub(super) capacity: u32,
    /// Attempts that run now.
    pub(super) running: u32,
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    read: VecDeque<Head>,
    after: Option<(i64, i64)>,
    exhausted: bool,
}

/// What to read next: heads of one lane, after a place in its order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    pub(super) contender: usize,
    pub(super) lane: usize,
    /// (rank, seq) of the last head read.
    pub(super) after: Option<(i64, i64)>,
    pub(super) limit: usize,
}

impl Contender {
    pub(super) fn new(capacity: u32, running: u32, lanes: usize) -> Self {
        Self {
            capacity,
            running,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
        }
    }
}

/// Chooses at most `slots` jobs, in the order in which they start.
pub(super) fn pick<E>(
    mut contenders: Vec<Contender>,
    slots: usize,
    mut fetch: impl FnMut(Fetch) -> Result<Vec<Head>, E>,
) -> Result<Vec<i64>, E> {
    let mut picked = Vec::new();
    while picked.len() < slots {
        let open = contenders.iter().filter(|one| one.capacity > 0).count();
        let share = (slots - picked.len()).div_ceil(open.max(1));
        let mut round = Vec::new();
        for (index, contender) in contenders.iter_mut().enumerate() {
            if contender.capacity == 0 {
                continue;
            }
            let limit = share.min(contender.capacity as usize).max(1);
            match front(contender, index, limit, &mut fetch)? {
                Some((lane, head)) => {
                    let idle_first = contender.running > 0;
                    round.push((idle_first, head.rank, head.run_at, head.seq, index, lane));
                }
                None => contender.capacity = 0,
            }
        }
        if round.is_empty() {
            break;
        }
        round.sort_unstable();
        for (_, _, _, _, index, lane) in round.into_iter().take(slots - picked.len()) {
            let contender = &mut contenders[index];
            contender.capacity -= 1;
            contender.running += 1;
            picked.extend(contender.lanes[lane].read.pop_front().map(|head| head.key));
        }
    }
    Ok(picked)
}

/// The first of all lanes of a dispatcher, read on where a lane has run out.
fn front<E>(
    contender: &mut Contender,
    index: usize,
    limit: usize,
    fetch: &mut impl FnMut(Fetch) -> Result<Vec<Head>, E>,
) -> Result<Option<(usize, Head)>, E> {
    for (number, lane) in contender.lanes.iter_mut().enumerate() {
        if lane.read.is_empty() && !lane.exhausted {
            let heads = fetch(Fetch {
                contender: index,
                lane: number,
                after: lane.after,
                limit,
            })?;
            lane.exhausted = heads.len() < limit;
            lane.after = heads.last().map(|head| (head.rank, head.seq));
            lane.read = heads.into();
        }
    }
    let fronts = contender.lanes.iter().enumerate();
    Ok(fronts
        .filter_map(|(number, lane)| lane.read.front().map(|head| (number, *head)))
        .min_by_key(|(_, head)| (head.rank, head.seq)))
}
