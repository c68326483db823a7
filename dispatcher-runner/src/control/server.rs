//! The service's end of the control socket.
//!
//! Nobody who connects can hold up the service, or anybody else for long: connections are few, each
//! has a thread, and whoever does not finish a request in time is hung up on.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{Answer, Board, Line, REQUEST_BYTES_MAX, Request, VERSION, short};

/// Connections that are served at once; others are hung up on.
const CONNECTIONS_MAX: usize = 16;
/// Time for a request to arrive, and for an answer to be taken.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that wait to be taken.
const BACKLOG: i32 = 64;
/// Pause after an error that will come again at once: no descriptor is free.
const ERROR_PAUSE_MS: i64 = 100;

/// Ends the serving of a control socket.
pub(crate) struct Hatch(OwnedFd);

impl Hatch {
    /// An open one.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// Nobody is let in any more.
    pub(crate) fn close(&self) {
        // It stays readable: nobody reads it.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Makes the socket in the supervisor's directory, for its own user alone.
pub(crate) fn bind(directory: &Path) -> io::Result<UnixListener> {
    let open = File::open(directory)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before it has a name: Linux gives the file the socket's mode, so it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    // It gets its name when it listens: whoever sees it is not turned away.
    let unnamed = short(&open).with_extension("new");
    rustix::net::bind(&socket, &SocketAddrUnix::new(&unnamed)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    std::fs::rename(unnamed, short(&open))?;
    Ok(socket.into())
}

/// Answers whoever comes, until the hatch is closed.
pub(crate) fn serve(listener: &UnixListener, board: &Arc<Board>, hatch: &Hatch) {
    let served = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(hatch.0.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "the control socket is not served any more");
                return;
            }
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => take_in(stream, board, &served),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, "nobody could be let in at the control socket");
                pause(hatch);
            }
        }
    }
}

/// Waits a moment, unless the hatch is closed meanwhile.
fn pause(hatch: &Hatch) {
    let mut fds = [PollFd::from_borrowed_fd(hatch.0.as_fd(), PollFlags::IN)];
    let time = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: ERROR_PAUSE_MS * 1_000_000,
    };
    let _ = poll(&mut fds, Some(&time));
}

/// Gives a connection a thread, if it may have one.
fn take_in(stream: UnixStream, board: &Arc<Board>, served: &Arc<AtomicUsize>) {
    match peer_may(&stream) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("a stranger was turned away at the control socket");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "nobody knows who came to the control socket");
            return;
        }
    }
    let place = Place(Arc::clone(served));
    if place.0.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        tracing::warn!("too many came to the control socket at once");
        return;
    }
    let board = Arc::clone(board);
    let thread = std::thread::Builder::new().name("control".to_owned());
    let started = thread.spawn(move || {
        let _place = place;
        // Whoever hangs up has no answer, and needs none.
        if let Err(error) = converse(stream, &board) {
            tracing::debug!(%error, "a conversation at the control socket broke off");
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "there is no thread for the control socket");
    }
}

/// One of the connections.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether it is the same user, or root.
fn peer_may(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// Answers requests until the other side has no more.
fn converse(mut stream: UnixStream, board: &Board) -> io::Result<()> {
    // An accepted socket does not inherit it on Linux, but says so nowhere in POSIX.
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(LINE_TIMEOUT))?;
    let mut pending = Vec::new();
    while let Some(line) = read_line(&mut stream, &mut pending)? {
        let answer = match understand(&line) {
            Ok(request) => board.answer(request),
            Err(why) => Answer::Refused { why },
        };
        let line = Line {
            version: VERSION,
            body: answer,
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        stream.write_all(&bytes)?;
    }
    Ok(())
}

/// The next line, without its end; `None` when there is none. What came after it stays pending.
fn read_line(stream: &mut UnixStream, pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let end = Instant::now() + LINE_TIMEOUT;
    let mut piece = [0; 4096];
    loop {
        if let Some(at) = pending.iter().position(|byte| *byte == b'\n') {
            let rest = pending.split_off(at + 1);
            let mut line = std::mem::replace(pending, rest);
            line.pop();
            return Ok(Some(line));
        }
        if pending.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) if pending.is_empty() => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => pending.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn understand(line: &[u8]) -> Result<Request, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let what = |error: serde_json::Error| format!("this is no request: {error}");
    let versioned: Versioned = serde_json::from_slice(line).map_err(what)?;
    if versioned.version != VERSION {
        let asked = versioned.version;
        return Err(format!(
            "the service speaks version {VERSION} of its control socket, not {asked}"
        ));
    }
    let line: Line<Request> = serde_json::from_slice(line).map_err(what)?;
    Ok(line.body)
}
