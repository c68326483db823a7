//! A small Goridge host: starts a worker, writes bytes, reads bytes, and never waits for ever.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_tests::{PATIENCE, eventually};

/// The workers that understand the same commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rust,
    Php,
    Python,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Rust, Self::Php, Self::Python];

    fn command(self) -> Command {
        let with_script = |program: &str, script: &str| {
            let mut command = Command::new(program);
            command.arg(fixture(script));
            command
        };
        match self {
            Self::Rust => Command::new(env!("CARGO_BIN_EXE_goridge")),
            Self::Php => with_script("php", "commands.php"),
            Self::Python => with_script("python3", "commands.py"),
        }
    }
}

/// A file of `tests/fixtures/goridge`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/goridge"));
    folder.join(name)
}

/// A worker, from its host's side.
pub(crate) struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    pieces: Receiver<Vec<u8>>,
    /// What arrived and was not asked for yet.
    pending: Vec<u8>,
    /// What `/proc` calls the pipes of frames.
    pub(crate) pipes: [String; 2],
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// What it wrote and nobody had asked for.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Host {
    /// Starts a worker and says hello.
    pub(crate) fn greet(kind: Kind) -> Self {
        let mut host = Self::start(kind);
        host.send(&Frame::pid_request(1234));
        let hello = host.frame();
        assert_eq!(hello, Frame::pid_reply(host.pid()), "{kind:?}");
        host
    }

    /// Starts a worker.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// Starts a worker with variables added to its environment; an empty value removes one.
    pub(crate) fn start_with(kind: Kind, variables: &[(&str, &str)]) -> Self {
        let mut command = kind.command();
        command.env("RR_RELAY", "pipes").env("RR_VERSION", "1.0");
        for (name, value) in variables {
            match *value {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        Self::run(&mut command)
    }

    /// Starts a program.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        let pipes = [stdin.as_raw_fd(), stdout.as_raw_fd()].map(|number| {
            let link = std::fs::read_link(format!("/proc/self/fd/{number}"));
            link.expect("it is open").display().to_string()
        });
        let (to, pieces) = channel();
        spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if to.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let stderr = spawn(move || {
            let mut all = Vec::new();
            let _ = stderr.read_to_end(&mut all);
            all
        });
        Self {
            stdin: Some(stdin),
            child,
            pipes,
            pieces,
            pending: Vec::new(),
            stderr: Some(stderr),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes bytes; whether there is somebody who takes them shows elsewhere.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("the host has not hung up");
        let _ = stdin.write_all(bytes);
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&encoded(frame));
    }

    /// Sends a task without a context.
    pub(crate) fn task(&mut self, body: &str) {
        self.send(&Frame::task(b"", body.as_bytes()));
    }

    /// Sends a task; the body of its answer, which has no context.
    pub(crate) fn ask(&mut self, body: &str) -> String {
        self.task(body);
        let reply = self.frame();
        assert_eq!((reply.flags, reply.stream), (0, 0), "{reply:?}");
        let (context, body) = reply.context_and_body().expect("a reply");
        assert_eq!(context, b"");
        String::from_utf8(body.to_vec()).expect("text")
    }

    /// Exactly these bytes come next: a header as the table writes it, then a payload.
    pub(crate) fn expect(&mut self, header: &str, payload: &str) {
        let wanted = [hex(header), payload.as_bytes().to_vec()].concat();
        assert_eq!(self.take(wanted.len()), wanted, "{header} {payload:?}");
    }

    /// The next frame.
    pub(crate) fn frame(&mut self) -> Frame {
        let header = self.take(12);
        let words = usize::from(header[0] & 0x0f);
        let length = u32::from_le_bytes(header[2..6].try_into().expect("four bytes"));
        let mut decoder = Decoder::new(64 << 20);
        decoder.push(&header);
        match decoder.next() {
            Ok(Some(frame)) => return frame,
            Ok(None) => {}
            Err(error) => panic!("{error}: {}", self.last_words()),
        }
        let rest = 4 * (words - 3) + usize::try_from(length).expect("it fits");
        decoder.push(&self.take(rest));
        decoder.next().expect("a frame").expect("a whole one")
    }

    /// The first frame after whatever comes of a stream before it ends.
    pub(crate) fn end_of_stream(&mut self) -> Frame {
        let began = Instant::now();
        loop {
            let frame = self.frame();
            if frame.stream & Frame::STREAM == 0 {
                return frame;
            }
            assert!(began.elapsed() < PATIENCE, "the stream does not end");
        }
    }

    /// The next bytes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.pending.extend(piece),
                Err(error) => {
                    let said = self.last_words();
                    panic!("{error} after {:?}: {said}", self.pending);
                }
            }
        }
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }

    fn last_words(&mut self) -> String {
        let _ = self.child.kill();
        let stderr = self.stderr.take().map(|thread| thread.join());
        let text = stderr.and_then(Result::ok).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Closes the worker's standard input.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end of the worker.
    pub(crate) fn end(mut self) -> End {
        let status = eventually("the worker ends", PATIENCE, || {
            self.child.try_wait().expect("a child can be waited for")
        });
        let mut stdout = std::mem::take(&mut self.pending);
        stdout.extend(self.pieces.iter().flatten());
        End {
            code: status.code(),
            stdout,
            stderr: self.last_words(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// Bytes as the table writes them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    });
    pairs.collect()
}
