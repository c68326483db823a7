//! One conversation with the store: what is asked at once, and in which order.
//!
//! Ends go before claims, so a claim sees the freed capacity; a claim without an answer may have
//! been granted, and whatever it gave is looked for before anything else is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{AttemptId, Lane};

use super::{Answer, Claimed, Recorded, Unrecorded, names};
use crate::store::{
    self, Claim, ClaimRequest, HandOver, NewSupervisor, ProgressNote, Record, Serves, Store,
    StoreError, SupervisorId,
};

/// What the next transaction will ask.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) renew: Option<(SupervisorId, Duration)>,
    pub(super) reopen: Option<NewSupervisor>,
    pub(super) records: Vec<(AttemptId, Record)>,
    pub(super) notes: Vec<ProgressNote>,
    pub(super) claims: BTreeMap<Lane, LaneClaim>,
    /// What the supervisor knows that it holds.
    pub(super) known: Arc<BTreeSet<(JobId, u64)>>,
    /// Lanes for which it may hold more.
    pub(super) doubts: BTreeSet<Lane>,
    pub(super) cancellations: Option<SupervisorId>,
    pub(super) close: Option<Closing>,
}

/// What one lane asks for.
pub(super) struct LaneClaim {
    pub(super) request: ClaimRequest,
    pub(super) pool_slot: Option<u32>,
    /// Slots of all pools: a job in another one is of the lane without pool.
    pub(super) pool_slots: Vec<u32>,
}

/// Whose row is to be closed, and how.
pub(super) struct Closing {
    pub(super) supervisor: SupervisorId,
    pub(super) serves: Serves,
    pub(super) build: String,
    /// What the wall clock showed, in milliseconds since 1970.
    pub(super) now_ms: i64,
    pub(super) how: Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    IfIdle,
    /// If this newer one takes over.
    For(SupervisorId),
    Anyway,
}

/// What became of a row that was to be closed.
pub(super) enum Closed {
    Yes,
    No,
    /// It stays open for these dispatchers only.
    Narrowed(Vec<String>),
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.notes.is_empty()
            && self.claims.is_empty()
            && self.cancellations.is_none()
            && self.close.is_none()
            && self.renew.is_none()
            && self.reopen.is_none()
    }

    /// Asks the store.
    pub(crate) fn perform(self, store: &mut dyn Store) -> Answer {
        let renewal = self
            .renew
            .map(|(supervisor, lease)| store.renew(supervisor, lease));
        let reopened = self.reopen.map(|row| store.open_supervisor(&row));
        let mut claims = Claims {
            lanes: self.claims,
            known: &self.known,
            doubts: self.doubts,
        };
        let (records, claimed) = claims.after(self.records, store);
        let mut doubts = claims.doubts;
        for (lane, claim) in &claimed {
            if claim.is_err() {
                doubts.insert(*lane);
            } else {
                doubts.remove(lane);
            }
        }
        let doubts = !doubts.is_empty();
        let mut known = self.known;
        if doubts && self.close.is_some() {
            // What one lane was given just now is not given back for another's doubts.
            let given = claimed.iter().filter_map(|(_, claim)| claim.as_ref().ok());
            Arc::make_mut(&mut known).extend(given.flat_map(names));
        }
        if !self.notes.is_empty()
            && let Err(error) = store.note_progress(&self.notes)
        {
            tracing::warn!(%error, "progress was not noted");
        }
        let cancellations = self.cancellations.map(|supervisor| {
            store.cancellations(supervisor).unwrap_or_else(|error| {
                tracing::error!(%error, "cancellations cannot be read; asked again at the next wake-up");
                Vec::new()
            })
        });
        Answer {
            renewal,
            reopened,
            records,
            claims: claimed,
            cancellations: cancellations.unwrap_or_default(),
            closed: self
                .close
                .map(|closing| closing.perform(doubts.then_some(&known), store)),
        }
    }
}

impl Closing {
    /// With doubts, what may be held besides the known claims is given back first: nobody would
    /// ever run it under a closed row.
    fn perform(
        self,
        doubts: Option<&BTreeSet<(JobId, u64)>>,
        store: &mut dyn Store,
    ) -> Result<Closed, StoreError> {
        if let Some(known) = doubts {
            self.give_back(known, store)?;
        }
        Ok(match self.how {
            Close::IfIdle => match store.close_supervisor_if_idle(self.supervisor, &self.serves)? {
                true => Closed::Yes,
                false => Closed::No,
            },
            Close::For(newer) => match store.hand_over(self.supervisor, &self.serves, newer)? {
                HandOver::Closed => Closed::Yes,
                HandOver::Refused => Closed::No,
                HandOver::Narrowed(names) => Closed::Narrowed(names),
            },
            Close::Anyway => {
                store.close_supervisor(self.supervisor)?;
                Closed::Yes
            }
        })
    }

    fn give_back(
        &self,
        known: &BTreeSet<(JobId, u64)>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let unknown = unknown(known, self.supervisor, store)?;
        if unknown.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            jobs = unknown.len(),
            "claims without an answer are given back"
        );
        let released = unknown
            .iter()
            .map(|job| Record::released(job, &self.build, self.now_ms));
        store.record(&released.collect::<Vec<_>>()).map(drop)
    }
}

/// Requests for work of a supervisor that may hold more than it knows.
struct Claims<'a> {
    lanes: BTreeMap<Lane, LaneClaim>,
    known: &'a BTreeSet<(JobId, u64)>,
    doubts: BTreeSet<Lane>,
}

impl Claims<'_> {
    /// Records, then claims: in one transaction where that works; otherwise neither must fail for
    /// the other's reason.
    fn after(
        &mut self,
        records: Vec<(AttemptId, Record)>,
        store: &mut dyn Store,
    ) -> (Recorded, Claimed) {
        let (attempts, records): (Vec<AttemptId>, Vec<Record>) = records.into_iter().unzip();
        if records.is_empty() {
            return (Ok(attempts), self.claims(None, store));
        }
        let mut lanes = self.lanes.iter();
        if let Some((&lane, claim)) = lanes.find(|(lane, _)| !self.doubts.contains(lane)) {
            match store.record_and_claim(&records, &claim.request) {
                Ok((_, claim)) => {
                    let mut claims = self.claims(Some(lane), store);
                    claims.push((lane, Ok(claim)));
                    return (Ok(attempts), claims);
                }
                Err(_) => drop(self.doubts.insert(lane)),
            }
        }
        let recorded = match store.record(&records) {
            // A stale token changes nothing, and somebody else answers for the job then.
            Ok(_) => Ok(attempts),
            Err(error) => Err(Unrecorded { attempts, error }),
        };
        (recorded, self.claims(None, store))
    }

    fn claims(&self, but: Option<Lane>, store: &mut dyn Store) -> Claimed {
        let lanes = self.lanes.iter().filter(|(lane, _)| Some(**lane) != but);
        let claims = lanes.map(|(lane, claim)| (*lane, self.claim(*lane, claim, store)));
        claims.collect()
    }

    /// A claim that failed may have been granted: whatever it gave is taken up first, because its
    /// slots are offered again.
    fn claim(
        &self,
        lane: Lane,
        claim: &LaneClaim,
        store: &mut dyn Store,
    ) -> Result<Claim, StoreError> {
        let request = &claim.request;
        if !self.doubts.contains(&lane) {
            return store.claim(request);
        }
        let mut jobs = unknown(self.known, request.supervisor, store)?;
        jobs.retain(|job| claim.is_of_lane(job.slot));
        if jobs.is_empty() {
            return store.claim(request);
        }
        tracing::warn!(jobs = jobs.len(), "claims without an answer are taken up");
        Ok(Claim {
            jobs,
            next_due: Some(Duration::ZERO),
        })
    }
}

impl LaneClaim {
    fn is_of_lane(&self, slot: u32) -> bool {
        match self.pool_slot {
            Some(pool) => pool == slot,
            None => !self.pool_slots.contains(&slot),
        }
    }
}

/// What the store says that the supervisor holds, and it does not know of.
fn unknown(
    known: &BTreeSet<(JobId, u64)>,
    supervisor: SupervisorId,
    store: &mut dyn Store,
) -> Result<Vec<store::Claimed>, StoreError> {
    let held = store.claims_of(supervisor)?.into_iter();
    let unknown = held.filter(|job| !known.contains(&(job.job, job.counters.token)));
    Ok(unknown.collect())
}
