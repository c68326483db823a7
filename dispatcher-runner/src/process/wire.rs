//! What supervisor and keeper say to each other, as bytes.
//!
//! Encoding and decoding are pure. A decoder believes no length that the bytes do not bear out.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_core::{ExitStatus, JobId, Usage};

use super::{Identity, Limits, Tag};

/// Largest encoded request; argument lists larger than the kernel takes are refused before.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes at the start of a request that tell its kind and worker.
pub(super) const MESSAGE_HEAD_BYTES: usize = 5;

/// From the supervisor to its keeper. Descriptors travel beside it, in the order named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeeperRequest {
    /// Fork a worker. Descriptors: control, stdout, stderr, slot lock.
    Fork {
        worker: u32,
        tag: Tag,
        /// See [`job_title`](super::job_title).
        title: String,
        limits: Limits,
    },
    /// Start this program afresh as a worker. Descriptors as for `Fork`.
    Exec {
        worker: u32,
        tag: Tag,
        dispatcher: String,
        limits: Limits,
    },
    /// Start another program. Descriptors: stdin, stdout, stderr, slot lock.
    Command {
        worker: u32,
        tag: Tag,
        /// The first is looked up in the `PATH` of `env` unless it holds a slash.
        argv: Vec<String>,
        /// The whole environment; the tag is added.
        env: Vec<(String, String)>,
        /// `/` when absent.
        working_directory: Option<String>,
        limits: Limits,
    },
    /// Signal the worker's process group. An unknown worker has ended: nothing happens.
    Signal { worker: u32, signal: i32 },
    /// Kill or leave the strays of a worker that exited with some; answered by `Buried`.
    Bury { worker: u32, kill: bool },
    /// When everything dies unless this is said again, in ms of `CLOCK_BOOTTIME`.
    Deadline { boottime_ms: Option<u64> },
}

/// From a keeper to its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeeperReport {
    /// The worker runs (for `Exec` and `Command`: the new image does).
    Spawned { worker: u32, pid: u32 },
    /// There is no such worker.
    SpawnFailed { worker: u32, errno: i32 },
    /// The worker's first process ended. Without strays all is over; else `Bury` must follow.
    Exited {
        worker: u32,
        status: ExitStatus,
        usage: Usage,
        strays: u32,
    },
    /// All is over; `left` processes live on.
    Buried { worker: u32, left: u32 },
}

/// The first datagram of a keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opening {
    Ready,
    Refused { why: String },
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("garbled message between supervisor and keeper")]
pub(crate) struct WireError;

impl KeeperRequest {
    /// How many descriptors travel beside it.
    pub(super) fn descriptors(&self) -> usize {
        match self {
            Self::Fork { .. } | Self::Exec { .. } | Self::Command { .. } => 4,
            Self::Signal { .. } | Self::Bury { .. } | Self::Deadline { .. } => 0,
        }
    }

    /// The worker that an encoded request names, from its first bytes.
    pub(super) fn worker_in(bytes: &[u8]) -> Result<u32, WireError> {
        let mut from = Reader(bytes);
        from.u8()?;
        from.u32()
    }

    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Fork {
                worker,
                tag,
                title,
                limits,
            } => {
                head(to, 1, *worker);
                put_tag(to, tag);
                put_text(to, title);
                put_limits(to, limits);
            }
            Self::Exec {
                worker,
                tag,
                dispatcher,
                limits,
            } => {
                head(to, 2, *worker);
                put_tag(to, tag);
                put_text(to, dispatcher);
                put_limits(to, limits);
            }
            Self::Command {
                worker,
                tag,
                argv,
                env,
                working_directory,
                limits,
            } => {
                head(to, 3, *worker);
                put_tag(to, tag);
                put_u32(to, count(argv.len()));
                argv.iter().for_each(|argument| put_text(to, argument));
                put_u32(to, count(env.len()));
                for (name, value) in env {
                    put_text(to, name);
                    put_text(to, value);
                }
                put_option(to, working_directory.as_ref(), |to, text| {
                    put_text(to, text)
                });
                put_limits(to, limits);
            }
            Self::Signal { worker, signal } => {
                head(to, 4, *worker);
                put_i32(to, *signal);
            }
            Self::Bury { worker, kill } => {
                head(to, 5, *worker);
                to.push(u8::from(*kill));
            }
            Self::Deadline { boottime_ms } => {
                head(to, 6, 0);
                put_option(to, boottime_ms.as_ref(), |to, ms| put_u64(to, *ms));
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader(bytes);
        let (kind, worker) = (from.u8()?, from.u32()?);
        let request = match kind {
            1 => Self::Fork {
                worker,
                tag: from.tag()?,
                title: from.text()?,
                limits: from.limits()?,
            },
            2 => Self::Exec {
                worker,
                tag: from.tag()?,
                dispatcher: from.text()?,
                limits: from.limits()?,
            },
            3 => Self::Command {
                worker,
                tag: from.tag()?,
                argv: from.list(Reader::text)?,
                env: from.list(|from| Ok((from.text()?, from.text()?)))?,
                working_directory: from.option(Reader::text)?,
                limits: from.limits()?,
            },
            4 => Self::Signal {
                worker,
                signal: from.i32()?,
            },
            5 => Self::Bury {
                worker,
                kill: from.flag()?,
            },
            6 => Self::Deadline {
                boottime_ms: from.option(Reader::u64)?,
            },
            _ => return Err(WireError),
        };
        from.end()?;
        Ok(request)
    }
}

impl KeeperReport {
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Spawned { worker, pid } => {
                head(to, 1, *worker);
                put_u32(to, *pid);
            }
            Self::SpawnFailed { worker, errno } => {
                head(to, 2, *worker);
                put_i32(to, *errno);
            }
            Self::Exited {
                worker,
                status,
                usage,
                strays,
            } => {
                head(to, 3, *worker);
                match status {
                    ExitStatus::Exited(code) => {
                        to.push(0);
                        put_i32(to, *code);
                    }
                    ExitStatus::Signalled { signal, core } => {
                        to.push(1 + u8::from(*core));
                        put_i32(to, *signal);
                    }
                }
                for number in [
                    usage.user_us,
                    usage.system_us,
                    usage.max_rss_kib,
                    usage.major_faults,
                    usage.minor_faults,
                    usage.context_switches,
                    usage.blocks_read,
                    usage.blocks_written,
                ] {
                    put_u64(to, number);
                }
                put_u32(to, *strays);
            }
            Self::Buried { worker, left } => {
                head(to, 4, *worker);
                put_u32(to, *left);
            }
        }
    }

    /// Reads the reports of one datagram.
    pub(super) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, WireError> {
        let mut from = Reader(bytes);
        let mut reports = Vec::new();
        while !from.0.is_empty() {
            reports.push(Self::decode(&mut from)?);
        }
        Ok(reports)
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (kind, worker) = (from.u8()?, from.u32()?);
        Ok(match kind {
            1 => Self::Spawned {
                worker,
                pid: from.u32()?,
            },
            2 => Self::SpawnFailed {
                worker,
                errno: from.i32()?,
            },
            3 => Self::Exited {
                worker,
                status: match (from.u8()?, from.i32()?) {
                    (0, code) => ExitStatus::Exited(code),
                    (how @ 1..=2, signal) => ExitStatus::Signalled {
                        signal,
                        core: how == 2,
                    },
                    _ => return Err(WireError),
                },
                usage: Usage {
                    user_us: from.u64()?,
                    system_us: from.u64()?,
                    max_rss_kib: from.u64()?,
                    major_faults: from.u64()?,
                    minor_faults: from.u64()?,
                    context_switches: from.u64()?,
                    blocks_read: from.u64()?,
                    blocks_written: from.u64()?,
                    // The supervisor asks the control group for it.
                    tree_peak_kib: None,
                },
                strays: from.u32()?,
            },
            4 => Self::Buried {
                worker,
                left: from.u32()?,
            },
            _ => return Err(WireError),
        })
    }
}

impl Opening {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready => vec![0],
            Self::Refused { why } => [&[1], why.as_bytes()].concat(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match bytes {
            [0] => Ok(Self::Ready),
            [1, why @ ..] => Ok(Self::Refused {
                why: String::from_utf8_lossy(why).into_owned(),
            }),
            _ => Err(WireError),
        }
    }
}

fn head(to: &mut Vec<u8>, kind: u8, worker: u32) {
    to.push(kind);
    put_u32(to, worker);
}

fn put_u32(to: &mut Vec<u8>, number: u32) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put_i32(to: &mut Vec<u8>, number: i32) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put_u64(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

/// A length as it is written. One that does not fit makes a message over its limit, which is
/// refused before it is sent.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put_u32(to, count(text.len()));
    to.extend_from_slice(text.as_bytes());
}

fn put_path(to: &mut Vec<u8>, path: &Path) {
    let bytes = path.as_os_str().as_bytes();
    put_u32(to, count(bytes.len()));
    to.extend_from_slice(bytes);
}

fn put_option<T>(to: &mut Vec<u8>, value: Option<&T>, put: impl Fn(&mut Vec<u8>, &T)) {
    to.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(to, value);
    }
}

fn put_tag(to: &mut Vec<u8>, tag: &Tag) {
    to.extend_from_slice(tag.job.as_str().as_bytes());
    put_u32(to, tag.attempt);
}

fn put_limits(to: &mut Vec<u8>, limits: &Limits) {
    put_option(to, limits.cpu.as_ref(), |to, cpu| {
        put_u64(to, u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX));
    });
    put_option(to, limits.open_files.as_ref(), |to, files| {
        put_u64(to, *files)
    });
    put_option(to, limits.nice.as_ref(), |to, nice| put_i32(to, *nice));
    put_option(to, limits.core.as_ref(), |to, core| put_u64(to, *core));
    put_option(to, limits.oom_score_adj.as_ref(), |to, adj| {
        put_i32(to, *adj)
    });
    put_option(to, limits.group.as_ref(), |to, group| put_path(to, group));
    put_option(to, limits.identity.as_ref(), |to, identity| {
        put_u32(to, identity.user);
        put_u32(to, identity.group);
        put_u32(to, count(identity.groups.len()));
        identity.groups.iter().for_each(|id| put_u32(to, *id));
    });
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(WireError)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, WireError> {
        self.take().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.take().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError),
        }
    }

    fn text(&mut self) -> Result<String, WireError> {
        String::from_utf8(self.bytes()?).map_err(|_| WireError)
    }

    fn path(&mut self) -> Result<PathBuf, WireError> {
        Ok(OsString::from_vec(self.bytes()?).into())
    }

    fn bytes(&mut self) -> Result<Vec<u8>, WireError> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(WireError)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        Ok(if self.flag()? {
            Some(read(self)?)
        } else {
            None
        })
    }

    fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let length = self.u32()?;
        // Grows with what is really there; the claimed length reserves nothing.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn tag(&mut self) -> Result<Tag, WireError> {
        let job = self.take::<{ JobId::LEN }>()?;
        let job = std::str::from_utf8(&job).map_err(|_| WireError)?;
        Ok(Tag {
            job: job.parse().map_err(|_| WireError)?,
            attempt: self.u32()?,
        })
    }

    fn limits(&mut self) -> Result<Limits, WireError> {
        Ok(Limits {
            cpu: self.option(Self::u64)?.map(Duration::from_millis),
            open_files: self.option(Self::u64)?,
            nice: self.option(Self::i32)?,
            core: self.option(Self::u64)?,
            oom_score_adj: self.option(Self::i32)?,
            group: self.option(Self::path)?,
            identity: self.option(|from| {
                Ok(Identity {
                    user: from.u32()?,
                    group: from.u32()?,
                    groups: from.list(Self::u32)?,
                })
            })?,
        })
    }

    fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WireError)
        }
    }
}

#[cfg(test)]
mod tests;
