//! What a process of a pool does when it starts, and with each task.

use std::collections::VecDeque;
use std::time::Duration;

use dispatcher_core::ExitStatus;
use dispatcher_core::engine::{Event, RequestId};
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{PROTOCOL_VERSION, WorkResult, WorkerMessage};

use crate::simulator::faults::Fault;
use crate::simulator::process::{Pid, encoded};
use crate::simulator::world::{Happening, Phase, World};

use super::crew::{Birth, Task};
use super::requests::Said;

/// One line of a script.
#[derive(Debug, Clone)]
pub(in crate::simulator) enum Deed {
    /// A message of ours.
    Say(WorkerMessage),
    /// Bytes that mean something.
    Send(Vec<u8>),
    /// Bytes that are no message, or no answer to anything.
    Misspeak(Vec<u8>),
    /// Output of a job, or of nobody.
    Print(u8, usize),
    /// The task is done, with this answer.
    Done(Done),
    /// It uses more memory than it may keep.
    Grow,
    End(ExitStatus),
    /// Nothing more happens by itself.
    Hang,
}

/// How a task was answered.
#[derive(Debug, Clone)]
pub(in crate::simulator) enum Done {
    Result(WorkResult),
    Said(Said),
    Unwanted,
}

type Script = VecDeque<(Duration, Deed)>;

impl World {
    pub(super) fn boot_script(&mut self, birth: Birth) -> Script {
        let now = self.now;
        let pool = self.pools(birth.runner).map(|pools| pools.get(birth.pool));
        let (broken_until, limit) = match pool {
            Some(pool) => (pool.broken_until, pool.spec.spawn_timeout),
            None => (Duration::ZERO, Duration::ZERO),
        };
        let broken = now < broken_until && self.phase == Phase::Safety;
        let moment = self.moment();
        let mut script = Script::new();
        if self.strikes(Fault::BootSpeaks) {
            script.push_back((moment, Deed::Misspeak(b"Warning: it is late\n".to_vec())));
            let end = match self.dice.one_in(2) {
                true => Deed::End(self.some_end()),
                false => Deed::Hang,
            };
            script.push_back((self.dice.millis(1_500), end));
            return script;
        }
        if broken || self.strikes(Fault::BootDies) {
            script.push_back((moment, Deed::End(self.some_end())));
            return script;
        }
        if self.strikes(Fault::BootNever) {
            script.push_back((moment, Deed::Hang));
            return script;
        }
        let wait = match self.strikes(Fault::BootSlow) {
            // Some take longer than they may.
            true => limit / 2 + self.dice.millis(1_500),
            false => self.dice.millis(40),
        };
        let hello = match birth.foreign {
            true => bytes_of(&Frame::pid_reply(1)),
            false => encoded(&WorkerMessage::Hello {
                protocol: PROTOCOL_VERSION,
                pid: 1,
            }),
        };
        script.push_back((wait, Deed::Send(hello)));
        script
    }

    pub(super) fn job_script(
        &mut self,
        birth: Birth,
        timeout: Option<Duration>,
        letter: u8,
    ) -> Script {
        let mut work = self.work_time(timeout);
        let mut script = Script::new();
        let pool = self.pools(birth.runner).map(|pools| pools.get(birth.pool));
        if pool.is_some_and(|pool| pool.hasty) && !self.dice.one_in(20) {
            work = self.moment();
        } else if self.dice.one_in(3) {
            script.push_back((self.moment(), Deed::Print(letter, 40)));
        }
        if birth.foreign && self.does_not_want(birth) {
            let bytes = bytes_of(&Frame::stop_reply());
            script.push_back((Duration::ZERO, Deed::Done(Done::Unwanted)));
            script.push_back((Duration::ZERO, Deed::Send(bytes)));
            return script;
        }
        if self.goes_wrong(birth, work, &mut script) {
            return script;
        }
        if !birth.foreign {
            let result = self.some_result();
            let message = encoded(&WorkerMessage::Result(result.clone()));
            if self.strikes(Fault::AnswersTwice) {
                let twice = [message.clone(), message].concat();
                script.push_back((work, Deed::Done(Done::Result(result))));
                script.push_back((Duration::ZERO, Deed::Misspeak(twice)));
                return script;
            }
            script.push_back((work, Deed::Done(Done::Result(result))));
            script.push_back((Duration::ZERO, Deed::Send(message)));
            self.settle(&mut script);
            return script;
        }
        let soft_error = self.strikes(Fault::SoftError);
        let (frame, result) = if soft_error {
            let (message, causes) = ("it could not".to_owned(), Vec::new());
            let result = WorkResult::Failed {
                message,
                causes,
                retry_after_ms: None,
            };
            (Frame::error("it could not"), result)
        } else {
            (Frame::task(b"", b"7"), WorkResult::Succeeded)
        };
        self.stream(&mut script, letter);
        script.push_back((work, Deed::Done(Done::Result(result))));
        self.reply(&frame, &mut script);
        script
    }

    pub(super) fn request_script(&mut self, birth: Birth, request: RequestId) -> Script {
        let work = match self.dice.one_in(8) {
            true => self.dice.millis(4_000),
            false => self.dice.millis(40),
        };
        let mut script = Script::new();
        if self.does_not_want(birth) {
            let bytes = bytes_of(&Frame::stop_reply());
            script.push_back((Duration::ZERO, Deed::Done(Done::Unwanted)));
            script.push_back((Duration::ZERO, Deed::Send(bytes)));
            return script;
        }
        if self.goes_wrong(birth, work, &mut script) {
            return script;
        }
        let (frame, said) = match self.strikes(Fault::SoftError) {
            true => (Frame::error("it could not"), Said::Refused),
            false => {
                let body = request.0.to_string();
                (Frame::task(b"", body.as_bytes()), Said::Replied)
            }
        };
        self.stream(&mut script, b'.');
        script.push_back((work, Deed::Done(Done::Said(said))));
        self.reply(&frame, &mut script);
        if !birth.foreign && !matches!(script.back(), Some((_, Deed::Misspeak(_)))) {
            self.settle(&mut script);
        }
        script
    }

    /// Whether a task does not come to its answer.
    fn goes_wrong(&mut self, birth: Birth, work: Duration, script: &mut Script) -> bool {
        if self.strikes(Fault::TaskCrash) {
            script.push_back((work, Deed::End(self.some_end())));
            return true;
        }
        if self.strikes(Fault::TaskHangs) {
            script.push_back((work, Deed::Hang));
            return true;
        }
        let bytes = if self.strikes(Fault::StrayText) {
            b"a stray line of text\n".to_vec()
        } else if self.strikes(Fault::PoolGarbage) {
            let length = 20 + self.dice.index(60);
            let bytes = (0..length).map(|_| self.dice.next().to_le_bytes()[0]);
            // Its first byte is no version of a frame's.
            std::iter::once(0xf3).chain(bytes).collect()
        } else {
            return false;
        };
        script.push_back((work.min(Duration::from_secs(1)), Deed::Misspeak(bytes)));
        let end = match birth.foreign || self.dice.one_in(2) {
            true => Deed::Hang,
            false => Deed::End(self.some_end()),
        };
        script.push_back((self.moment(), end));
        true
    }

    fn does_not_want(&mut self, birth: Birth) -> bool {
        let calm = self.phase == Phase::Liveness;
        let pool = self.pools(birth.runner).map(|pools| pools.get(birth.pool));
        let reluctant = pool.is_some_and(|pool| pool.reluctant) && !calm;
        let odd = reluctant && !self.dice.one_in(40);
        if odd {
            self.coverage.count(Fault::Unwanted.name());
        }
        odd || self.strikes(Fault::Unwanted)
    }

    fn stream(&mut self, script: &mut Script, letter: u8) {
        if !self.strikes(Fault::Streams) {
            return;
        }
        for _ in 0..3 {
            let chunk = Frame::chunk(&[letter; 20]);
            script.push_back((self.moment(), Deed::Send(bytes_of(&chunk))));
        }
    }

    fn reply(&mut self, frame: &Frame, script: &mut Script) {
        let bytes = bytes_of(frame);
        let deed = match self.strikes(Fault::AnswersTwice) {
            true => Deed::Misspeak([bytes.clone(), bytes].concat()),
            false => Deed::Send(bytes),
        };
        script.push_back((Duration::ZERO, deed));
        if self.strikes(Fault::Outgrows) {
            script.push_back((Duration::ZERO, Deed::Grow));
        }
    }

    /// A worker of ours puts back what its tasks share.
    fn settle(&mut self, script: &mut Script) {
        if self.strikes(Fault::FinalizerHangs) {
            return script.push_back((self.moment(), Deed::Hang));
        }
        let failed = self.strikes(Fault::FinalizerFails);
        let failure = failed.then(|| "it was not put back".to_owned());
        let ready = WorkerMessage::Ready { failure };
        if self.strikes(Fault::Outgrows) {
            script.push_back((Duration::ZERO, Deed::Grow));
        }
        if self.dice.one_in(3) {
            script.push_back((self.moment(), Deed::Print(b'!', 40)));
        }
        script.push_back((self.moment(), Deed::Say(ready)));
    }

    /// The next thing that a process of a pool does.
    pub(in crate::simulator) fn act_of_crew(&mut self, pid: Pid) {
        let Some(crewman) = self.crew.get_mut(&pid) else {
            return;
        };
        crewman.acts = false;
        if !crewman.is_alive() {
            return;
        }
        let Some((_, deed)) = crewman.script.pop_front() else {
            return;
        };
        let birth = crewman.birth;
        match deed {
            Deed::Say(message) => self.send_of_crew(pid, encoded(&message), true),
            Deed::Send(bytes) => self.send_of_crew(pid, bytes, true),
            Deed::Misspeak(bytes) => {
                self.misspeaks_of_crew(pid);
                self.send_of_crew(pid, bytes, false);
            }
            Deed::Print(letter, count) => {
                let printed = Happening::Printed(birth.runner, birth.worker, letter, count);
                let at = crewman.said_until;
                self.at(at, printed);
            }
            Deed::Done(done) => self.done(pid, done),
            Deed::Grow => {
                let later = self.dice.millis(1_000);
                let event = Event::Outgrown {
                    worker: birth.worker,
                };
                self.after(later, Happening::Noticed(birth.runner, event));
            }
            Deed::End(status) => return self.die_of_crew(pid, status),
            Deed::Hang => {
                crewman.hangs = true;
                if self.phase == Phase::Liveness {
                    let status = ExitStatus::Exited(0);
                    self.after(Duration::from_secs(1), Happening::Die(pid, status));
                }
            }
        }
        self.go_on(pid);
    }

    fn misspeaks_of_crew(&mut self, pid: Pid) {
        let Some(crewman) = self.crew.get_mut(&pid) else {
            return;
        };
        crewman.misspoke = true;
        let (birth, task, job) = (crewman.birth, crewman.task, crewman.committed());
        if let Some((job, number)) = job {
            self.deeds(job, number).broke_protocol = true;
        }
        if let Some(Task::Request(request)) = task {
            self.note_said(birth.runner, request, Said::Nonsense);
        }
    }

    /// What it says from here on answers its task.
    fn done(&mut self, pid: Pid, done: Done) {
        let Some(crewman) = self.crew.get_mut(&pid) else {
            return;
        };
        let (birth, job) = (crewman.birth, crewman.committed());
        match (crewman.task.take(), done) {
            (Some(Task::Job(_)), Done::Result(result)) => {
                if let Some((job, number)) = job {
                    self.deeds(job, number).results.push(result);
                }
            }
            (Some(Task::Job(_)), Done::Unwanted) => {
                if let Some((job, number)) = job {
                    self.deeds(job, number).unwanted += 1;
                }
            }
            (Some(Task::Request(request)), Done::Said(said)) => {
                self.note_said(birth.runner, request, said);
            }
            (Some(Task::Request(request)), Done::Unwanted) => {
                self.note_said(birth.runner, request, Said::Unwanted);
            }
            (task, done) => {
                let what = format!("{task:?} is no task for {done:?}");
                self.broken("one task for each worker", what);
            }
        }
    }

    fn send_of_crew(&mut self, pid: Pid, mut bytes: Vec<u8>, in_pieces: bool) {
        let mut pieces = Vec::new();
        if in_pieces && bytes.len() > 1 && self.strikes(Fault::SplitFrames) {
            let rest = bytes.split_off(1 + self.dice.index(bytes.len() - 1));
            pieces.push(rest);
        }
        pieces.insert(0, bytes);
        for piece in pieces {
            let earliest = self.now + self.moment();
            let Some(crewman) = self.crew.get_mut(&pid) else {
                return;
            };
            crewman.said_until = crewman.said_until.max(earliest);
            let (at, birth) = (crewman.said_until, crewman.birth);
            self.at(at, Happening::Bytes(birth.runner, birth.worker, piece));
        }
    }
}

fn bytes_of(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}
