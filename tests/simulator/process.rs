//! Made-up worker processes: what each does is written in its script before it is born.

use std::sync::OnceLock;
use std::time::Duration;

use dispatcher_core::engine::{Event, MemoryVerdict, WorkerId};
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{PROTOCOL_VERSION, WorkResult, WorkerMessage};
use dispatcher_core::{ExitStatus, JobId, Panic, Usage};

use super::faults::Fault;
use super::keeper::KeeperId;
use super::runner::RunnerId;
use super::truth::Deeds;
use super::world::{Happening, Phase, World};

pub(super) const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
pub(super) const SIGTERM: i32 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pid(pub(super) u32);

/// A worker's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) runner: RunnerId,
    pub(super) keeper: KeeperId,
    pub(super) worker: WorkerId,
    pub(super) slot: u32,
    pub(super) has_timeout: bool,
    alive: bool,
    script: Vec<(Duration, Deed)>,
    next: usize,
    on_term: OnTerm,
    /// Processes that it leaves.
    pub(super) strays: u32,
    pub(super) holds_pipe: bool,
    /// When what it said last arrives.
    said_until: Duration,
}

/// One line of a script.
#[derive(Debug, Clone)]
enum Deed {
    Say(WorkerMessage),
    Send(Vec<u8>),
    Write(usize),
    End(ExitStatus),
    /// Nothing more happens by itself.
    Hang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnTerm {
    Dies,
    /// It asked `cancelled()`, and says how far it came.
    Answers,
    Ignores,
}

/// What a process is made for.
pub(super) struct Birth {
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) runner: RunnerId,
    pub(super) keeper: KeeperId,
    pub(super) worker: WorkerId,
    pub(super) slot: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) memory_limit: bool,
}

impl Process {
    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }
}

impl World {
    pub(super) fn deeds(&mut self, job: JobId, attempt: u32) -> &mut Deeds {
        self.ledger.truth.entry((job, attempt)).or_default()
    }

    pub(super) fn give_birth(&mut self, pid: Pid, birth: &Birth) {
        let script = self.write_script(birth.timeout);
        let on_term = if self.strikes(Fault::IgnoresTerm) {
            OnTerm::Ignores
        } else if self.dice.one_in(4) {
            OnTerm::Answers
        } else {
            OnTerm::Dies
        };
        let leaves = self.strikes(Fault::LeavesProcesses);
        let process = Process {
            job: birth.job,
            attempt: birth.attempt,
            runner: birth.runner,
            keeper: birth.keeper,
            worker: birth.worker,
            slot: birth.slot,
            has_timeout: birth.timeout.is_some(),
            alive: true,
            script,
            next: 0,
            on_term,
            strays: if leaves { 1 + self.dice.small(3) } else { 0 },
            holds_pipe: self.strikes(Fault::HoldsPipe),
            said_until: Duration::ZERO,
        };
        let now = self.now;
        let deeds = self.deeds(birth.job, birth.attempt);
        deeds.born = Some(now);
        deeds.died = None;
        if birth.memory_limit && self.strikes(Fault::MemoryLimit) {
            let later = self.dice.millis(2_000);
            self.after(later, Happening::OverLimit(birth.runner, birth.worker));
        }
        self.processes.insert(pid, process);
        self.schedule_next(pid);
    }

    fn schedule_next(&mut self, pid: Pid) {
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        if let Some((wait, _)) = process.script.get(process.next) {
            let wait = *wait;
            self.after(wait, Happening::Act(pid));
        }
    }

    pub(super) fn act(&mut self, pid: Pid) {
        if self.crew.contains_key(&pid) {
            return self.act_of_crew(pid);
        }
        let Some(process) = self.processes.get_mut(&pid).filter(|it| it.alive) else {
            return;
        };
        let Some((_, deed)) = process.script.get(process.next).cloned() else {
            return;
        };
        process.next += 1;
        match deed {
            Deed::Say(message) => self.say(pid, &message),
            Deed::Send(bytes) => {
                let (job, attempt) = (process.job, process.attempt);
                self.deeds(job, attempt).broke_protocol = true;
                self.send(pid, bytes);
            }
            Deed::Write(bytes) => {
                let (runner, worker) = (process.runner, process.worker);
                self.after(Duration::ZERO, Happening::Flood(runner, worker, bytes));
            }
            Deed::End(status) => return self.die(pid, status),
            Deed::Hang => {
                if self.phase == Phase::Liveness {
                    let status = ExitStatus::Exited(0);
                    self.after(Duration::from_secs(1), Happening::Die(pid, status));
                }
                return;
            }
        }
        self.schedule_next(pid);
    }

    fn say(&mut self, pid: Pid, message: &WorkerMessage) {
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        let (job, attempt) = (process.job, process.attempt);
        let deeds = self.deeds(job, attempt);
        match message {
            WorkerMessage::Hello { .. } => deeds.said_hello = true,
            WorkerMessage::Result(result) => deeds.results.push(result.clone()),
            WorkerMessage::Progress { .. }
            | WorkerMessage::Output { .. }
            | WorkerMessage::Used(_)
            | WorkerMessage::Ready { .. } => {}
        }
        self.send(pid, encoded(message));
    }

    /// Bytes arrive in order, whole or in pieces.
    fn send(&mut self, pid: Pid, mut bytes: Vec<u8>) {
        let mut pieces = Vec::new();
        if bytes.len() > 1 && self.strikes(Fault::SplitFrames) {
            let at = 1 + self.dice.index(bytes.len() - 1);
            let rest = bytes.split_off(at);
            pieces.push(bytes);
            pieces.push(rest);
        } else {
            pieces.push(bytes);
        }
        for piece in pieces {
            let moment = self.moment();
            let Some(process) = self.processes.get_mut(&pid) else {
                return;
            };
            process.said_until = process.said_until.max(self.now + moment);
            let (at, runner, worker) = (process.said_until, process.runner, process.worker);
            self.at(at, Happening::Bytes(runner, worker, piece));
        }
    }

    /// A signal reaches a process.
    pub(super) fn signal(&mut self, pid: Pid, signal: i32) {
        if self.crew.contains_key(&pid) {
            return self.signal_crew(pid, signal);
        }
        let Some(process) = self.processes.get(&pid).filter(|it| it.alive) else {
            return;
        };
        let (job, attempt, on_term) = (process.job, process.attempt, process.on_term);
        self.deeds(job, attempt).signalled = true;
        if signal == SIGTERM {
            match on_term {
                OnTerm::Ignores => return,
                OnTerm::Dies => {}
                OnTerm::Answers => {
                    let message = "cancelled".to_owned();
                    self.say(
                        pid,
                        &WorkerMessage::Result(WorkResult::Failed {
                            message,
                            causes: Vec::new(),
                            retry_after_ms: None,
                        }),
                    );
                    let moment = self.moment();
                    self.after(moment, Happening::Die(pid, ExitStatus::Exited(1)));
                    return;
                }
            }
        }
        let status = ExitStatus::Signalled {
            signal,
            core: false,
        };
        let moment = self.moment();
        self.after(moment, Happening::Die(pid, status));
    }

    pub(super) fn die(&mut self, pid: Pid, status: ExitStatus) {
        if self.crew.contains_key(&pid) {
            return self.die_of_crew(pid, status);
        }
        let Some(process) = self.processes.get_mut(&pid).filter(|it| it.alive) else {
            return;
        };
        process.alive = false;
        let (job, attempt, strays) = (process.job, process.attempt, process.strays);
        let (runner, worker, keeper) = (process.runner, process.worker, process.keeper);
        let said_until = process.said_until;
        let now = self.now;
        let deeds = self.deeds(job, attempt);
        deeds.died = Some((now, status));
        deeds.strays = strays;
        self.trace
            .line(now, format_args!("{job}.{attempt} ends: {status:?}"));
        if !self.keepers.contains_key(&keeper) {
            return;
        }
        let event = Event::Exited {
            worker,
            status,
            usage: Usage::default(),
            strays,
            memory: MemoryVerdict::Silent,
        };
        self.report_after(keeper, runner, said_until, event);
    }

    /// Whoever has no timeout and hangs would hang for ever; somebody ends it by hand.
    pub(super) fn end_what_hangs(&mut self) {
        self.end_what_hangs_in_pools();
        let hanging = self
            .processes
            .iter()
            .filter(|(_, it)| it.alive && !it.has_timeout);
        let hanging: Vec<Pid> = hanging.map(|(pid, _)| *pid).collect();
        for pid in hanging {
            let later = Duration::from_secs(5) + self.dice.millis(1_000);
            self.after(later, Happening::Die(pid, ExitStatus::Exited(0)));
        }
    }

    /// Kills everything that carries the tag of an attempt.
    pub(super) fn kill_tagged(&mut self, job: JobId, attempt: u32) {
        let tagged = self
            .processes
            .iter()
            .filter(|(_, it)| it.alive && it.job == job && it.attempt == attempt);
        let tagged: Vec<Pid> = tagged.map(|(pid, _)| *pid).collect();
        for pid in tagged {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.strays = 0;
            }
            self.signal(pid, SIGKILL);
        }
        self.deeds(job, attempt).strays = 0;
    }

    fn write_script(&mut self, timeout: Option<Duration>) -> Vec<(Duration, Deed)> {
        let mut script = Vec::new();
        if self.strikes(Fault::DeathBeforeHello) {
            let status = self.some_end();
            return vec![(self.moment(), Deed::End(status))];
        }
        if self.strikes(Fault::NoHello) {
            return vec![(self.moment(), Deed::Hang)];
        }
        let hello = WorkerMessage::Hello {
            protocol: PROTOCOL_VERSION,
            pid: 1,
        };
        script.push((self.moment(), Deed::Say(hello.clone())));
        for step in 0..self.dice.below(3) {
            let message = if self.dice.one_in(2) {
                WorkerMessage::Progress {
                    fraction: 0.25 * step as f64,
                    text: "on its way".into(),
                }
            } else {
                WorkerMessage::Output {
                    value: step.to_string(),
                }
            };
            script.push((self.dice.millis(300), Deed::Say(message)));
        }
        if self.strikes(Fault::Flood) {
            for _ in 0..3 {
                script.push((self.moment(), Deed::Write(150 * 1024)));
            }
        }
        if self.misspeaks(&mut script) {
            return script;
        }
        let work = self.work_time(timeout);
        if self.strikes(Fault::Hang) {
            script.push((work, Deed::Hang));
            return script;
        }
        if self.strikes(Fault::NoResult) {
            script.push((work, Deed::End(ExitStatus::Exited(0))));
            return script;
        }
        if self.strikes(Fault::CrashWithCore) {
            let (signal, core) = (SIGSEGV, true);
            script.push((work, Deed::End(ExitStatus::Signalled { signal, core })));
            return script;
        }
        let result = WorkerMessage::Result(self.some_result());
        script.push((work, Deed::Say(result.clone())));
        if self.strikes(Fault::DuplicateFrames) {
            script.push((self.moment(), Deed::Say(hello)));
            script.push((self.moment(), Deed::Say(result)));
            let other = WorkerMessage::Result(self.some_result());
            script.push((self.moment(), Deed::Say(other)));
        }
        if self.strikes(Fault::StaysAfterResult) {
            script.push((self.moment(), Deed::Hang));
        } else {
            let status = match self.strikes(Fault::UncleanExit) {
                true => self.some_end(),
                false => ExitStatus::Exited(0),
            };
            script.push((self.moment(), Deed::End(status)));
        }
        script
    }

    /// Whether it says what is no message, and ends then.
    fn misspeaks(&mut self, script: &mut Vec<(Duration, Deed)>) -> bool {
        let whole = encoded(&WorkerMessage::Result(WorkResult::Succeeded));
        let bytes = if self.strikes(Fault::PartialFrame) {
            whole[..1 + self.dice.index(whole.len() - 1)].to_vec()
        } else if self.strikes(Fault::OversizedFrame) {
            oversized()
        } else if self.strikes(Fault::GarbageFrame) {
            let length = 1 + self.dice.index(60);
            (0..length)
                .map(|_| self.dice.next().to_le_bytes()[0])
                .collect()
        } else {
            return false;
        };
        script.push((self.moment(), Deed::Send(bytes)));
        if self.dice.one_in(2) {
            let status = self.some_end();
            script.push((self.moment(), Deed::End(status)));
        } else {
            script.push((self.moment(), Deed::Hang));
        }
        true
    }

    pub(super) fn work_time(&mut self, timeout: Option<Duration>) -> Duration {
        match timeout {
            // Some take longer than they may.
            Some(timeout) if self.dice.one_in(6) => timeout + self.dice.millis(2_000),
            Some(_) | None if self.dice.one_in(2) => self.dice.millis(50),
            Some(_) | None => self.dice.millis(4_000),
        }
    }

    pub(super) fn some_end(&mut self) -> ExitStatus {
        match self.dice.below(3) {
            0 => ExitStatus::Exited(1 + i32::from(self.dice.one_in(2))),
            1 => ExitStatus::Signalled {
                signal: SIGSEGV,
                core: true,
            },
            _ => ExitStatus::Signalled {
                signal: SIGKILL,
                core: false,
            },
        }
    }

    pub(super) fn some_result(&mut self) -> WorkResult {
        let failed = |retry_after_ms| WorkResult::Failed {
            message: "it could not".into(),
            causes: vec!["for a reason".into()],
            retry_after_ms,
        };
        match self.dice.below(16) {
            0..8 => WorkResult::Succeeded,
            8..11 => failed(None),
            11 => failed(Some(self.dice.below(3_000))),
            12 => WorkResult::Discarded {
                message: "not at all".into(),
            },
            13 => WorkResult::Snoozed {
                delay_ms: self.dice.below(4_000),
            },
            14 => WorkResult::Panicked(Panic {
                message: "no".into(),
                location: String::new(),
                backtrace: String::new(),
            }),
            _ => WorkResult::MissingRequirement {
                names: vec!["a library".into()],
            },
        }
    }
}

pub(super) fn encoded(message: &WorkerMessage) -> Vec<u8> {
    let payload = serde_json::to_vec(message).expect("invariant: a message is JSON");
    let mut bytes = Vec::new();
    Frame::control(payload).encode(&mut bytes);
    bytes
}

/// The beginning of a frame that says to be larger than any may be.
fn oversized() -> Vec<u8> {
    static BEGINNING: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let value = "x".repeat(dispatcher_core::limits::FRAME_BYTES_MAX + 1);
        let mut bytes = encoded(&WorkerMessage::Output { value });
        bytes.truncate(64);
        bytes
    };
    BEGINNING.get_or_init(make).clone()
}
