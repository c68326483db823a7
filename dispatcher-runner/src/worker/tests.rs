//! The worker over streams in memory, and the kernel's choice.

use std::collections::VecDeque;
use std::io::{self, Cursor};
use std::sync::{Arc, Mutex};

use dispatcher_core::frame::Decoder;

use super::*;

/// Keeps what was written where the test finds it.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A pipe takes what it has room for.
        let some = &bytes[..bytes.len().min(7)];
        self.0.lock().unwrap().extend_from_slice(some);
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn frames(&self) -> Vec<Frame> {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(&self.0.lock().unwrap());
        std::iter::from_fn(|| decoder.next().unwrap()).collect()
    }
}

/// Gives one frame at each read, as a host that waits would.
struct Input(VecDeque<Frame>);

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        if let Some(frame) = self.0.pop_front() {
            frame.encode(&mut bytes);
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

fn hosted(frames: &[Frame]) -> (Worker, Output) {
    let input = Input(frames.iter().cloned().collect());
    let output = Output::default();
    let environment = Environment::from([("RR_MODE", "test"), ("RR_RELAY", "memory")]);
    let worker = Worker::new(environment, input, output.clone());
    (worker, output)
}

#[test]
fn a_worker_speaks_over_any_streams() {
    let (mut worker, output) = hosted(&[
        Frame::pid_request(1),
        Frame::task(b"c", b"one"),
        Frame::task(b"", b"two"),
        Frame::stop(),
        Frame::task(b"", b"never"),
    ]);
    let first = worker.wait_payload().unwrap().unwrap();
    assert_eq!(
        (&first.context[..], &first.body[..]),
        (&b"c"[..], &b"one"[..])
    );
    worker.respond_with("d", "1").unwrap();
    assert_eq!(worker.wait_payload().unwrap().unwrap().body, b"two");
    worker.error("no").unwrap();
    assert_eq!(worker.wait_payload().unwrap(), None);
    assert_eq!(worker.wait_payload().unwrap(), None);
    let pid = Frame::pid_reply(std::process::id());
    let expected = [pid, Frame::task(b"d", b"1"), Frame::error("no")];
    assert_eq!(output.frames(), expected);
}

#[test]
fn a_ping_waits_for_what_the_host_says() {
    let (mut worker, output) = hosted(&[
        Frame::task(b"", b"count"),
        Frame::pong(),
        Frame::stream_cancel(),
        Frame::task(b"", b"next"),
    ]);
    worker.wait_payload().unwrap();
    let mut stream = worker.stream().unwrap();
    assert_eq!(stream.send("a").unwrap(), Wanted::More);
    assert_eq!(stream.ping("b").unwrap(), Wanted::More);
    assert_eq!(stream.ping("c").unwrap(), Wanted::Enough);
    assert_eq!(stream.send("dropped").unwrap(), Wanted::Enough);
    assert_eq!(stream.ping("dropped").unwrap(), Wanted::Enough);
    stream.finish("").unwrap();
    assert_eq!(worker.wait_payload().unwrap().unwrap().body, b"next");
    let bodies: Vec<_> = output.frames().into_iter().map(|it| it.payload).collect();
    assert_eq!(bodies, [&b"a"[..], b"b", b"c", b""]);
}

#[test]
fn a_stream_that_meets_a_task_or_the_end_is_over() {
    let tasks = [Frame::task(b"", b"1"), Frame::task(b"", b"2")];
    let (mut worker, _) = hosted(&tasks);
    worker.wait_payload().unwrap();
    let refused = worker.stream().unwrap().ping("a").unwrap_err();
    assert!(
        matches!(refused, WorkerError::Unexpected { .. }),
        "{refused}"
    );

    let (mut worker, _) = hosted(&tasks[..1]);
    worker.wait_payload().unwrap();
    assert_eq!(worker.stream().unwrap().ping("a").unwrap(), Wanted::Enough);
    let unanswered = worker.wait_payload().unwrap_err();
    assert!(
        matches!(unanswered, WorkerError::Unanswered),
        "{unanswered}"
    );
    worker.error("cut short").unwrap();
    assert_eq!(worker.wait_payload().unwrap(), None);
}

#[test]
fn a_payload_above_the_limit_is_refused_by_its_header() {
    let mut bytes = Vec::new();
    Frame::task(b"", &[0; 100]).encode(&mut bytes);
    let relay = Streams::new(Cursor::new(bytes), io::sink(), 99);
    let mut worker = Worker::over(Environment::default(), Box::new(relay));
    let refused = worker.wait_payload().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a frame of 100 bytes, where at most 99 are accepted"
    );
}

#[test]
fn finalizers_are_told_of_the_last_time() {
    let (mut worker, output) = hosted(&[Frame::task(b"", b"1"), Frame::task(b"", b"2")]);
    let ran = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&ran);
    let answers = output.clone();
    worker.finalizer(move |last| {
        noted.lock().unwrap().push((last, answers.frames().len()));
        Ok::<(), io::Error>(())
    });
    while worker.wait_payload().unwrap().is_some() {
        worker.respond("OK").unwrap();
    }
    worker.end().unwrap();
    // Each after its answer.
    assert_eq!(*ran.lock().unwrap(), [(false, 1), (false, 2), (true, 2)]);
}

struct Offer {
    name: &'static str,
    weight: i32,
    willing: bool,
}

impl Serve for Offer {
    fn can_serve(&self, environment: &Environment) -> bool {
        self.willing && environment.mode == "test"
    }

    fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
        while worker.wait_payload()?.is_some() {
            worker.respond(self.name)?;
        }
        Ok(())
    }

    fn name(&self) -> &str {
        self.name
    }

    fn weight(&self) -> i32 {
        self.weight
    }
}

fn offer(name: &'static str, weight: i32, willing: bool) -> Offer {
    Offer {
        name,
        weight,
        willing,
    }
}

macro_rules! registered {
    ($($kind:ident: $name:literal $weight:literal;)*) => {$(
        struct $kind(Offer);

        impl Default for $kind {
            fn default() -> Self {
                Self(offer($name, $weight, true))
            }
        }

        impl Serve for $kind {
            fn can_serve(&self, environment: &Environment) -> bool {
                self.0.can_serve(environment)
            }

            fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
                self.0.serve(worker)
            }

            fn name(&self) -> &str {
                self.0.name()
            }

            fn weight(&self) -> i32 {
                self.0.weight()
            }
        }

        crate::register_serve!($kind);
    )*};
}

registered! {
    Second: "a second" 10;
    First: "the first" 11;
    Third: "b third" 10;
}

fn answer_of(mut kernel: Kernel) -> Result<Vec<u8>, KernelError> {
    let (mut worker, output) = hosted(&[Frame::task(b"", b"who?")]);
    kernel.serve(&mut worker)?;
    Ok(output.frames().remove(0).payload)
}

#[test]
fn what_is_linked_is_asked_by_weight_then_by_name() {
    let kernel = Kernel::linked();
    assert_eq!(kernel.names(), ["the first", "a second", "b third"]);
    assert_eq!(answer_of(kernel).unwrap(), b"the first");
}

#[test]
fn what_is_added_is_asked_in_its_order() {
    let kernel = Kernel::new().add(offer("no", 100, false));
    let kernel = kernel
        .add(offer("yes", 1, true))
        .add(offer("too late", 2, true));
    assert_eq!(answer_of(kernel).unwrap(), b"yes");
    let refused = answer_of(Kernel::new().add(offer("no", 1, false))).unwrap_err();
    let text = "nothing in this program serves RR_MODE `test`; it has no";
    assert_eq!(refused.to_string(), text);
    let refused = answer_of(Kernel::new()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("it has nothing to serve with")
    );
}

#[test]
fn the_name_is_that_of_the_type() {
    struct Plain;
    impl Serve for Plain {
        fn can_serve(&self, _: &Environment) -> bool {
            false
        }

        fn serve(&mut self, _: &mut Worker) -> Result<(), ServeError> {
            Ok(())
        }
    }
    assert_eq!((Plain.name(), Plain.weight()), ("Plain", 10));
}

#[test]
fn the_environment_is_a_plain_value() {
    let environment = Environment::from([("RR_VERSION", "2024.1"), ("A", "b")]);
    assert_eq!(
        (&environment.version[..], &environment.mode[..]),
        ("2024.1", "")
    );
    assert_eq!(environment.variable("A"), Some("b"));
    assert_eq!(environment.variable("B"), None);
    assert!(!environment.has_host());
    let own = Environment::of_process();
    assert_eq!(own.variable("PATH"), std::env::var("PATH").ok().as_deref());
}
