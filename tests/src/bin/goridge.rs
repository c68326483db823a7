//! A worker of any Goridge host in Rust: understands the commands of `tests/fixtures/goridge`, and
//! some that break the rules of the worker's own library.
#![expect(clippy::print_stdout, reason = "what is printed must not matter")]

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use dispatcher_runner::worker::{
    Environment, Kernel, Payload, Serve, ServeError, Stream, Wanted, Worker, WorkerError,
};
use dispatcher_tests::pass;

/// What the second of three finalizers does: 0 nothing, 1 fails, 2 panics.
static MISHAP: AtomicU8 = AtomicU8::new(0);
/// Which finalizers ran, in their order.
static RAN: Mutex<String> = Mutex::new(String::new());

fn main() -> ExitCode {
    dispatcher_runner::init();
    Kernel::new().add(Commands).add(Unwanted).run()
}

struct Commands;

impl Serve for Commands {
    fn can_serve(&self, environment: &Environment) -> bool {
        println!("asked about {:?}", environment.mode);
        matches!(environment.mode.as_str(), "" | "commands")
    }

    fn serve(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
        worker.finalizer(|last| note('a', last));
        worker.finalizer(|last| {
            note('b', last)?;
            match MISHAP.load(Ordering::Relaxed) {
                0 => Ok(()),
                1 => Err("the cache could not be emptied"),
                _ => panic!("the cache is gone"),
            }
        });
        worker.finalizer(|last| note('c', last));
        while let Some(payload) = worker.wait_payload()? {
            answer(worker, &payload)?;
        }
        Ok(())
    }
}

/// Never asked: the one before it serves, or nobody.
struct Unwanted;

impl Serve for Unwanted {
    fn can_serve(&self, environment: &Environment) -> bool {
        environment.mode == "commands"
    }

    fn serve(&mut self, _: &mut Worker) -> Result<(), ServeError> {
        Err("the order of the kernel was not kept".into())
    }
}

fn note(name: char, last: bool) -> Result<(), &'static str> {
    let mut ran = RAN.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = write!(ran, "{name}");
    if last {
        eprintln!("finalizer {name} ran for the last time");
    }
    Ok(())
}

fn answer(worker: &mut Worker, payload: &Payload) -> Result<(), ServeError> {
    let body = &payload.body[..];
    let (command, rest) = match body.iter().position(|byte| *byte == b' ') {
        Some(at) => (&body[..at], &body[at + 1..]),
        None => (body, &b""[..]),
    };
    let text = String::from_utf8_lossy(rest);
    match command {
        b"context" => worker.respond_with(&payload.context, rest)?,
        b"same" => worker.respond_payload(payload)?,
        b"error" => worker.error(text)?,
        b"exit" => std::process::exit(text.parse()?),
        b"sleep" => {
            pass(std::time::Duration::from_secs(text.parse()?));
            worker.respond("slept")?;
        }
        b"stop" => worker.ask_to_stop()?,
        b"echo" => {
            println!("{text}");
            worker.respond("printed")?;
        }
        b"stream" => stream(worker, text.parse()?, |stream, body| stream.send(body))?,
        b"ping" => stream(worker, text.parse()?, |stream, body| stream.ping(body))?,
        b"large" => worker.respond(rest.iter().rev().copied().collect::<Vec<u8>>())?,
        b"pid" => worker.respond(std::process::id().to_string())?,
        b"env" => {
            let value = worker.environment().variable(&text).unwrap_or_default();
            let value = value.to_owned();
            worker.respond(value)?;
        }
        b"panic" => panic!("{text}"),
        b"fail" => return Err(text.into()),
        b"forget" => {}
        b"leave" => return Ok(worker.wait_payload().map(drop)?),
        b"twice" => {
            worker.respond("once")?;
            eprintln!("{}", worker.respond("again").expect_err("it was answered"));
        }
        b"ran" => {
            let ran = RAN.lock().unwrap_or_else(PoisonError::into_inner).clone();
            worker.respond(ran)?;
        }
        b"mishap" => {
            MISHAP.store(text.parse()?, Ordering::Relaxed);
            worker.respond("answered")?;
        }
        b"swallow" => {
            MISHAP.store(1, Ordering::Relaxed);
            let _ = worker.respond("answered");
        }
        _ => worker.respond([b"hello ", body].concat())?,
    }
    Ok(())
}

fn stream(
    worker: &mut Worker,
    frames: u32,
    send: fn(&mut Stream<'_>, String) -> Result<Wanted, WorkerError>,
) -> Result<(), WorkerError> {
    let mut stream = worker.stream()?;
    for number in 1..frames {
        if send(&mut stream, number.to_string())? == Wanted::Enough {
            return stream.finish("");
        }
    }
    stream.finish(frames.to_string())
}
