//! The parent of a supervisor's workers: what it is asked, and what it reports.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::engine::{Event, Strays, WorkerId};

use super::faults::Fault;
use super::pools::Birth as PoolBirth;
use super::process::{Birth, Pid};
use super::runner::RunnerId;
use super::world::{Happening, World};

pub(super) const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeeperId(pub(super) u32);

/// What a supervisor asks of its keeper.
pub(super) enum Request {
    Fork(Box<Birth>),
    /// A worker of a pool.
    Boot(PoolBirth),
    Signal(WorkerId, i32),
    Bury(WorkerId, Strays),
    /// When it ends everything, by the true clock.
    Deadline(Option<Duration>),
}

/// The parent of a supervisor's workers, while it lives.
pub(super) struct Keeper {
    runner: RunnerId,
    pub(super) children: BTreeMap<WorkerId, Pid>,
    /// When its last report arrives, and the last request to it: both channels keep their order.
    reports_until: Duration,
    requests_until: Duration,
    pub(super) deadline: Option<Duration>,
}

impl Keeper {
    /// When the last of its reports arrives.
    pub(super) fn last_report(&self) -> Duration {
        self.reports_until
    }
}

impl World {
    pub(super) fn start_keeper(&mut self, runner: RunnerId) -> KeeperId {
        // Never used again: what was sent to a dead one reaches nobody.
        let id = KeeperId(self.client.next_number());
        let keeper = Keeper {
            runner,
            children: BTreeMap::new(),
            reports_until: self.now,
            requests_until: self.now,
            deadline: None,
        };
        self.keepers.insert(id, keeper);
        id
    }

    /// A request to a keeper that is gone is lost; its end is noticed elsewhere.
    pub(super) fn ask(&mut self, id: RunnerId, request: Request) {
        let moment = self.moment();
        let Some(keeper_id) = self.runners.get(&id).and_then(|runner| runner.keeper) else {
            return;
        };
        let Some(keeper) = self.keepers.get_mut(&keeper_id) else {
            return;
        };
        keeper.requests_until = keeper.requests_until.max(self.now + moment);
        let at = keeper.requests_until;
        self.at(at, Happening::Request(keeper_id, request));
    }

    /// What a keeper does with a request.
    pub(super) fn requested(&mut self, id: KeeperId, request: Request) {
        let Some(keeper) = self.keepers.get(&id) else {
            return;
        };
        let runner = keeper.runner;
        match request {
            Request::Fork(birth) => self.fork(id, &birth),
            Request::Boot(birth) => self.boot_process(id, birth),
            Request::Deadline(at) => self.keeper_hears_deadline(id, at),
            Request::Signal(worker, signal) => {
                if let Some(pid) = keeper.children.get(&worker).copied() {
                    self.signal(pid, signal);
                }
            }
            Request::Bury(worker, strays) => {
                let Some(pid) = keeper.children.get(&worker).copied() else {
                    return;
                };
                if let Some(left) = self.bury_crew(pid, strays) {
                    let event = Event::Buried { worker, left };
                    return self.report_after(id, runner, self.now, event);
                }
                let Some(process) = self.processes.get_mut(&pid) else {
                    return;
                };
                if strays == Strays::Kill {
                    process.strays = 0;
                }
                let (job, attempt, left) = (process.job, process.attempt, process.strays);
                self.deeds(job, attempt).strays = left;
                self.report_after(id, runner, self.now, Event::Buried { worker, left });
            }
        }
    }

    pub(super) fn fork(&mut self, id: KeeperId, birth: &Birth) {
        let (runner, worker) = (birth.runner, birth.worker);
        let failed = if self.strikes(Fault::SpawnFailsNow) {
            Some((EAGAIN, true))
        } else {
            self.strikes(Fault::SpawnFails).then_some((ENOENT, false))
        };
        if let Some((errno, transient)) = failed {
            self.deeds(birth.job, birth.attempt).spawn_failed = true;
            let event = Event::SpawnFailed {
                worker,
                errno,
                transient,
            };
            return self.report_after(id, runner, self.now, event);
        }
        let pid = Pid(self.order_of_birth());
        if let Some(keeper) = self.keepers.get_mut(&id) {
            keeper.children.insert(worker, pid);
        }
        self.trace.line(
            self.now,
            format_args!(
                "{}.{} is born in slot {}",
                birth.job, birth.attempt, birth.slot
            ),
        );
        self.give_birth(pid, birth);
        self.report_after(id, runner, self.now, Event::Spawned { worker });
    }

    pub(super) fn order_of_birth(&mut self) -> u32 {
        self.processes
            .retain(|_, process| process.is_alive() || process.strays > 0);
        self.crew
            .retain(|_, crewman| crewman.is_alive() || crewman.strays > 0);
        self.client.next_number()
    }

    /// Reports keep their order, and come after what the worker said before.
    pub(super) fn report_after(
        &mut self,
        keeper: KeeperId,
        runner: RunnerId,
        not_before: Duration,
        event: Event,
    ) {
        let moment = self.moment();
        let Some(keeper) = self.keepers.get_mut(&keeper) else {
            return;
        };
        let at = keeper.reports_until.max(not_before).max(self.now + moment);
        keeper.reports_until = at;
        self.at(at, Happening::Report(runner, event));
    }

    pub(super) fn replace_keeper(&mut self, id: RunnerId) {
        let keeper = self.start_keeper(id);
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        runner.keeper = Some(keeper);
        runner.keeper_is_lost = false;
        if let Some(desk) = runner.desk.as_mut() {
            for link in desk.links.values_mut() {
                link.drains = false;
                link.limits.ended = true;
            }
            for seat in desk.pools.seats.values_mut() {
                seat.drains = false;
                seat.ended = true;
            }
        }
        self.tell_new_keeper(id);
    }
}
