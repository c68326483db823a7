//! A supervisor in miniature: one keeper, one slot, and everything that its workers say.
#![expect(unsafe_code, reason = "kills and limits processes of the tests")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_core::message::{Start, SupervisorMessage, WorkResult, WorkerMessage};
use dispatcher_core::{ExitStatus, JobId, Options, Usage};

use rustix::event::{PollFd, PollFlags};

use crate::jobs::{Act, Probe};
use crate::process::{
    Carriers, Keeper, KeeperReport, KeeperRequest, KeeperSpec, Limits, Tag, count_tagged,
    job_title, kill_tagged, lock_slot,
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a worker of ours is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Fork,
    Exec,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Fork, Self::Exec];
}

pub(crate) struct Bench {
    pub(crate) keeper: Keeper,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) lock: File,
    reports: Vec<KeeperReport>,
    next: u32,
}

/// One worker and what it said so far.
pub(crate) struct Job {
    pub(crate) worker: u32,
    pub(crate) tag: Tag,
    pub(crate) control: UnixStream,
    pub(crate) messages: Arc<Mutex<Vec<WorkerMessage>>>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) usage: Usage,
    pub(crate) strays: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn collect(mut from: impl io::Read + Send + 'static) -> Self {
        let output = Self::default();
        let to = output.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                to.0.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        output
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&KeeperSpec::of_this_program())
    }

    pub(crate) fn with(spec: &KeeperSpec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_slot(dir.path(), 0).unwrap();
        Self {
            keeper: Keeper::start(spec).unwrap(),
            dir,
            lock,
            reports: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn run(&mut self, way: Way, acts: &[Act]) -> Job {
        self.run_with(way, acts, Limits::default(), Options::default())
    }

    pub(crate) fn run_with(
        &mut self,
        way: Way,
        acts: &[Act],
        limits: Limits,
        options: Options,
    ) -> Job {
        let acts = acts.to_vec();
        let payload = serde_json::to_string(&Probe { acts }).unwrap();
        let mut job = self.spawn(way, limits);
        let start = job.start("Probe", payload, options);
        job.say(&SupervisorMessage::Start(Box::new(start)));
        job
    }

    /// A worker that was not told yet what to run.
    pub(crate) fn spawn(&mut self, way: Way, limits: Limits) -> Job {
        self.next += 1;
        self.spawn_as(self.next, way, limits)
    }

    /// Another worker under the number of one that lives.
    pub(crate) fn spawn_again(&mut self, way: Way, job: &Job) -> Job {
        self.spawn_as(job.worker, way, Limits::default())
    }

    pub(crate) fn tag(&self) -> Tag {
        new_tag()
    }

    fn spawn_as(&mut self, worker: u32, way: Way, limits: Limits) -> Job {
        let tag = new_tag();
        let request = match way {
            Way::Fork => KeeperRequest::Fork {
                worker,
                tag,
                title: job_title("app", "Probe", tag.job),
                limits,
            },
            Way::Exec => KeeperRequest::Exec {
                worker,
                tag,
                dispatcher: "Probe".into(),
                limits,
            },
        };
        let (control, theirs) = UnixStream::pair().unwrap();
        let (out, err) = (io::pipe().unwrap(), io::pipe().unwrap());
        let fds = [
            theirs.as_fd(),
            out.1.as_fd(),
            err.1.as_fd(),
            self.lock.as_fd(),
        ];
        self.keeper.send(&request, &fds).unwrap();
        Job {
            worker,
            tag,
            messages: listen(control.try_clone().unwrap()),
            control,
            stdout: Output::collect(out.0),
            stderr: Output::collect(err.0),
        }
    }

    /// A command; its stdin is empty.
    pub(crate) fn command(
        &mut self,
        argv: &[&str],
        env: &[(&str, &str)],
        working_directory: Option<&str>,
    ) -> Job {
        self.next += 1;
        let (worker, tag) = (self.next, new_tag());
        let request = KeeperRequest::Command {
            worker,
            tag,
            argv: argv.iter().map(ToString::to_string).collect(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            working_directory: working_directory.map(str::to_owned),
            limits: Limits::default(),
        };
        let (control, theirs) = UnixStream::pair().unwrap();
        let (out, err) = (io::pipe().unwrap(), io::pipe().unwrap());
        let fds = [
            theirs.as_fd(),
            out.1.as_fd(),
            err.1.as_fd(),
            self.lock.as_fd(),
        ];
        self.keeper.send(&request, &fds).unwrap();
        control.shutdown(std::net::Shutdown::Write).unwrap();
        Job {
            worker,
            tag,
            messages: Arc::default(),
            control,
            stdout: Output::collect(out.0),
            stderr: Output::collect(err.0),
        }
    }

    pub(crate) fn signal(&mut self, job: &Job, signal: i32) {
        let worker = job.worker;
        self.ask(&KeeperRequest::Signal { worker, signal });
    }

    pub(crate) fn ask(&mut self, request: &KeeperRequest) {
        self.keeper.send(request, &[]).unwrap();
    }

    /// Waits for a report that fits, and takes it out of those received.
    pub(crate) fn expect<T>(&mut self, fits: impl Fn(&KeeperReport) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let found = self.reports.iter().enumerate();
            let found = found
                .filter_map(|(at, report)| Some((at, fits(report)?)))
                .next();
            if let Some((at, value)) = found {
                self.reports.remove(at);
                return value;
            }
            self.keeper.flush().unwrap();
            match self.keeper.receive().unwrap() {
                Some(report) => self.reports.push(report),
                None => {
                    let left = give_up.saturating_duration_since(Instant::now());
                    assert!(
                        !left.is_zero(),
                        "no such report; others: {:?}",
                        self.reports
                    );
                    readable(self.keeper.fd(), left);
                }
            }
        }
    }

    pub(crate) fn spawned(&mut self, job: &Job) -> u32 {
        let wanted = job.worker;
        self.expect(|report| match report {
            KeeperReport::Spawned { worker, pid } if *worker == wanted => Some(*pid),
            KeeperReport::SpawnFailed { worker, errno } if *worker == wanted => {
                panic!("spawn failed: {}", io::Error::from_raw_os_error(*errno))
            }
            _ => None,
        })
    }

    pub(crate) fn spawn_failed(&mut self, job: &Job) -> i32 {
        let wanted = job.worker;
        self.expect(|report| match report {
            KeeperReport::SpawnFailed { worker, errno } if *worker == wanted => Some(*errno),
            KeeperReport::Spawned { worker, .. } if *worker == wanted => {
                panic!("it was spawned: {report:?}")
            }
            _ => None,
        })
    }

    pub(crate) fn exited(&mut self, job: &Job) -> Exit {
        let wanted = job.worker;
        self.expect(|report| match report {
            KeeperReport::Exited {
                worker,
                status,
                usage,
                strays,
            } if *worker == wanted => Some(Exit {
                status: *status,
                usage: *usage,
                strays: *strays,
            }),
            _ => None,
        })
    }

    pub(crate) fn bury(&mut self, job: &Job, kill: bool) -> u32 {
        let wanted = job.worker;
        self.ask(&KeeperRequest::Bury {
            worker: wanted,
            kill,
        });
        self.expect(|report| match report {
            KeeperReport::Buried { worker, left } if *worker == wanted => Some(*left),
            _ => None,
        })
    }

    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.keeper.pid())
    }

    /// Waits until the keeper is gone.
    pub(crate) fn expect_end(&mut self) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.keeper.receive() {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let left = give_up.saturating_duration_since(Instant::now());
                    assert!(!left.is_zero(), "the keeper is still there");
                    readable(self.keeper.fd(), left);
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    return;
                }
            }
        }
    }
}

impl Job {
    pub(crate) fn start(&self, dispatcher: &str, payload: String, options: Options) -> Start {
        Start {
            options,
            ..start(self.tag, dispatcher, payload)
        }
    }

    pub(crate) fn say(&mut self, message: &SupervisorMessage) {
        say(&mut self.control, message);
    }

    /// The result, once it is there.
    pub(crate) fn result(&self) -> WorkResult {
        wait_for(|| {
            let messages = self.messages.lock().unwrap();
            messages.iter().find_map(|message| match message {
                WorkerMessage::Result(result) => Some(result.clone()),
                _ => None,
            })
        })
    }

    pub(crate) fn output(&self) -> String {
        let messages = self.messages.lock().unwrap();
        messages
            .iter()
            .find_map(|message| match message {
                WorkerMessage::Output { value } => Some(value.clone()),
                _ => None,
            })
            .unwrap()
    }

    /// Waits until the job has printed a text.
    pub(crate) fn printed(&self, text: &str) {
        wait_until(|| self.stdout.text().contains(text));
    }

    pub(crate) fn said_result(&self) -> bool {
        let messages = self.messages.lock().unwrap();
        messages
            .iter()
            .any(|message| matches!(message, WorkerMessage::Result(_)))
    }

    pub(crate) fn tagged(&self) -> u32 {
        count_tagged(Carriers::Of(self.tag))
    }
}

/// Leaves nothing behind, whatever a test did.
impl Drop for Job {
    fn drop(&mut self) {
        kill_tagged(Carriers::Of(self.tag));
    }
}

pub(crate) fn start(tag: Tag, dispatcher: &str, payload: String) -> Start {
    Start {
        job: tag.job,
        attempt: tag.attempt,
        dispatcher: dispatcher.to_owned(),
        payload,
        deadline: Some(SystemTime::now() + PATIENCE),
        options: Options::default(),
    }
}

pub(crate) fn say(to: &mut UnixStream, message: &SupervisorMessage) {
    let mut bytes = Vec::new();
    Frame::control(serde_json::to_vec(message).unwrap()).encode(&mut bytes);
    to.write_all(&bytes).unwrap();
}

pub(crate) fn kill(pid: u32) {
    send_signal(pid, libc::SIGKILL);
}

pub(crate) fn send_signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).unwrap();
    assert!(pid > 1);
    // SAFETY: integers only; the process is one of this test's.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Sets how many descriptors another process may have.
pub(crate) fn limit_descriptors(pid: u32, count: u64) {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: 1024,
    };
    let pid = i32::try_from(pid).unwrap();
    let none = std::ptr::null_mut();
    // SAFETY: the pointer is valid for reading.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, none) };
    assert_eq!(result, 0);
}

/// The one place where a test waits for something that nobody announces.
pub(crate) fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "it did not happen");
        thread::park_timeout(Duration::from_millis(1));
    }
}

pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    wait_for(|| holds().then_some(()));
}

pub(crate) fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn children(pid: u32) -> Vec<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

fn new_tag() -> Tag {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[4..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Tag {
        job: JobId::from_bytes(bytes),
        attempt: 1,
    }
}

fn readable(fd: BorrowedFd<'_>, timeout: Duration) {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let timeout = timeout.try_into().unwrap();
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
}

fn listen(mut control: UnixStream) -> Arc<Mutex<Vec<WorkerMessage>>> {
    let messages = Arc::<Mutex<Vec<WorkerMessage>>>::default();
    let to = Arc::clone(&messages);
    thread::spawn(move || {
        let mut decoder = Decoder::new(dispatcher_core::limits::FRAME_BYTES_MAX);
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = control.read(&mut buffer) {
            decoder.push(&buffer[..count]);
            while let Some(frame) = decoder.next().unwrap() {
                let message = serde_json::from_slice(&frame.payload).unwrap();
                to.lock().unwrap().push(message);
            }
        }
    });
    messages
}
