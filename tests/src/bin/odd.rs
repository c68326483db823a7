//! A program with the command line as its `main`, for what happens seldom.
//!
//! `DISPATCHER_TEST_WITHOUT=Legacy` makes it the later version of itself that has dropped one.

use std::cell::RefCell;
use std::future::pending;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dispatcher_core::{
    AsyncProcess, Context, Dispatcher, Failure, Isolation, Options, Process, Registry,
};
use dispatcher_runner::{Dispatch as _, SpawnError};
use dispatcher_tests::{PATIENCE, eventually};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Waits where it is sent; one of it is enough.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, delay = "1h", on_duplicate = "discard")]
struct Only;

impl Process for Only {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Says that it began, and waits for a file.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0)]
struct Gate {
    gate: Option<String>,
}

impl Process for Gate {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        pass_gate(self.gate.as_deref(), cx)
    }
}

/// [`Gate`], one at a time, and only in the old version of the program.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 1)]
struct Legacy {
    gate: Option<String>,
}

impl Process for Legacy {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        pass_gate(self.gate.as_deref(), cx)
    }
}

/// [`Gate`] that takes no notice of TERM.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, grace = "2m")]
struct Stubborn {
    gate: Option<String>,
}

impl Process for Stubborn {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.cancelled();
        pass_gate(self.gate.as_deref(), cx)
    }
}

/// Leaves its process group to others, and hangs.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, timeout = "1s", grace = "100ms")]
struct Runaway;

impl Process for Runaway {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        let mut mate = Command::new("sleep");
        mate.arg("1000");
        mate.spawn()?;
        let other = mate.process_group(0).spawn()?;
        let group = Pid::from_raw(other.id().cast_signed());
        rustix::process::setpgid(None, group)?;
        dispatcher_tests::pass(5 * PATIENCE);
        Ok(())
    }
}

/// Holds some memory, and starts one small program after the other.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, memory_limit = "96MiB")]
struct Spawner;

impl Process for Spawner {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        let held = vec![1_u8; 64 << 20];
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            Command::new("true").status()?;
        }
        std::hint::black_box(&held);
        Ok(())
    }
}

/// Says how far it is without a pause, until a file is there.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0)]
struct Chatter {
    gate: String,
}

impl Process for Chatter {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        std::fs::write(home().join(format!("began-{}", cx.job())), b"")?;
        let gate = home().join(&self.gate);
        for round in 0_u32.. {
            cx.progress(0.5, "on and on")?;
            if round.is_multiple_of(1_000) && gate.exists() {
                break;
            }
        }
        Ok(())
    }
}

/// A job that is a future, with everything that tokio gives to one thread.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0, timeout = "1m", grace = "40s")]
struct Eventual {
    isolation: Isolation,
    deed: Deed,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// Talks to itself over a socket, in tasks that are not `Send`.
    Talk,
    Hang,
    /// Hangs until it is told to stop.
    AskToHang,
    /// Leaves something behind that blocks.
    LeaveBlocked,
    Panic,
}

impl AsyncProcess for Eventual {
    async fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        std::fs::write(home().join(format!("began-{}", cx.job())), b"")?;
        match self.deed {
            Deed::Talk => {
                let said = talk().await?;
                let late = timeout(Duration::from_millis(20), pending::<()>()).await;
                assert!(late.is_err(), "nothing comes");
                cx.progress(0.5, "has talked")?;
                cx.output(&said)?;
            }
            Deed::Hang => pending::<()>().await,
            Deed::AskToHang => {
                while !cx.cancelled() {
                    let _ = timeout(Duration::from_millis(5), pending::<()>()).await;
                }
            }
            Deed::LeaveBlocked => {
                tokio::task::spawn_blocking(|| dispatcher_tests::pass(PATIENCE));
            }
            Deed::Panic => {
                tokio::task::yield_now().await;
                panic!("in a future");
            }
        }
        Ok(())
    }

    fn options(&self, options: &mut Options) {
        options.isolation = self.isolation;
    }
}

async fn talk() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shared = Rc::new(RefCell::new(String::new()));
    let heard = Rc::clone(&shared);
    let server = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        heard.borrow_mut().push_str(&text);
        std::io::Result::Ok(())
    });
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello").await?;
    drop(stream);
    server.await??;
    Ok(shared.take())
}

fn main() -> ExitCode {
    dispatcher_runner::init_with(dispatchers());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let sent = match words[..] {
        ["only-by-value"] => only_by_value(),
        ["twice", file] => twice(file),
        ["leak", file] => leak(file),
        _ => return dispatcher_runner::main(),
    };
    match sent {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn only_by_value() -> Result<(), SpawnError> {
    let job = Only.dispatch().delay(Duration::from_secs(3600)).spawn()?;
    eprintln!("{} {}", job.id(), job.is_duplicate());
    Ok(())
}

/// Sends a job with a descriptor open that every program that it starts inherits.
fn leak(file: &str) -> Result<(), SpawnError> {
    let file = std::fs::File::create(home().join(file)).expect("the directory can be written");
    fcntl_setfd(&file, FdFlags::empty()).expect("it is open");
    let gate = Some("gate".to_owned());
    eprintln!("{}", Gate { gate }.spawn_process()?.id());
    Ok(())
}

/// Sends a job, waits for a file, and sends another one.
fn twice(file: &str) -> Result<(), SpawnError> {
    let send = || Gate { gate: None }.spawn_process();
    eprintln!("{}", send()?.id());
    let file = home().join(file);
    eventually("the test goes on", 5 * PATIENCE, || file.exists());
    let ended = send()?.wait().map_err(SpawnError::Store)?;
    eprintln!("{} {}", ended.id, ended.state);
    Ok(())
}

fn dispatchers() -> dispatcher_core::RegistryBuilder {
    let without = std::env::var("DISPATCHER_TEST_WITHOUT").unwrap_or_default();
    let all = [
        Only::definition(),
        Gate::definition(),
        Legacy::definition(),
        Stubborn::definition(),
        Eventual::definition(),
        Runaway::definition(),
        Chatter::definition(),
        Spawner::definition(),
    ];
    let kept = all.into_iter().filter(|one| one.name != without);
    kept.fold(Registry::builder(), |builder, one| builder.with(one))
}

fn pass_gate(gate: Option<&str>, cx: &Context) -> Result<(), Failure> {
    let Some(gate) = gate else { return Ok(()) };
    std::fs::write(home().join(format!("began-{}", cx.job())), b"")?;
    let gate = home().join(Path::new(gate));
    eventually("the test opens the gate", 5 * PATIENCE, || gate.exists());
    Ok(())
}

/// The directory of the test that this process belongs to.
fn home() -> PathBuf {
    let home = std::env::var_os("DISPATCHER_TEST_HOME");
    home.expect("the test names its directory").into()
}
