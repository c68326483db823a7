//! A socket gets its name: mode 0600 before anybody sees it, and never over one that answers.
//!
//! Whoever gives or takes the name holds a kernel lock on the folder, so that of two that find a
//! stale file only one takes its place.

use std::fs::{self, File};
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    #[error("`path` must be absolute, not {}", .0.display())]
    Relative(PathBuf),
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error("`path` is longer than the name of a socket may be: {}", .0.display())]
    TooLong(PathBuf),
    #[error("{} is there already, and no socket", .0.display())]
    NoSocket(PathBuf),
    #[error("somebody answers at {} already", .0.display())]
    Taken(PathBuf),
    #[error("the socket {} cannot be made", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Whether a socket can have this name, as far as that is known before it gets it.
pub(super) fn check(path: &Path) -> Result<(), BindError> {
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(BindError::Relative(path.to_owned()));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(BindError::NoFolder(folder.to_owned()));
    }
    match SocketAddrUnix::new(unnamed(path)) {
        Ok(_) => Ok(()),
        Err(_) => Err(BindError::TooLong(path.to_owned())),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}

/// Where it is made before it gets its name.
fn unnamed(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

/// A socket with its name, which it loses with this value.
pub(super) struct Bound {
    path: PathBuf,
    socket: std::os::unix::net::UnixListener,
    /// The file, by device and inode.
    file: (u64, u64),
}

impl Bound {
    pub(super) fn at(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io {
            path: path.to_owned(),
            source,
        };
        let folder = File::open(folder_of(path)).map_err(failed)?;
        folder.lock().map_err(failed)?;
        make_way(path)?;
        let socket = make(path).map_err(failed)?;
        let file = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            socket,
            file: (file.st_dev(), file.st_ino()),
        })
    }

    /// Who takes connections.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.socket.try_clone()?)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let Ok(folder) = File::open(folder_of(&self.path)) else {
            return;
        };
        let _locked = folder.lock();
        let still = fs::symlink_metadata(&self.path).map(|it| (it.st_dev(), it.st_ino()));
        if still.is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes sure that the name is free, or that of a socket where nobody answers.
fn make_way(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return Err(BindError::NoSocket(path.to_owned())),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Too many wait to be taken, say: somebody is there.
        Ok(_) | Err(_) => Err(BindError::Taken(path.to_owned())),
    }
}

fn make(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the file the socket's mode, so it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let unnamed = unnamed(path);
    let _ = fs::remove_file(&unnamed);
    rustix::net::bind(&socket, &SocketAddrUnix::new(&unnamed)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    fs::rename(&unnamed, path)?;
    Ok(socket.into())
}
