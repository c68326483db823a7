//! Rescue, keepers that end, and newer builds: what a supervisor's second thread does.

use std::time::Duration;

use dispatcher_core::engine::Event;

use crate::store::{Claimed, Record, Store, StoreError, SupervisorId, SupervisorRow};

use super::faults::Fault;
use super::keeper::KeeperId;
use super::process::{Pid, SIGKILL};
use super::runner::RunnerId;
use super::world::{Happening, Phase, World};

const INTERVAL: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(5);

impl World {
    /// Whether the lock of the supervisor with this row is held.
    pub(super) fn lives(&self, row: &SupervisorRow) -> bool {
        let runner = self.runners.get(&RunnerId(row.pid));
        runner.is_some_and(|runner| runner.is_alive() && runner.row == Some(row.id))
    }

    pub(super) fn look_after(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get(&id).filter(|it| it.is_alive()) else {
            return;
        };
        let (own, build) = (runner.row, runner.build);
        if self.has_leases {
            self.rescue_expired(id);
        }
        let Ok(rows) = self.store_of(id).supervisors() else {
            return self.after(INTERVAL, Happening::Upkeep(id));
        };
        for row in &rows {
            // Nobody sees the locks of another machine.
            if Some(row.id) != own && !self.has_leases {
                self.rescue_if_dead(id, row);
            }
            if !self.runners.get(&id).is_some_and(|it| it.is_alive()) {
                return;
            }
        }
        let newer = rows
            .iter()
            .find(|row| row.open && row.build.modified_ns > build && self.lives(row));
        if let (Some(row), Some(runner)) = (newer, self.runners.get_mut(&id))
            && !runner.is_service
        {
            runner.newer = Some(row.id);
            self.after(Duration::ZERO, Happening::Wake(id));
        }
        self.after(INTERVAL, Happening::Upkeep(id));
    }

    fn rescue_if_dead(&mut self, rescuer: RunnerId, row: &SupervisorRow) {
        // One that has a row more than it knows of is there: its process has the role.
        let runner = self.runners.get(&RunnerId(row.pid));
        if runner.is_some_and(|runner| runner.is_there()) || self.rescues.contains_key(&row.id) {
            return;
        }
        self.rescues.insert(row.id, rescuer);
        self.trace
            .line(self.now, format_args!("{rescuer:?} rescues {:?}", row.id));
        self.rescue(rescuer, row.id);
    }

    /// Kills what the dead one's workers left, looks whether they are dead, and only then gives
    /// their jobs back.
    pub(super) fn rescue(&mut self, rescuer: RunnerId, dead: SupervisorId) {
        if self.rescues.get(&dead) != Some(&rescuer) {
            return;
        }
        let Ok(claims) = self.store().claims_of(dead) else {
            self.rescues.remove(&dead);
            return;
        };
        let owner = self.runners.values().find(|it| it.row == Some(dead));
        let (begun, others): (Vec<Claimed>, Vec<Claimed>) = claims.into_iter().partition(|claim| {
            let claim = (claim.job, claim.counters.token);
            owner.is_none_or(|owner| owner.begun.contains(&claim))
        });
        let owner = owner.map(|owner| owner.id);
        for claim in &begun {
            self.kill_tagged(claim.job, claim.counters.attempt);
        }
        // Its slots name its pools.
        if let Some(owner) = owner {
            self.kill_crew(owner);
        }
        if self.strikes(Fault::RescuerDies) {
            return self.runner_dies(rescuer);
        }
        let slots_taken = self.processes.values().any(|process| {
            let owner = self.runners.get(&process.runner);
            process.is_alive() && owner.is_some_and(|owner| owner.row == Some(dead))
        });
        let slots_taken = slots_taken || owner.is_some_and(|owner| self.crew_lives(owner));
        if slots_taken {
            return self.after(AGAIN, Happening::Rescue(rescuer, dead));
        }
        // An error: it is looked at again in the next round.
        if self.give_back(&others).is_ok() {
            let _ = self.store().rescue(dead);
        }
        self.rescues.remove(&dead);
        self.after(Duration::ZERO, Happening::Wake(rescuer));
    }

    /// What a dead supervisor had claimed and nobody has begun.
    fn give_back(&mut self, claims: &[Claimed]) -> Result<(), StoreError> {
        for claim in claims {
            self.coverage
                .count("job not begun when its supervisor died");
            let deeds = self.deeds(claim.job, claim.counters.attempt);
            if deeds.born.is_some() {
                let what = format!("{} had begun: {deeds:?}", claim.job);
                self.broken("what has begun is not given back as if it had not", what);
            }
        }
        let now = self.store_ms();
        let released = claims
            .iter()
            .map(|job| Record::released(job, "rescuer", now));
        let released: Vec<Record> = released.collect();
        self.store().record(&released).map(drop)
    }

    /// A keeper ends, by accident or because its supervisor is gone. Accidents leave its children.
    pub(super) fn keeper_dies(&mut self, id: KeeperId) {
        let Some(keeper) = self.keepers.remove(&id) else {
            return;
        };
        let owner = self
            .runners
            .values()
            .find(|runner| runner.keeper == Some(id));
        if let Some(owner) = owner {
            // What it reported before it died arrives before its end is noticed.
            let (owner, moment) = (owner.id, self.moment());
            if let Some(runner) = self.runners.get_mut(&owner) {
                runner.keeper_is_lost = true;
            }
            let at = keeper.last_report() + moment;
            self.trace
                .line(self.now, format_args!("the keeper of {owner:?} dies"));
            self.at(at, Happening::KeeperMissed(owner, id));
            return;
        }
        // Its supervisor is gone: it kills all of its children, itself last.
        let children: Vec<Pid> = keeper.children.values().copied().collect();
        for pid in children {
            self.kill_child(pid);
        }
    }

    pub(super) fn kill_child(&mut self, pid: Pid) {
        if self.crew.contains_key(&pid) {
            return self.kill_one_of_crew(pid);
        }
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        process.strays = 0;
        let (job, attempt) = (process.job, process.attempt);
        self.deeds(job, attempt).strays = 0;
        self.signal(pid, SIGKILL);
    }

    /// A supervisor sees that its keeper is gone: it proves all workers dead, and starts another.
    pub(super) fn keeper_missed(&mut self, id: RunnerId, keeper: KeeperId) {
        let Some(runner) = self.runners.get(&id).filter(|it| it.is_alive()) else {
            return;
        };
        if runner.keeper != Some(keeper) {
            return;
        }
        let held = self.held_by(id);
        for (job, attempt) in &held {
            self.kill_tagged(*job, *attempt);
            self.deeds(*job, *attempt).lost = true;
        }
        self.kill_crew(id);
        let mut processes = self.processes.values();
        if processes.any(|it| it.is_alive() && it.runner == id) || self.crew_lives(id) {
            return self.after(AGAIN, Happening::KeeperMissed(id, keeper));
        }
        self.replace_keeper(id);
        self.tell(id, Event::KeeperLost);
        self.pump(id);
    }

    pub(super) fn resume_all(&mut self) {
        debug_assert_eq!(self.phase, Phase::Liveness);
        for name in self.memory.paused() {
            let _ = self.store().set_paused(&name, crate::store::Pause::Running);
        }
    }
}
