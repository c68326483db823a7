//! How a worker of one job begins: its link, its start message, and what the keeper is asked for.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::engine::{Assignment, AttemptId, Event, LinkKind, WorkerId};
use dispatcher_core::message::{CommandLine, PayloadWay, Start, SupervisorMessage};
use dispatcher_core::{Isolation, Options};

use crate::process::{self, Group, Keeper, KeeperRequest, Limits, Tag};

use super::super::hearing::Hearing;
use super::super::link::{Link, Temporary};
use super::super::{Argument, CommandOrder};
use super::Driver;

impl Driver<'_> {
    pub(super) fn spawn(
        &mut self,
        worker: WorkerId,
        assignment: Assignment,
        deadline_wall_ms: Option<i64>,
    ) -> io::Result<()> {
        let attempt = AttemptId(worker.0);
        self.count_start(attempt, &assignment);
        self.begun
            .note(attempt, assignment.job, assignment.counters.token);
        let tag = Tag {
            job: assignment.job,
            attempt: assignment.counters.attempt,
        };
        let (mut link, ends) = Link::to_ours(assignment.slot, Hearing::new())?;
        let mut start = start_message(&assignment, deadline_wall_ms);
        if let Some(order) = self.commands.get(&assignment.dispatcher) {
            let (line, file) = command_line(order, &self.home.directory, &tag);
            start.command = Some(line);
            link.payload_file = file;
        }
        link.begin(attempt, &assignment, &self.live);
        link.say(&SupervisorMessage::Start(Box::new(start)))?;
        link.group = self.group_for(&assignment, &tag);
        let slot = &self.slots[assignment.slot as usize];
        let mut limits = limits(&assignment.options);
        limits.group = link.group.as_ref().map(Group::entrance);
        let request = match assignment.options.isolation {
            // A command becomes a fresh image anyway.
            Isolation::Exec if assignment.link == LinkKind::Framed => KeeperRequest::Exec {
                worker: worker.0,
                tag,
                dispatcher: assignment.dispatcher.clone(),
                limits,
            },
            Isolation::Exec | Isolation::Process | Isolation::Pool => KeeperRequest::Fork {
                worker: worker.0,
                tag,
                title: process::job_title(&self.program, &assignment.dispatcher, assignment.job),
                limits,
            },
        };
        let [control, stdout, stderr] = &ends;
        let fds = [
            control.as_fd(),
            stdout.as_fd(),
            stderr.as_fd(),
            slot.as_fd(),
        ];
        self.tell_start(&assignment);
        ask_for_process(&mut self.keeper, &request, &fds)?;
        self.links.insert(worker, link);
        Ok(())
    }

    pub(super) fn tell_start(&self, assignment: &Assignment) {
        let (job, name) = (assignment.job, &assignment.dispatcher);
        let attempt = assignment.counters.attempt;
        if self.tells_jobs {
            tracing::info!(%job, name, attempt, "job starts");
        } else {
            tracing::debug!(%job, name, attempt, "job starts");
        }
    }

    pub(super) fn spawn_failed(&mut self, worker: WorkerId, errno: i32) {
        let transient = matches!(
            errno,
            libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE
        );
        self.links.remove(&worker);
        self.event(Event::SpawnFailed {
            worker,
            errno,
            transient,
        });
    }
}

/// Has the keeper make a process. That it is gone is no failure of what was to run: the loss is
/// noticed where reports are read.
pub(super) fn ask_for_process(
    keeper: &mut Keeper,
    request: &KeeperRequest,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    match keeper.send(request, fds) {
        Err(error) if is_loss(&error) => {
            tracing::debug!(%error, "the keeper takes no requests");
            Ok(())
        }
        result => result,
    }
}

pub(super) fn start_message(assignment: &Assignment, deadline_wall_ms: Option<i64>) -> Start {
    Start {
        job: assignment.job,
        attempt: assignment.counters.attempt,
        dispatcher: assignment.dispatcher.clone(),
        payload: assignment.payload.to_string(),
        deadline: deadline_wall_ms.map(wall_time),
        options: (*assignment.options).clone(),
        command: None,
    }
}

/// A command as its worker gets it, and the file that is to be removed afterwards.
fn command_line(order: &CommandOrder, home: &Path, tag: &Tag) -> (CommandLine, Option<Temporary>) {
    let path = home.join(format!("payload-{tag}"));
    let shown = path.display().to_string();
    let placed = |argument: &Argument| match argument {
        Argument::Text(text) => text.clone(),
        Argument::PayloadFile => shown.clone(),
    };
    let argv = order.argv.iter().map(placed).collect();
    let (payload, file) = match &order.payload {
        PayloadWay::File(_) => (PayloadWay::File(shown.clone()), Some(Temporary(path))),
        way @ (PayloadWay::None | PayloadWay::Stdin | PayloadWay::Environment) => {
            (way.clone(), None)
        }
    };
    let env = order.env.clone();
    (CommandLine { argv, payload, env }, file)
}

fn limits(options: &Options) -> Limits {
    Limits {
        cpu: options.cpu_limit,
        open_files: options.open_files,
        nice: options.nice,
        ..Limits::default()
    }
}

fn wall_time(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}

/// Whether an error of the keeper's socket says that the keeper is gone.
fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}
