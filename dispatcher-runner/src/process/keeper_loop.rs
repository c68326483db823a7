//! The keeper itself: forks and starts workers, reaps them, and dies with its supervisor.
//!
//! One thread, no locks, nothing that waits but the poll. The zombie of a worker that left strays
//! is kept until its burial, so that its process group cannot become somebody else's.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::role::say;
use super::socket::{MessageSocket, Received};
use super::spawn::{self, Descriptors, Program, Spawner, Start, Starting};
use super::strays::{self, Children, Leader, Owner};
use super::sys::{self, BrokenPipe, Child, Ended};
use super::tag::Tag;
use super::wire::{KeeperReport, KeeperRequest, Opening};
use super::worker;

/// How long killing strays may take before those that do not die are given up.
const BURIAL_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the children are listed at one look, while some of them end.
const LISTS_MAX: u32 = 100;
/// How often a burial is looked at while nothing is heard.
const BURIAL_STEP: Duration = Duration::from_millis(5);
/// How long a keeper goes on killing at its own end.
const END_TIME_MAX: Duration = Duration::from_secs(20);
/// Requests taken before reports are sent and children looked at.
const REQUESTS_AT_ONCE: usize = 32;
/// Reports in one datagram.
const REPORTS_AT_ONCE: usize = 256;

/// A keeper.
#[derive(Debug)]
pub(super) struct KeeperLoop {
    socket: MessageSocket,
    signals: OwnedFd,
    deadline: Option<OwnedFd>,
    spawner: Spawner,
    children: Children,
    workers: Vec<Worker>,
    /// Orphans that are now children of the keeper, as far as they were seen.
    adopted: BTreeMap<i32, Owner>,
    reports: Vec<KeeperReport>,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    Ending,
}

#[derive(Debug)]
struct Worker {
    id: u32,
    pid: i32,
    tag: Tag,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Forked, not yet the image that it shall be.
    Starting {
        failure: OwnedFd,
    },
    /// It could not become that, and has ended or is about to.
    Failed {
        errno: i32,
    },
    Running,
    /// Ended, leaving strays; waits to be told what becomes of them.
    Ended,
    /// Its strays are being killed.
    Burying {
        since: Instant,
    },
}

impl State {
    fn is_zombie(&self) -> bool {
        match self {
            Self::Ended | Self::Burying { .. } => true,
            Self::Starting { .. } | Self::Failed { .. } | Self::Running => false,
        }
    }
}

/// Makes this process a keeper, except that it does not serve yet.
pub(super) fn prepare(
    socket: MessageSocket,
    name: &str,
) -> Result<KeeperLoop, (MessageSocket, io::Error)> {
    let prepared = settle(socket.as_fd().as_raw_fd())
        .and_then(|()| {
            worker::prepare();
            Spawner::new(name)
        })
        .and_then(|spawner| Ok((spawner, sys::keeper_signals()?)));
    match prepared {
        Ok((spawner, signals)) => Ok(KeeperLoop {
            socket,
            signals,
            deadline: None,
            spawner,
            children: Children::new(),
            workers: Vec::new(),
            adopted: BTreeMap::new(),
            reports: Vec::new(),
            life: Life::Serving,
        }),
        Err(error) => Err((socket, error)),
    }
}

/// What every worker will find as its surroundings.
fn settle(socket: RawFd) -> io::Result<()> {
    // Whatever the supervisor's process left open by mistake must not reach a job.
    sys::close_all(3, socket - 1);
    sys::close_all(socket + 1, RawFd::MAX);
    std::env::set_current_dir("/")?;
    sys::set_umask(0o022);
    // No terminal, whoever started the supervisor. Fails only for one that has a session already.
    let _ = sys::make_session();
    sys::become_subreaper()?;
    sys::stop_ignoring_signals(BrokenPipe::Ignore);
    Ok(())
}

impl KeeperLoop {
    /// Serves until the supervisor is gone or the deadline has passed; returns the exit code.
    pub(super) fn run(mut self) -> i32 {
        if self.socket.send(&Opening::Ready.encode(), &[]).is_err() {
            return 0;
        }
        while self.life == Life::Serving {
            if let Err(error) = self.turn() {
                say(&format!("the keeper ends: {error}"));
                self.life = Life::Ending;
            }
        }
        self.end()
    }

    fn turn(&mut self) -> io::Result<()> {
        let ready = self.wait()?;
        if ready.deadline {
            say("the supervisor's lease has run out; its keeper kills everything");
            self.life = Life::Ending;
            return Ok(());
        }
        if ready.socket {
            self.take_requests()?;
        }
        self.note_starts();
        if ready.signals {
            sys::drain(self.signals.as_fd());
            self.reap();
        }
        self.continue_burials();
        self.send_reports()
    }

    fn wait(&self) -> io::Result<Ready> {
        let blocked = !self.reports.is_empty();
        let events = libc::POLLIN | if blocked { libc::POLLOUT } else { 0 };
        let mut fds = vec![
            sys::interest(self.socket.as_fd(), events),
            sys::interest(self.signals.as_fd(), libc::POLLIN),
        ];
        let deadline = self.deadline.as_ref().map(|timer| {
            fds.push(sys::interest(timer.as_fd(), libc::POLLIN));
            fds.len() - 1
        });
        for worker in &self.workers {
            if let State::Starting { failure } = &worker.state {
                fds.push(sys::interest(failure.as_fd(), libc::POLLIN));
            }
        }
        sys::poll(&mut fds, self.burying().then_some(BURIAL_STEP))?;
        Ok(Ready {
            socket: fds[0].revents & !libc::POLLOUT != 0,
            signals: fds[1].revents != 0,
            deadline: deadline.is_some_and(|at| fds[at].revents != 0),
        })
    }

    fn take_requests(&mut self) -> io::Result<()> {
        for _ in 0..REQUESTS_AT_ONCE {
            match self.socket.receive()? {
                Received::Message { bytes, fds } => {
                    let request = KeeperRequest::decode(&bytes).map_err(io::Error::other)?;
                    self.obey(request, fds)?;
                }
                Received::DescriptorsLost { bytes } => {
                    let worker = KeeperRequest::worker_in(&bytes).map_err(io::Error::other)?;
                    let errno = libc::EMFILE;
                    self.reports
                        .push(KeeperReport::SpawnFailed { worker, errno });
                }
                Received::Nothing => break,
                Received::End => {
                    self.life = Life::Ending;
                    break;
                }
            }
        }
        Ok(())
    }

    fn obey(&mut self, request: KeeperRequest, fds: Vec<OwnedFd>) -> io::Result<()> {
        match request {
            KeeperRequest::Fork {
                worker,
                tag,
                title,
                limits,
            } => {
                let spawned = self
                    .admit(worker, fds)
                    .and_then(|fds| self.spawner.fork(&tag, &title, &limits, &fds));
                let spawned = spawned.map(|pid| (pid, State::Running));
                self.note_spawn(worker, tag, spawned);
            }
            KeeperRequest::Exec {
                worker,
                tag,
                dispatcher,
                limits,
            } => {
                let starting = self
                    .admit(worker, fds)
                    .and_then(|fds| self.spawner.exec(&tag, &dispatcher, &limits, &fds));
                self.note_spawn(worker, tag, starting.map(begun));
            }
            KeeperRequest::Command {
                worker,
                tag,
                argv,
                env,
                working_directory,
                limits,
            } => {
                let program = Program {
                    argv,
                    env,
                    working_directory,
                };
                let starting = self
                    .admit(worker, fds)
                    .and_then(|fds| self.spawner.command(&tag, &program, &limits, &fds));
                self.note_spawn(worker, tag, starting.map(begun));
            }
            KeeperRequest::Signal { worker, signal } => {
                if let Some(at) = self.find(worker) {
                    let pid = self.workers[at].pid;
                    // Errors say that it has ended just now, which is as well.
                    let _ = sys::kill_group(pid, signal);
                    if sys::group_of(pid) != Some(pid) {
                        // It has left its group, perhaps to others.
                        let _ = sys::kill(pid, signal);
                    }
                }
            }
            KeeperRequest::Bury { worker, kill } => self.bury(worker, kill),
            KeeperRequest::Deadline { boottime_ms } => self.set_deadline(boottime_ms)?,
        }
        Ok(())
    }

    fn admit(&self, worker: u32, fds: Vec<OwnedFd>) -> io::Result<Descriptors> {
        if self.find(worker).is_some() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        fds.try_into()
            .map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn note_spawn(&mut self, id: u32, tag: Tag, spawned: io::Result<(i32, State)>) {
        match spawned {
            Ok((pid, state)) => {
                if matches!(state, State::Running) {
                    self.reports.push(spawned_report(id, pid));
                }
                self.workers.push(Worker {
                    id,
                    pid,
                    tag,
                    state,
                });
            }
            Err(error) => self.reports.push(KeeperReport::SpawnFailed {
                worker: id,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            }),
        }
    }

    /// Sees which starting workers have become what they shall be. A failure is reported when
    /// the child is reaped, a moment later.
    fn note_starts(&mut self) {
        for at in 0..self.workers.len() {
            self.note_start(at);
        }
    }

    fn note_start(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let State::Starting { failure } = &worker.state else {
            return;
        };
        match spawn::read_start(failure.as_fd()) {
            Start::Pending => {}
            Start::Failed { errno } => worker.state = State::Failed { errno },
            Start::Done => {
                worker.state = State::Running;
                let report = spawned_report(worker.id, worker.pid);
                self.reports.push(report);
            }
        }
    }

    fn reap(&mut self) {
        // A zombie that is kept would be found again and again and hide the others.
        while !self.workers.iter().any(|worker| worker.state.is_zombie()) {
            let Some(ended) = sys::look(Child::Any) else {
                return;
            };
            self.note_end(&ended);
        }
        for pid in self.children.list() {
            let kept = |worker: &Worker| worker.pid == pid && worker.state.is_zombie();
            if !self.workers.iter().any(kept)
                && let Some(ended) = sys::look(Child::Pid(pid))
            {
                self.note_end(&ended);
            }
        }
    }

    fn note_end(&mut self, ended: &Ended) {
        let leads = |worker: &Worker| worker.pid == ended.pid;
        match self.workers.iter().position(leads) {
            Some(at) => self.note_leader_end(at, ended),
            None => {
                sys::reap(ended.pid);
                self.adopted.remove(&ended.pid);
            }
        }
    }

    fn note_leader_end(&mut self, at: usize, ended: &Ended) {
        let worker = self.workers[at].id;
        self.note_start(at);
        if let State::Failed { errno } = self.workers[at].state {
            self.forget(at);
            self.reports
                .push(KeeperReport::SpawnFailed { worker, errno });
            return;
        }
        let strays = self.strays_of(at).len();
        if strays == 0 {
            self.forget(at);
        } else {
            self.workers[at].state = match self.life {
                Life::Serving => State::Ended,
                Life::Ending => State::Burying {
                    since: Instant::now(),
                },
            };
        }
        self.reports.push(KeeperReport::Exited {
            worker,
            status: ended.status,
            usage: ended.usage,
            strays: count(strays),
        });
    }

    /// The living processes of a worker's tree but for its leader.
    fn strays_of(&mut self, at: usize) -> Vec<i32> {
        let own = Owner::Worker(self.workers[at].id);
        let mut look_closer = self.adopted.values().any(|owner| *owner == own);
        let mut fresh: Vec<i32> = Vec::new();
        // A child that ends after the list was read leaves its own children to this process, which
        // the list does not show: it is read until nobody has ended meanwhile.
        for round in 1.. {
            let mut ended = false;
            for pid in self.children.list() {
                let known = self.adopted.contains_key(&pid)
                    || fresh.contains(&pid)
                    || self.workers.iter().any(|worker| worker.pid == pid);
                if !known {
                    match sys::reap(pid) {
                        true => ended = true,
                        false => fresh.push(pid),
                    }
                }
            }
            if !ended || round == LISTS_MAX {
                look_closer |= ended || !fresh.is_empty();
                break;
            }
        }
        if !look_closer {
            return Vec::new();
        }
        let kin = strays::kin(&self.leaders());
        for pid in fresh {
            if let Some(kin) = kin.get(&pid).filter(|kin| kin.sure) {
                self.adopted.insert(pid, kin.owner);
            }
        }
        let of_worker = kin.iter().filter(|(_, kin)| kin.owner == own);
        of_worker.map(|(pid, _)| *pid).collect()
    }

    fn leaders(&self) -> Vec<Leader> {
        let leader = |worker: &Worker| Leader {
            worker: worker.id,
            pid: worker.pid,
            tag: worker.tag.to_string(),
        };
        self.workers.iter().map(leader).collect()
    }

    fn bury(&mut self, worker: u32, kill: bool) {
        let Some(at) = self.find(worker) else {
            self.reports.push(KeeperReport::Buried { worker, left: 0 });
            return;
        };
        if !self.workers[at].state.is_zombie() {
            say("a worker that has not exited cannot be buried");
            return;
        }
        if kill {
            self.workers[at].state = State::Burying {
                since: Instant::now(),
            };
            self.continue_burial(at);
        } else {
            self.leave(at);
        }
    }

    /// Ends a burial with what still lives.
    fn leave(&mut self, at: usize) {
        let left = count(self.strays_of(at).len());
        let worker = self.workers[at].id;
        self.forget(at);
        self.reports.push(KeeperReport::Buried { worker, left });
    }

    fn burying(&self) -> bool {
        let burying = |worker: &Worker| matches!(worker.state, State::Burying { .. });
        self.workers.iter().any(burying)
    }

    fn continue_burials(&mut self) {
        // From the end, because a burial that is over removes its worker.
        for at in (0..self.workers.len()).rev() {
            self.continue_burial(at);
        }
    }

    fn continue_burial(&mut self, at: usize) {
        let State::Burying { since } = self.workers[at].state else {
            return;
        };
        let strays = self.strays_of(at);
        if strays.is_empty() || since.elapsed() > BURIAL_TIME_MAX {
            self.leave(at);
            return;
        }
        // The zombie keeps the group's number; whoever is in it dies at once, without a race.
        let _ = sys::kill_group(self.workers[at].pid, libc::SIGKILL);
        for pid in strays {
            let _ = sys::kill(pid, libc::SIGKILL);
        }
    }

    fn set_deadline(&mut self, boottime_ms: Option<u64>) -> io::Result<()> {
        if self.deadline.is_none() {
            self.deadline = Some(sys::boottime_timer()?);
        }
        match &self.deadline {
            Some(timer) => sys::set_timer(timer.as_fd(), boottime_ms),
            None => Ok(()),
        }
    }

    fn send_reports(&mut self) -> io::Result<()> {
        while !self.reports.is_empty() {
            let some = self.reports.len().min(REPORTS_AT_ONCE);
            let mut bytes = Vec::with_capacity(64 * some);
            for report in &self.reports[..some] {
                report.encode(&mut bytes);
            }
            match self.socket.send(&bytes, &[]) {
                Ok(()) => drop(self.reports.drain(..some)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        self.life = Life::Ending;
                        break;
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Kills every worker with its whole tree. What was deliberately left lives on.
    fn end(mut self) -> i32 {
        let give_up = Instant::now() + END_TIME_MAX;
        for worker in &mut self.workers {
            let _ = sys::kill_group(worker.pid, libc::SIGKILL);
            let _ = sys::kill(worker.pid, libc::SIGKILL);
            if worker.state.is_zombie() {
                worker.state = State::Burying {
                    since: Instant::now(),
                };
            }
        }
        while !self.workers.is_empty() && Instant::now() < give_up {
            self.reap();
            self.continue_burials();
            self.reports.clear();
            if self.workers.is_empty() {
                break;
            }
            let mut fds = [sys::interest(self.signals.as_fd(), libc::POLLIN)];
            if sys::poll(&mut fds, Some(BURIAL_STEP)).is_err() {
                break;
            }
            sys::drain(self.signals.as_fd());
        }
        i32::from(!self.workers.is_empty())
    }

    fn find(&self, worker: u32) -> Option<usize> {
        self.workers.iter().position(|one| one.id == worker)
    }

    /// Reaps a worker's leader and forgets it; whom it left is nobody's from now on.
    fn forget(&mut self, at: usize) {
        let worker = self.workers.swap_remove(at);
        sys::reap(worker.pid);
        for owner in self.adopted.values_mut() {
            if *owner == Owner::Worker(worker.id) {
                *owner = Owner::Other;
            }
        }
    }
}

/// What a wait ended with.
struct Ready {
    socket: bool,
    signals: bool,
    deadline: bool,
}

fn begun(starting: Starting) -> (i32, State) {
    let Starting { pid, failure } = starting;
    (pid, State::Starting { failure })
}

fn spawned_report(worker: u32, pid: i32) -> KeeperReport {
    KeeperReport::Spawned {
        worker,
        pid: pid.unsigned_abs(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
