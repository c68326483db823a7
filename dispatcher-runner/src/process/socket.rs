//! Datagrams with descriptors between supervisor and keeper.
//!
//! One datagram is one message. A message over [`INLINE_BYTES_MAX`] travels as a file in memory,
//! whose descriptor comes last. Nothing here ever waits.
#![expect(unsafe_code, reason = "sendmsg, recvmsg and their control data")]

use std::io::{self, Read as _, Seek as _, Write as _};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::sys;
use super::wire::{MESSAGE_HEAD_BYTES, REQUEST_BYTES_MAX};

/// Largest message that is sent as it is.
pub(super) const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Most descriptors of one message.
const FDS_MAX: usize = 5;
/// Room for the control data of [`FDS_MAX`] descriptors, in words so that it is aligned.
const CONTROL_WORDS: usize = 8;

const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// Sends and receives messages.
#[derive(Debug)]
pub(super) struct MessageSocket {
    fd: OwnedFd,
    buffer: Box<[u8]>,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Received {
    Message {
        bytes: Vec<u8>,
        fds: Vec<OwnedFd>,
    },
    /// A message whose descriptors found no room here; at least its first bytes.
    DescriptorsLost {
        bytes: Vec<u8>,
    },
    Nothing,
    End,
}

impl MessageSocket {
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let mut fds: [RawFd; 2] = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for two.
        sys::check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
        Ok((Self::new(sys::owned(fds[0])?), sys::owned(fds[1])?))
    }

    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            buffer: vec![0; INLINE_BYTES_MAX + 1].into_boxed_slice(),
        }
    }

    /// Sends a message; `WouldBlock` when there is no room now.
    pub(super) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(
            fds.len() < FDS_MAX,
            "invariant: a request has at most four descriptors"
        );
        if bytes.len() <= INLINE_BYTES_MAX {
            return self.send_datagram(INLINE, bytes, fds);
        }
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let mut file = sys::memory_file()?;
        file.write_all(bytes)?;
        let mut all = fds.to_vec();
        all.push(file.as_fd());
        self.send_datagram(IN_FILE, &bytes[..MESSAGE_HEAD_BYTES], &all)
    }

    pub(super) fn receive(&mut self) -> io::Result<Received> {
        let (length, mut fds, lost) = match self.receive_datagram() {
            Ok(received) => received,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    return Ok(Received::Nothing);
                }
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    return Ok(Received::End);
                }
                _ => return Err(error),
            },
        };
        let Some((form, inline)) = self.buffer[..length].split_first() else {
            return Ok(Received::End);
        };
        let bytes = match *form {
            IN_FILE if !lost => read_file(fds.pop())?,
            _ => inline.to_vec(),
        };
        if lost {
            return Ok(Received::DescriptorsLost { bytes });
        }
        Ok(Received::Message { bytes, fds })
    }

    fn send_datagram(&self, form: u8, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut parts = [
            libc::iovec {
                iov_base: (&raw const form).cast_mut().cast(),
                iov_len: 1,
            },
            libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            },
        ];
        let mut control = [0_usize; CONTROL_WORDS];
        // SAFETY: all-zero bytes are a valid msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        if !fds.is_empty() {
            let bytes = size_of_val(fds) as libc::c_uint;
            message.msg_control = control.as_mut_ptr().cast();
            // SAFETY: arithmetic only; then the header lies in `control`, which has room for it
            // and for FDS_MAX descriptors and is aligned as words.
            unsafe {
                message.msg_controllen = libc::CMSG_SPACE(bytes) as _;
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for (at, fd) in fds.iter().enumerate() {
                    data.add(at).write_unaligned(fd.as_raw_fd());
                }
            }
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: everything that the message points to lives until the call returns.
        if unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const message, flags) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        Err(match error.raw_os_error() {
            // Room for descriptors on the way frees up as the other side takes them.
            Some(libc::ETOOMANYREFS | libc::EINTR | libc::ENOBUFS) => {
                io::ErrorKind::WouldBlock.into()
            }
            _ => error,
        })
    }

    /// Length, descriptors, and whether some of them were lost.
    fn receive_datagram(&mut self) -> io::Result<(usize, Vec<OwnedFd>, bool)> {
        let mut part = libc::iovec {
            iov_base: self.buffer.as_mut_ptr().cast(),
            iov_len: self.buffer.len(),
        };
        let mut control = [MaybeUninit::<usize>::uninit(); CONTROL_WORDS];
        // SAFETY: all-zero bytes are a valid msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: everything that the message points to lives until the call returns.
        let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, flags) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let mut fds = Vec::new();
        // SAFETY: the kernel wrote valid headers and lengths; each descriptor is new and ours.
        unsafe {
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                if (*header).cmsg_level == libc::SOL_SOCKET
                    && (*header).cmsg_type == libc::SCM_RIGHTS
                {
                    let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                    let data = libc::CMSG_DATA(header).cast::<RawFd>();
                    for at in 0..bytes / size_of::<RawFd>() {
                        fds.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                    }
                }
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
        }
        if message.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((length, fds, message.msg_flags & libc::MSG_CTRUNC != 0))
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn read_file(fd: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(fd.ok_or(io::ErrorKind::InvalidData)?);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(REQUEST_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &mut MessageSocket) -> (Vec<u8>, Vec<OwnedFd>) {
        match socket.receive().unwrap() {
            Received::Message { bytes, fds } => (bytes, fds),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_of_every_size_arrive_with_their_descriptors() {
        let (near, far) = MessageSocket::pair().unwrap();
        let mut far = MessageSocket::new(far);
        assert!(matches!(far.receive().unwrap(), Received::Nothing));
        for size in [1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 3_000_000] {
            let bytes = vec![0x5a; size];
            let fds = [near.as_fd(); 4];
            near.send(&bytes, &fds).unwrap();
            near.send(b"next", &[]).unwrap();
            let (got, fds) = receive(&mut far);
            assert_eq!((got == bytes, fds.len()), (true, 4), "{size}");
            assert_eq!(receive(&mut far).0, b"next");
        }
        let refused = near.send(&vec![0; REQUEST_BYTES_MAX + 1], &[]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::E2BIG));
        drop(near);
        assert!(matches!(far.receive().unwrap(), Received::End));
    }

    #[test]
    fn a_full_socket_says_so() {
        let (near, _far) = MessageSocket::pair().unwrap();
        let error = loop {
            if let Err(error) = near.send(&[0; 1000], &[]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
