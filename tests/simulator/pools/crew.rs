//! Made-up processes of pools: their births, what reaches them, and their deaths.

use std::collections::VecDeque;
use std::time::Duration;

use dispatcher_core::engine::{
    AttemptId, Event, MemoryVerdict, PoolId, RequestId, Strays, WorkerId,
};
use dispatcher_core::{ExitStatus, JobId, Usage};

use crate::simulator::faults::Fault;
use crate::simulator::keeper::KeeperId;
use crate::simulator::process::{Pid, SIGKILL, SIGTERM};
use crate::simulator::runner::RunnerId;
use crate::simulator::world::{Happening, Phase, World};

use super::Letter;
use super::script::Deed;

/// What a process of a pool is made for.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct Birth {
    pub(in crate::simulator) runner: RunnerId,
    pub(in crate::simulator) keeper: KeeperId,
    pub(in crate::simulator) worker: WorkerId,
    pub(in crate::simulator) pool: PoolId,
    pub(in crate::simulator) foreign: bool,
}

/// A process of a pool.
pub(in crate::simulator) struct Crewman {
    pub(in crate::simulator) birth: Birth,
    alive: bool,
    pub(super) script: VecDeque<(Duration, Deed)>,
    /// It does the next thing of its script by itself.
    pub(super) acts: bool,
    pub(super) task: Option<Task>,
    /// The job that its supervisor gave it: what happens to it happens to that.
    job: Option<(JobId, u32)>,
    ignores_term: bool,
    ignores_retire: bool,
    ignores_end: bool,
    /// Ends when it has nothing to do.
    retires: bool,
    pub(super) misspoke: bool,
    pub(super) hangs: bool,
    /// Processes that it leaves; they hold the slot of the pool.
    pub(in crate::simulator) strays: u32,
    holds_pipe: bool,
    pub(super) said_until: Duration,
}

/// What a process works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Job(AttemptId),
    Request(RequestId),
}

impl Crewman {
    pub(in crate::simulator) fn is_alive(&self) -> bool {
        self.alive
    }

    /// The job that its supervisor gave it last, and has not seen the end of.
    pub(super) fn committed(&self) -> Option<(JobId, u32)> {
        self.job
    }

    /// The job that it works on.
    pub(in crate::simulator) fn job(&self) -> Option<JobId> {
        let works = matches!(self.task, Some(Task::Job(_)));
        self.job.map(|(job, _)| job).filter(|_| works)
    }
}

impl World {
    pub(in crate::simulator) fn boot_process(&mut self, id: KeeperId, birth: Birth) {
        let (runner, worker) = (birth.runner, birth.worker);
        if self.strikes(Fault::SpawnFailsNow) || self.strikes(Fault::SpawnFails) {
            let (errno, transient) = (11, true);
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
        let leaves = self.strikes(Fault::LeavesProcesses);
        let crewman = Crewman {
            birth,
            alive: true,
            script: self.boot_script(birth),
            acts: false,
            task: None,
            job: None,
            ignores_term: self.strikes(Fault::IgnoresTerm),
            ignores_retire: self.strikes(Fault::IgnoresRetire),
            ignores_end: self.strikes(Fault::IgnoresEnd),
            retires: false,
            misspoke: false,
            hangs: false,
            strays: if leaves { 1 + self.dice.small(2) } else { 0 },
            holds_pipe: self.strikes(Fault::HoldsPipe),
            said_until: self.now,
        };
        self.crew.insert(pid, crewman);
        if self.strikes(Fault::IdleDeath) {
            let (later, status) = (self.dice.millis(4_000), self.some_end());
            self.after(later, Happening::Die(pid, status));
        }
        self.report_after(id, runner, self.now, Event::Spawned { worker });
        self.go_on(pid);
    }

    pub(super) fn pid_of(&self, id: RunnerId, worker: WorkerId) -> Option<Pid> {
        let its = |crewman: &Crewman| crewman.birth.runner == id && crewman.birth.worker == worker;
        let mut crew = self.crew.iter();
        crew.find(|(_, crewman)| its(crewman)).map(|(pid, _)| *pid)
    }

    /// Its supervisor has given it a job: what happens to it from now on happens to the job.
    pub(super) fn commit_to(&mut self, id: RunnerId, worker: WorkerId, job: (JobId, u32)) {
        let now = self.now;
        let crewman = self
            .pid_of(id, worker)
            .and_then(|pid| self.crew.get_mut(&pid));
        let (misspoke, alive) = match crewman {
            Some(crewman) => {
                crewman.job = Some(job);
                (crewman.misspoke, crewman.alive)
            }
            None => (false, false),
        };
        let died = self.ends.get(&(id, worker)).copied().filter(|_| !alive);
        let deeds = self.deeds(job.0, job.1);
        deeds.born = Some(now);
        deeds.died = died.map(|status| (now, status));
        deeds.pooled = true;
        deeds.back = false;
        deeds.said_hello = true;
        deeds.broke_protocol |= misspoke;
    }

    /// Its supervisor knows how that ended.
    pub(super) fn let_go_of(&mut self, id: RunnerId, worker: WorkerId, job: (JobId, u32)) {
        let pid = self.pid_of(id, worker);
        if let Some(crewman) = pid.and_then(|pid| self.crew.get_mut(&pid))
            && crewman.job == Some(job)
            && crewman.task.is_none()
        {
            crewman.job = None;
        }
    }

    /// What a supervisor wrote reaches its worker.
    pub(in crate::simulator) fn delivered(
        &mut self,
        id: RunnerId,
        worker: WorkerId,
        letter: Letter,
    ) {
        let Some(pid) = self.pid_of(id, worker) else {
            return;
        };
        let Some(crewman) = self.crew.get_mut(&pid).filter(|it| it.alive) else {
            return;
        };
        let birth = crewman.birth;
        let task = match &letter {
            Letter::Job { attempt, .. } => Task::Job(*attempt),
            Letter::Request(request) => Task::Request(*request),
            Letter::Retire => {
                crewman.retires = !crewman.ignores_retire;
                return self.go_on(pid);
            }
        };
        if let Some(held) = crewman.task.replace(task) {
            let what = format!("{worker:?} of {id:?} has {held:?} and gets {letter:?}");
            return self.broken("one task for each worker", what);
        }
        let script = match letter {
            Letter::Job {
                timeout, letter, ..
            } => self.job_script(birth, timeout, letter),
            Letter::Request(request) => self.request_script(birth, request),
            Letter::Retire => VecDeque::new(),
        };
        if let Some(crewman) = self.crew.get_mut(&pid) {
            crewman.script.extend(script);
        }
        self.go_on(pid);
    }

    /// The next thing of its script, in its time.
    pub(super) fn go_on(&mut self, pid: Pid) {
        let Some(crewman) = self.crew.get_mut(&pid) else {
            return;
        };
        if !crewman.alive || crewman.acts || crewman.hangs {
            return;
        }
        if let Some((wait, _)) = crewman.script.front() {
            crewman.acts = true;
            let wait = *wait;
            self.after(wait, Happening::Act(pid));
        } else if crewman.retires {
            crewman.retires = false;
            let moment = self.moment();
            self.after(moment, Happening::Die(pid, ExitStatus::Exited(0)));
        }
    }

    /// A signal reaches a process of a pool.
    pub(in crate::simulator) fn signal_crew(&mut self, pid: Pid, signal: i32) {
        let Some(crewman) = self.crew.get(&pid).filter(|it| it.alive) else {
            return;
        };
        let ignores = crewman.ignores_term;
        if let Some((job, number)) = crewman.job {
            self.deeds(job, number).signalled = true;
        }
        if signal == SIGTERM && ignores {
            return;
        }
        let status = ExitStatus::Signalled {
            signal,
            core: false,
        };
        let moment = self.moment();
        self.after(moment, Happening::Die(pid, status));
    }

    pub(in crate::simulator) fn die_of_crew(&mut self, pid: Pid, status: ExitStatus) {
        let Some(crewman) = self.crew.get_mut(&pid).filter(|it| it.alive) else {
            return;
        };
        crewman.alive = false;
        crewman.task = None;
        let (birth, job, strays) = (crewman.birth, crewman.job, crewman.strays);
        let said_until = crewman.said_until;
        let now = self.now;
        self.ends.insert((birth.runner, birth.worker), status);
        if let Some((job, number)) = job {
            let deeds = self.deeds(job, number);
            deeds.died = Some((now, status));
            deeds.strays = strays;
        }
        self.trace.line(
            now,
            format_args!("{:?} of {:?} ends: {status:?}", birth.worker, birth.runner),
        );
        if !self.keepers.contains_key(&birth.keeper) {
            return;
        }
        let event = Event::Exited {
            worker: birth.worker,
            status,
            usage: Usage::default(),
            strays,
            memory: MemoryVerdict::Silent,
        };
        self.report_after(birth.keeper, birth.runner, said_until, event);
    }

    pub(in crate::simulator) fn bury_crew(&mut self, pid: Pid, strays: Strays) -> Option<u32> {
        let crewman = self.crew.get_mut(&pid)?;
        if strays == Strays::Kill {
            crewman.strays = 0;
        }
        let (left, job) = (crewman.strays, crewman.job);
        if let Some((job, number)) = job {
            self.deeds(job, number).strays = left;
        }
        Some(left)
    }

    /// Whether somebody of the pools of this supervisor holds a slot.
    pub(in crate::simulator) fn crew_lives(&self, id: RunnerId) -> bool {
        let mut own = self.crew.values().filter(|it| it.birth.runner == id);
        own.any(|crewman| crewman.alive || crewman.strays > 0)
    }

    /// Kills everything that carries the tags of the pools of a supervisor.
    pub(in crate::simulator) fn kill_crew(&mut self, id: RunnerId) {
        let own = self.crew.iter().filter(|(_, it)| it.birth.runner == id);
        let own: Vec<Pid> = own.map(|(pid, _)| *pid).collect();
        for pid in own {
            self.kill_one_of_crew(pid);
        }
    }

    pub(in crate::simulator) fn kill_one_of_crew(&mut self, pid: Pid) {
        let Some(crewman) = self.crew.get_mut(&pid) else {
            return;
        };
        crewman.strays = 0;
        if let Some((job, number)) = crewman.job {
            self.deeds(job, number).strays = 0;
        }
        self.signal_crew(pid, SIGKILL);
    }

    /// Their supervisor is gone: whoever reads the end of its channel has nothing to do any more.
    pub(in crate::simulator) fn orphan_crew(&mut self, id: RunnerId) {
        let own = self.crew.iter_mut().filter(|(_, it)| it.birth.runner == id);
        let mut heirs = Vec::new();
        for (pid, crewman) in own {
            crewman.retires |= !crewman.ignores_end;
            heirs.push(*pid);
        }
        for pid in heirs {
            self.go_on(pid);
        }
    }

    /// Nobody else ends what hangs in a task without a limit, or has no supervisor.
    pub(in crate::simulator) fn end_what_hangs_in_pools(&mut self) {
        debug_assert_eq!(self.phase, Phase::Liveness);
        let ends = |crewman: &Crewman| {
            let owner = self.runners.get(&crewman.birth.runner);
            let orphan = owner.is_none_or(|owner| !owner.is_there());
            crewman.alive && (orphan || (crewman.task.is_some() && crewman.hangs))
        };
        let hanging = self.crew.iter().filter(|(_, crewman)| ends(crewman));
        let hanging: Vec<Pid> = hanging.map(|(pid, _)| *pid).collect();
        for pid in hanging {
            let later = Duration::from_secs(5) + self.dice.millis(1_000);
            self.after(later, Happening::Die(pid, ExitStatus::Exited(0)));
        }
    }

    /// Whether a process that is left holds the pipe of this worker.
    pub(in crate::simulator) fn crew_leaks(&self, id: RunnerId, worker: WorkerId) -> bool {
        let crewman = self.pid_of(id, worker).and_then(|pid| self.crew.get(&pid));
        crewman.is_some_and(|crewman| crewman.holds_pipe && crewman.strays > 0)
    }
}
