//! The supervisor's side of its keeper.
//!
//! Sending never waits: what finds no room is kept here, in order, until [`Keeper::flush`].

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::role::{KEEPER_ROLE, PADDING};
use super::socket::{MessageSocket, Received};
use super::tag::TAG_VARIABLE;
use super::wire::{KeeperReport, KeeperRequest, Opening, WireError};
use super::{sys, title};

/// How long a new keeper may take to say that it is ready.
const OPENING_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a keeper may take to end, which is longer than it goes on killing.
const END_TIME_MAX: Duration = Duration::from_secs(30);
const END_STEP: Duration = Duration::from_millis(1);

/// By these a manager knows its service, for which no job must speak (`sd_notify(3)`).
const OF_A_SERVICE: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How a keeper is started.
#[derive(Debug, Clone)]
pub(crate) struct KeeperSpec {
    /// Real name of the program, as `ps` shall show it.
    pub(crate) name: OsString,
    /// The environment that jobs start from.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// The parent of every job process of a supervisor.
///
/// Dropping it closes its socket: the keeper kills everything it has and ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    socket: MessageSocket,
    reports: VecDeque<KeeperReport>,
    unsent: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl KeeperSpec {
    /// This program, with the environment it has now; call it before anybody changes that.
    pub(crate) fn of_this_program() -> Self {
        Self {
            name: std::env::args_os().next().unwrap_or_default(),
            environment: start_environment().collect(),
        }
    }
}

/// The environment of this process, as jobs and workers may see it.
pub(crate) fn start_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !OF_A_SERVICE.iter().any(|own| name == own))
}

impl Keeper {
    /// Starts this very image as a keeper and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or refuses: the error's text is the keeper's own.
    pub(crate) fn start(spec: &KeeperSpec) -> io::Result<Self> {
        let (socket, theirs) = MessageSocket::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0(&spec.name)
            .arg(KEEPER_ROLE)
            .arg(PADDING)
            .env_clear()
            .env(TAG_VARIABLE, title::placeholder())
            .envs(
                spec.environment
                    .iter()
                    .filter(|(name, _)| name != TAG_VARIABLE)
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let mut keeper = Self {
            child,
            socket,
            reports: VecDeque::new(),
            unsent: VecDeque::new(),
        };
        match keeper.opening() {
            Ok(()) => Ok(keeper),
            Err(error) => {
                keeper.kill_and_reap();
                Err(error)
            }
        }
    }

    /// Readable when there is something for [`Keeper::receive`]; writable when [`Keeper::flush`]
    /// may get on.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request, or keeps it until there is room.
    ///
    /// # Errors
    /// `E2BIG` for one that is too large, `BrokenPipe` when the keeper is gone.
    pub(crate) fn send(
        &mut self,
        request: &KeeperRequest,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        assert_eq!(
            fds.len(),
            request.descriptors(),
            "invariant: a request comes with its descriptors"
        );
        let mut bytes = Vec::with_capacity(256);
        request.encode(&mut bytes);
        if self.unsent.is_empty() {
            match self.socket.send(&bytes, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        let copies: io::Result<Vec<_>> = fds.iter().map(BorrowedFd::try_clone_to_owned).collect();
        self.unsent.push_back((bytes, copies?));
        Ok(())
    }

    /// Whether requests wait for room.
    pub(crate) fn wants_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Errors
    /// `BrokenPipe` when the keeper is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, fds)) = self.unsent.front() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match self.socket.send(bytes, &borrowed) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            self.unsent.pop_front();
        }
        Ok(())
    }

    /// The next report, if one is there.
    ///
    /// # Errors
    /// `UnexpectedEof` when the keeper is gone.
    pub(crate) fn receive(&mut self) -> io::Result<Option<KeeperReport>> {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Ok(Some(report));
            }
            match self.socket.receive()? {
                Received::Message { bytes, fds: _ } | Received::DescriptorsLost { bytes } => {
                    self.reports = KeeperReport::decode_all(&bytes).map_err(garbled)?.into();
                }
                Received::Nothing => return Ok(None),
                Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Closes the socket, whereupon the keeper kills everything that it has, and waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) fn finish(self) -> io::Result<ExitStatus> {
        let Self {
            mut child, socket, ..
        } = self;
        drop(socket);
        let give_up = Instant::now() + END_TIME_MAX;
        while Instant::now() < give_up {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(END_STEP);
        }
        // It stands still; whatever it has left is found by its tags.
        child.kill()?;
        child.wait()
    }

    /// Kills the keeper alone. Its workers live on, to be found by their tags.
    pub(crate) fn kill_and_reap(mut self) {
        // It may be gone already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn opening(&mut self) -> io::Result<()> {
        let give_up = Instant::now() + OPENING_TIME_MAX;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(no_keeper("it said nothing"));
            }
            let mut fds = [sys::interest(self.socket.as_fd(), libc::POLLIN)];
            sys::poll(&mut fds, Some(left))?;
            match self.socket.receive()? {
                Received::Message { bytes, fds: _ } | Received::DescriptorsLost { bytes } => {
                    return match Opening::decode(&bytes).map_err(garbled)? {
                        Opening::Ready => Ok(()),
                        Opening::Refused { why } => Err(io::Error::other(why)),
                    };
                }
                Received::Nothing => {}
                Received::End => return Err(no_keeper("it ended at once")),
            }
        }
    }
}

fn garbled(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn no_keeper(how: &str) -> io::Error {
    io::Error::other(format!(
        "the program did not become a keeper when it was started again ({how}); \
         `dispatcher_runner::init()` must be the first line of `main`"
    ))
}
