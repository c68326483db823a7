//! Workers of pools that are made up: what was asked of them, and what they do.

use super::*;

/// What is known of one worker.
#[derive(Debug)]
pub(super) struct Crewman {
    pub(super) process: Process,
    pub(super) hello: bool,
    /// Its task, until it answers or somebody else does.
    pub(super) task: Option<Work>,
    /// It has answered, and is not ready again.
    pub(super) settling: bool,
    pub(super) told_to_end: bool,
    /// It has broken its link, or said what it should not.
    pub(super) broken: bool,
    pub(super) strays: u32,
    pub(super) open: BTreeSet<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Its boot was asked for, and not performed.
    Unmade,
    /// Its boot was performed, and not answered.
    Asked,
    Alive,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Job(JobId),
    Request(RequestId),
}

impl Crewman {
    pub(super) fn new() -> Self {
        Self {
            process: Process::Asked,
            hello: false,
            task: None,
            settling: false,
            told_to_end: false,
            broken: false,
            strays: 0,
            open: BTreeSet::new(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.process == Process::Dead && self.open.is_empty()
    }

    /// An effect about it is not answered.
    pub(super) fn is_owed_about(&self) -> bool {
        self.process == Process::Asked || !self.open.is_empty()
    }

    pub(super) fn has_to_work(&self) -> bool {
        let ending = self.told_to_end || self.broken;
        let idle = self.hello && !self.settling && self.task.is_none();
        self.process == Process::Alive && (ending || !idle)
    }
}

impl Yard {
    /// One that was made, dead or alive.
    pub(super) fn crewman(&mut self, worker: WorkerId) -> &mut Crewman {
        let living = self.crew.get_mut(&worker);
        living.unwrap_or_else(|| self.gone.get_mut(&worker).expect("it was made"))
    }

    /// One that is dead, of whom something is asked.
    pub(super) fn corpse(&mut self, worker: WorkerId) -> &mut Crewman {
        self.crew.extend(self.gone.remove_entry(&worker));
        let crewman = self.crewman(worker);
        assert_eq!(crewman.process, Process::Dead, "it has ended");
        crewman
    }

    /// Nobody looks at the dead any more.
    pub(super) fn let_go(&mut self) {
        let over = self.crew.iter().filter(|(_, it)| it.is_over());
        let over: Vec<WorkerId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.gone.extend(self.crew.remove_entry(&id));
        }
    }

    /// Answers an effect about a worker.
    pub(super) fn answer_about(&mut self, worker: WorkerId) {
        let fails = !self.calm && self.dice.one_in(4);
        let crewman = self.crewman(worker);
        if crewman.process == Process::Asked {
            // Who says hello has a process.
            if fails && !crewman.hello {
                crewman.process = Process::Dead;
                let (errno, transient) = (11, self.dice.one_in(2));
                return self.tell(Event::SpawnFailed {
                    worker,
                    errno,
                    transient,
                });
            }
            crewman.process = Process::Alive;
            return self.tell(Event::Spawned { worker });
        }
        let open: Vec<&'static str> = crewman.open.iter().copied().collect();
        let Some(one) = self.dice.pick(&open) else {
            return;
        };
        self.crewman(worker).open.remove(one);
        let leaked = fails;
        self.tell(match one {
            "bury" => Event::Buried { worker, left: 0 },
            _ => Event::Drained { worker, leaked },
        });
    }

    /// A worker does something.
    pub(super) fn work(&mut self) {
        let living = |(worker, crewman): (&WorkerId, &Crewman)| {
            let heard = matches!(crewman.process, Process::Alive | Process::Asked);
            heard.then_some(*worker)
        };
        let calm = self.calm;
        let acts = |(_, crewman): &(&WorkerId, &Crewman)| !calm || crewman.has_to_work();
        let crew = self.crew.iter().filter(acts);
        let crew: Vec<WorkerId> = crew.filter_map(living).collect();
        let Some(worker) = self.dice.pick(&crew) else {
            return;
        };
        let crewman = self.crewman(worker);
        let alive = crewman.process == Process::Alive;
        let ending = crewman.told_to_end || crewman.broken;
        let (hello, settling, task) = (crewman.hello, crewman.settling, crewman.task);
        if alive && ending && (self.calm || self.dice.one_in(2)) {
            return self.exit(worker);
        }
        if !self.calm && self.dice.one_in(8) {
            return self.misbehave(worker);
        }
        if !hello {
            self.crewman(worker).hello = true;
            return self.tell(said(worker, Word::Hello));
        }
        if settling {
            let failure = (!self.calm && self.dice.one_in(4)).then(|| "no".to_owned());
            let crewman = self.crewman(worker);
            crewman.settling = false;
            crewman.broken |= failure.is_some();
            return self.tell(said(worker, Word::Ready { failure }));
        }
        match task {
            None => {}
            Some(Work::Request(request)) => self.do_request(worker, request),
            Some(Work::Job(job)) => self.do_job(worker, job),
        }
    }

    fn do_request(&mut self, worker: WorkerId, id: RequestId) {
        let act = if self.calm { 0 } else { self.dice.below(6) };
        let request = self.requests.get_mut(&id).expect("it was asked");
        let word = match act {
            0..3 => {
                request.said.push(Answer::Replied);
                Word::Replied
            }
            3 => {
                request.said.push(Answer::Refused("no".into()));
                Word::Refused("no".into())
            }
            4 => return self.unwanted(worker, Work::Request(id)),
            _ => return,
        };
        self.answered(worker);
        self.tell(said(worker, word));
    }

    fn do_job(&mut self, worker: WorkerId, id: JobId) {
        let act = if self.calm { 0 } else { self.dice.below(8) };
        let job = self.jobs.get_mut(&id).expect("it was claimed");
        let result = match act {
            0..3 => WorkResult::Succeeded,
            3 => a_failure(),
            4 => return self.unwanted(worker, Work::Job(id)),
            5 => return self.tell(said(worker, Word::Output("1".into()))),
            6 => return self.tell(said(worker, Word::Used(Usage::default()))),
            _ => return,
        };
        // Whether it came in time only the engine knows once somebody else decides as well.
        job.result = Some(result.clone());
        self.answered(worker);
        self.tell(said(worker, Word::Result(result)));
    }

    fn answered(&mut self, worker: WorkerId) {
        let crewman = self.crewman(worker);
        crewman.task = None;
        crewman.settling = true;
    }

    fn unwanted(&mut self, worker: WorkerId, work: Work) {
        match work {
            Work::Job(job) => self.jobs.get_mut(&job).expect("claimed").unwanted += 1,
            Work::Request(id) => self.requests.get_mut(&id).expect("asked").unwanted += 1,
        }
        let crewman = self.crewman(worker);
        crewman.broken = true;
        self.tell(said(worker, Word::Unwanted));
    }

    /// A worker dies, breaks its link, says nonsense, or grows.
    fn misbehave(&mut self, worker: WorkerId) {
        let alive = self.crewman(worker).process == Process::Alive;
        match self.dice.below(8) {
            0..3 if alive => self.exit(worker),
            3 => {
                self.crewman(worker).broken = true;
                let what = "garbage".into();
                self.tell(Event::LinkBroken { worker, what });
            }
            4 if self.crewman(worker).hello => {
                let words = [
                    Word::Hello,
                    Word::Replied,
                    Word::Refused("?".into()),
                    Word::Result(WorkResult::Succeeded),
                    Word::Ready { failure: None },
                ];
                let word = words[self.dice.count(words.len() - 1)].clone();
                self.talk(worker, word);
            }
            5 => self.tell(Event::Outgrown { worker }),
            6 => self.tell(Event::LimitExceeded { worker }),
            7 => self.tell(Event::LastWords {
                worker,
                text: "oh".into(),
            }),
            _ => {}
        }
    }

    /// It says something, whether it fits or not.
    fn talk(&mut self, worker: WorkerId, word: Word) {
        // Else it would seem to answer what it is about to be given.
        self.perform_all();
        let crewman = self.crewman(worker);
        match (crewman.task, &word) {
            (Some(Work::Request(id)), Word::Replied) => {
                self.requests
                    .get_mut(&id)
                    .expect("asked")
                    .said
                    .push(Answer::Replied);
                self.answered(worker);
            }
            (Some(Work::Request(id)), Word::Refused(text)) => {
                let text = text.clone();
                self.requests
                    .get_mut(&id)
                    .expect("asked")
                    .said
                    .push(Answer::Refused(text));
                self.answered(worker);
            }
            (Some(Work::Job(id)), Word::Result(result)) => {
                self.jobs.get_mut(&id).expect("claimed").result = Some(result.clone());
                self.answered(worker);
            }
            (None, Word::Ready { .. }) if crewman.settling => crewman.settling = false,
            _ => crewman.broken = true,
        }
        self.tell(said(worker, word));
    }

    fn exit(&mut self, worker: WorkerId) {
        let strays = if self.dice.one_in(3) { 2 } else { 0 };
        let status = if self.dice.one_in(2) {
            ExitStatus::Exited(0)
        } else {
            killed()
        };
        let crewman = self.crewman(worker);
        crewman.process = Process::Dead;
        crewman.strays = strays;
        self.tell(Event::Exited {
            worker,
            status,
            usage: Usage::default(),
            strays,
            memory: MemoryVerdict::Silent,
        });
    }
}
