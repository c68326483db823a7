//! The command line run inside this process, against a store in memory and a scripted supervisor.

mod commands;
mod fuzz;
mod notify;
mod schedules;
mod services;
mod surroundings;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use dispatcher_core::{
    Cause, Context, Dispatcher, ExitStatus, Failure, JobId, Options, Outcome, Process, Registry,
    Usage, identity,
};
use serde::{Deserialize, Serialize};

use super::*;
use crate::about::About;
use crate::config::Origin;
use crate::control::{Answer, ControlError, Request, Seen};
use crate::process::KillingUnit;
use crate::store::{
    Build, Capture, ClaimRequest, Claimed, DispatcherRow, MemoryStore, NewJob, NewSupervisor, Next,
    Record, Serves, Stream, Submission, SubmitError, SupervisorId,
};

/// Logs in somewhere.
///
/// The token is never shown.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(name = "CliLogin", timeout = 60, max_queue = 3, alias = "cli.login")]
struct Login {
    /// Who.
    #[serde(default)]
    user: String,
    #[dispatcher(secret)]
    #[serde(default)]
    token: String,
}

impl Process for Login {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Does nothing.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(name = "CliIdle")]
struct Idle;

impl Process for Idle {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Bytes that a terminal wrote.
#[derive(Clone, Default)]
pub(super) struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Buffer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that went away.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that is none, and what it wrote.
pub(super) fn buffers() -> (Terminal, Buffer, Buffer) {
    let (out, err) = (Buffer::default(), Buffer::default());
    let terminal = Terminal::piped(Box::new(out.clone()), Box::new(err.clone()));
    (terminal, out, err)
}

/// A program with a store in memory. What a supervisor would do happens while a command waits.
struct Program {
    folder: tempfile::TempDir,
    host: TestHost,
    registry: Registry,
    bench: Option<Bench>,
    variables: Vec<(String, String)>,
    interrupts: VecDeque<u32>,
    reader: Reader,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Gone,
}

type Step = Box<dyn FnMut(&mut MemoryStore)>;

struct TestHost {
    store: MemoryStore,
    steps: VecDeque<Step>,
    woken: Vec<SupervisorId>,
    woken_all: u32,
    served: Vec<Config>,
    waits: u32,
    broken: bool,
    lost: bool,
    fresh: bool,
    services: Vec<Seen>,
    asked: Vec<(u32, Request)>,
    /// Looks after which a service that was told to end is gone.
    ends_after: u32,
    ticked: TickReport,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: u8,
    out: String,
    err: String,
}

const NOW: UnixMs = 1_790_000_000_000;
/// A command that waits longer than this in a test hangs.
const WAITS_MAX: u32 = 10_000;

fn program() -> Program {
    let registry = Registry::builder()
        .with(Login::definition())
        .with(Idle::definition())
        .build()
        .unwrap();
    Program {
        folder: tempfile::tempdir().unwrap(),
        host: TestHost {
            store: MemoryStore::default(),
            steps: VecDeque::new(),
            woken: Vec::new(),
            woken_all: 0,
            served: Vec::new(),
            waits: 0,
            broken: false,
            lost: false,
            fresh: false,
            services: Vec::new(),
            asked: Vec::new(),
            ends_after: u32::MAX,
            ticked: TickReport::default(),
        },
        registry,
        bench: None,
        variables: Vec::new(),
        interrupts: VecDeque::new(),
        reader: Reader::Reads,
    }
}

impl Program {
    /// Runs a command line whose words are separated by spaces.
    fn run(&mut self, line: &str) -> Ran {
        let words: Vec<_> = line.split_whitespace().collect();
        self.run_words(&words)
    }

    fn run_words(&mut self, words: &[&str]) -> Ran {
        let (mut terminal, out, err) = buffers();
        if self.reader == Reader::Gone {
            terminal = Terminal::piped(Box::new(Closed), Box::new(err.clone()));
        }
        let surroundings = Surroundings {
            variables: self
                .variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .chain([("XDG_STATE_HOME".into(), self.folder.path().into())])
                .collect(),
            uid: 1000,
            passwd: String::new(),
            directory: self.folder.path().to_owned(),
            system_config: PathBuf::from("/nowhere"),
            system_state: PathBuf::from("/nowhere"),
        };
        let environment = Environment {
            program: "app".to_owned(),
            registry: self.registry.clone(),
            bench: self.bench,
            sources: vec![("heavy", 20), ("ticker", 10)],
            config: None,
            surroundings,
            terminal,
            interrupts: Interrupts::Scripted(std::mem::take(&mut self.interrupts)),
            image: self.folder.path().join("bin/app"),
            build: Some(build()),
            now: || NOW,
            host: &mut self.host,
        };
        let code = run_to_code(words.iter().map(OsString::from).collect(), environment);
        Ran {
            code,
            out: out.text(),
            err: err.text(),
        }
    }

    fn state_folder(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn then(&mut self, step: impl FnMut(&mut MemoryStore) + 'static) -> &mut Self {
        self.host.steps.push_back(Box::new(step));
        self
    }

    /// Gives it a configuration file.
    fn configure(&mut self, text: &str) {
        let file = self.folder.path().join("dispatcher.toml");
        std::fs::write(&file, format!("version = 1\n{text}\n")).unwrap();
        let file = file.display().to_string();
        self.variables.push(("DISPATCHER_CONFIG".to_owned(), file));
    }

    /// Submits a job and returns its id.
    fn submit(&mut self, line: &str) -> JobId {
        let ran = self.run(&format!("notifydispatcher --detach {line}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().parse().unwrap()
    }
}

impl Host for TestHost {
    fn open_store(&mut self, location: &StoreLocation) -> Result<Box<dyn Store>, StoreError> {
        if self.broken {
            return Err(StoreError::Full {
                path: location.file().to_owned(),
            });
        }
        Ok(Box::new(self.store.clone()))
    }

    fn has_state(&self, _: &StoreLocation) -> bool {
        !self.fresh
    }

    fn submit(
        &mut self,
        state: &State<'_>,
        request: &JobRequest,
    ) -> Result<SubmittedJob, CliError> {
        let definition = request.definition;
        let mut options = (definition.options)();
        let mut dispatcher = (definition.dispatcher_options)();
        state
            .config
            .apply(definition.name, &mut options, &mut dispatcher);
        match &request.options {
            JobOptions::Adjusted {
                overrides,
                unique_key,
            } => {
                overrides.apply(&mut options, &mut (definition.dispatcher_options)());
                options.unique_key.clone_from(unique_key);
            }
            JobOptions::Frozen(frozen) => options = (**frozen).clone(),
        }
        let job = NewJob {
            id: next_id(),
            dispatcher: definition.name.to_owned(),
            payload: request.payload.clone(),
            identity: match &options.unique_key {
                Some(key) => key.clone(),
                None => identity(&request.payload).unwrap(),
            },
            options: options.clone(),
            retry_of: request.retry_of,
            origin: "a test".to_owned(),
            build: build(),
        };
        let row = DispatcherRow {
            name: definition.name.to_owned(),
            build: build(),
            options: dispatcher,
            about: About::of(definition, options, Vec::new()).to_json(),
        };
        let group = Submission {
            jobs: vec![job],
            dispatchers: vec![row],
            ..Submission::default()
        };
        let answer = self
            .store
            .submit(&[group])
            .remove(0)
            .map_err(|error| match error {
                SubmitError::QueueFull { .. } => {
                    CliError::new(exit::QUEUE_FULL, error.to_string(), "full", "wait")
                }
                error @ (SubmitError::Receipt(_) | SubmitError::BatchExists { .. }) => {
                    panic!("{error}")
                }
                SubmitError::Store(error) => CliError::store(&error, state.location),
            })?;
        let accepted = answer.jobs[0];
        Ok(SubmittedJob {
            id: accepted.id,
            duplicate: accepted.duplicate,
        })
    }

    fn wake(&mut self, supervisor: &SupervisorRow) {
        self.woken.push(supervisor.id);
    }

    fn is_alive(&mut self, _: &SupervisorRow) -> bool {
        let told = |(_, request): &(u32, Request)| matches!(request, Request::Stop { .. });
        let ended = self.asked.iter().any(told) && self.waits >= self.ends_after;
        !self.lost && !ended
    }

    fn is_service(&mut self, supervisor: &SupervisorRow) -> bool {
        self.services.iter().any(|it| it.pid == supervisor.pid)
    }

    fn control(
        &mut self,
        supervisor: &SupervisorRow,
        request: Request,
    ) -> Result<Answer, ControlError> {
        self.asked.push((supervisor.pid, request.clone()));
        let service = self.services.iter_mut().find(|it| it.pid == supervisor.pid);
        let service = service.ok_or(ControlError::Nobody)?;
        match request {
            Request::Look => Ok(Answer::Seen(Box::new(service.clone()))),
            Request::Reset { pool } if pool.as_deref() == Some("broken") => Err(
                ControlError::Refused("the new workers end at once".to_owned()),
            ),
            Request::Reset { .. } | Request::Stop { .. } => Ok(Answer::Done),
            Request::Metrics => Ok(Answer::Metrics {
                text: "# of a service\n".to_owned(),
            }),
        }
    }

    fn killing_unit(&mut self, _: &SupervisorRow) -> Option<KillingUnit> {
        None
    }

    fn wake_all(&mut self, _: &State<'_>) {
        self.woken_all += 1;
    }

    fn keep_served(&mut self, _: &State<'_>, _: &str, _: &str) {}

    fn serve(&mut self, config: Config) -> Result<(), CliError> {
        self.served.push(config);
        Ok(())
    }

    fn tick(&mut self, _: &State<'_>, _: &Registry) -> Result<TickReport, CliError> {
        Ok(self.ticked.clone())
    }

    fn wait(&mut self, _: Duration) {
        self.waits += 1;
        assert!(self.waits < WAITS_MAX, "the command waits for ever");
        if let Some(mut step) = self.steps.pop_front() {
            step(&mut self.store);
        }
    }
}

fn build() -> Build {
    Build {
        modified_ns: 1,
        id: "1-2-3-4".to_owned(),
    }
}

fn next_id() -> JobId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // The counter's low byte first, so that prefixes differ.
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.reverse_bits().to_be_bytes());
    JobId::from_bytes(bytes)
}

/// Claims the next job of the two dispatchers.
fn claim(store: &mut MemoryStore) -> Claimed {
    let names = vec!["CliLogin".to_owned(), "CliIdle".to_owned()];
    let supervisor = store
        .open_supervisor(&NewSupervisor {
            program: "app".to_owned(),
            build: build(),
            pid: 7,
            slots: 1,
            directory: PathBuf::from("/state"),
            serves: names.clone(),
            queues: Vec::new(),
            lease: None,
        })
        .unwrap();
    let claim = store.claim(&ClaimRequest {
        supervisor,
        serves: Serves {
            dispatchers: names,
            queues: Vec::new(),
        },
        slots: vec![0],
        worker_slots: 1,
    });
    claim.unwrap().jobs.remove(0)
}

/// How an attempt ends, and what it wrote.
struct End {
    cause: Cause,
    next: Next,
    stdout: &'static str,
    stderr: &'static str,
    output: Option<&'static str>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            cause: Cause::Succeeded,
            next: Next::Succeed,
            stdout: "",
            stderr: "",
            output: None,
        }
    }
}

fn failure(message: &str) -> Cause {
    Cause::Failed {
        message: message.to_owned(),
        causes: Vec::new(),
    }
}

/// Claims the next job and ends its attempt.
fn run_next(store: &mut MemoryStore, end: &End) -> JobId {
    let claimed = claim(store);
    finish(store, &claimed, end);
    claimed.job
}

fn finish(store: &mut MemoryStore, claimed: &Claimed, end: &End) {
    let stream = |text: &str| Stream {
        head: text.into(),
        ..Stream::default()
    };
    let record = Record {
        job: claimed.job,
        token: claimed.counters.token,
        attempt: claimed.counters.attempt,
        started_at: Some(NOW - 2_000),
        ended_at: NOW,
        run_time: Duration::from_secs(2),
        pid: Some(99),
        build: build().id,
        outcome: Outcome {
            cause: end.cause.clone(),
            exit_status: Some(ExitStatus::Exited(0)),
            unclean_exit: false,
            leaked_output: false,
            left_processes: 0,
            usage: Usage::default(),
        },
        output: end.output.map(str::to_owned),
        capture: Capture {
            stdout: stream(end.stdout),
            stderr: stream(end.stderr),
        },
        next: end.next,
    };
    store.record(&[record]).unwrap();
}

#[test]
fn the_state_location_follows_the_environment() {
    let mut program = program();
    let ran = program.run("status");
    let expected = format!("{}/state.db (default)", program.state_folder().display());
    assert!(ran.out.contains(&expected), "{}", ran.out);
    program.variables = vec![("DISPATCHER_DATABASE_URL".into(), "mysql://x/y".into())];
    let ran = program.run("status");
    assert_eq!(ran.code, 78);
    assert_eq!(
        ran.err,
        "error: DISPATCHER_DATABASE_URL cannot be used: there is no store for `mysql:` URLs\n\
         because: it is set so in the environment\n\
         try: write sqlite:/path/state.db\n"
    );
    let location = StoreLocation::new("/x".into(), Origin::Default);
    assert_eq!(location.to_string(), "/x (default)");
}

#[test]
fn options_default_to_the_declared_ones() {
    assert_eq!(
        (Login::definition().options)().timeout,
        Some(Duration::from_secs(60))
    );
    assert_eq!((Idle::definition().options)(), Options::default());
}
