//! What a service tells its manager, and the rest of itself: ready, alive, stopping.
//!
//! The protocol is `sd_notify(3)` of systemd: a datagram of `NAME=value` lines to the socket that a
//! variable names. Only whoever drives the jobs says that it is alive.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ties::Standing;
use super::{Stay, Ties};

/// A manager that wants to hear more often hears as often as this.
const WATCHDOG_MIN: Duration = Duration::from_millis(1);

/// Who is told, if anybody.
pub(super) struct Announcer {
    manager: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the service is alive, and when next.
    watchdog: Option<(Duration, Instant)>,
    /// The rest of the service.
    tell: Option<Box<dyn Fn(Turn) + Send>>,
}

/// What the rest of a service must know of its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its row is open, and this is its own directory.
    Ready(PathBuf),
    /// Nothing new is to be started.
    Stopping,
}

impl Announcer {
    /// A service's manager, as the environment names it; a detached supervisor has none.
    pub(super) fn of(stay: Stay, ties: Option<&mut Ties>) -> Self {
        let mut nobody = Self {
            manager: None,
            watchdog: None,
            tell: None,
        };
        let (Stay::UntilTold { .. }, Some(ties)) = (stay, ties) else {
            return nobody;
        };
        nobody.tell = Some(std::mem::replace(&mut ties.tell, Box::new(drop)));
        if ties.standing == Standing::Guest {
            return nobody;
        }
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty()) else {
            return nobody;
        };
        match connect(&socket) {
            Ok(manager) => Self {
                manager: Some(manager),
                watchdog: interval().map(|interval| (interval, Instant::now())),
                ..nobody
            },
            Err(error) => {
                tracing::warn!(%error, ?socket, "the service manager cannot be told anything");
                nobody
            }
        }
    }

    pub(super) fn ready(&self, directory: &Path) {
        self.turn(Turn::Ready(directory.to_owned()));
        self.say(&format!("READY=1\nMAINPID={}\n", std::process::id()));
    }

    pub(super) fn stopping(&self) {
        self.turn(Turn::Stopping);
        self.say("STOPPING=1\n");
    }

    /// Says that it is alive, if it is time to.
    pub(super) fn alive(&mut self, now: Instant) {
        let Some((interval, next)) = self.watchdog else {
            return;
        };
        if now >= next {
            self.watchdog = Some((interval, now + interval));
            self.say("WATCHDOG=1\n");
        }
    }

    /// When it will be time to.
    pub(super) fn next(&self) -> Option<Instant> {
        self.watchdog.map(|(_, next)| next)
    }

    fn turn(&self, turn: Turn) {
        if let Some(tell) = &self.tell {
            tell(turn);
        }
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.manager
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// A path, or with `@` in front a name that is in no file system.
fn connect(socket: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not listen must not hold up jobs.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Half of what the manager waits for, if it waits for this process.
fn interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    let micros = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros / 2).max(WATCHDOG_MIN))
}
