//! Conversations at the control socket, with a made-up supervisor behind it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use dispatcher_core::JobId;
use serde_json::{Value, json};

use super::*;
use crate::metrics::Metrics;
use crate::store::{MemoryStore, StoreThread};
use crate::supervisor::desk::{Ask, Inbox, Look, PoolLook, Shutdown, WorkerLook, desk};

/// A service whose supervisor is made up: it answers looks and resets, and ends when told to.
struct MadeUp {
    folder: tempfile::TempDir,
    hatch: Arc<Hatch>,
    threads: Vec<JoinHandle<()>>,
    supervisor: Option<JoinHandle<Vec<Shutdown>>>,
    board: Arc<Board>,
}

impl MadeUp {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (desk, inbox) = desk().unwrap();
        let board = Arc::new(Board {
            program: "app".to_owned(),
            build: "1-2".to_owned(),
            queues: vec!["mail".to_owned()],
            drain: Duration::from_secs(7),
            desk,
            store: StoreThread::spawn(Box::new(MemoryStore::default())).unwrap(),
            metrics: Arc::new(Metrics::new()),
            sources: Box::new(Vec::new),
            reset_sources: Box::new(|| None),
        });
        let hatch = Arc::new(Hatch::new().unwrap());
        let listener = bind(folder.path()).unwrap();
        let (its_board, its_hatch) = (Arc::clone(&board), Arc::clone(&hatch));
        let server = std::thread::spawn(move || serve(&listener, &its_board, &its_hatch));
        Self {
            folder,
            hatch,
            threads: vec![server],
            supervisor: Some(std::thread::spawn(move || supervise(&inbox))),
            board,
        }
    }

    fn ask(&self, request: Request) -> Result<Answer, ControlError> {
        ask(self.folder.path(), request)
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join(NAME)).unwrap()
    }

    /// Stops the supervisor; what it was told.
    fn stop(&mut self) -> Vec<Shutdown> {
        self.board.desk.ask(Ask::Stop(Shutdown::Now));
        self.supervisor.take().unwrap().join().unwrap()
    }
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.hatch.close();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        if self.supervisor.is_some() {
            self.stop();
        }
    }
}

fn job() -> JobId {
    JobId::from_bytes([7; 10])
}

fn supervise(inbox: &Inbox) -> Vec<Shutdown> {
    let mut told = Vec::new();
    loop {
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(
            inbox.bell(),
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        for ask in inbox.take() {
            match ask {
                Ask::Look(answer) => answer(look()),
                Ask::Reset { pool, answer } => answer(match pool.as_deref() {
                    Some("php") | None => Ok(()),
                    Some(name) => Err(format!("there is no pool `{name}`")),
                }),
                Ask::Exec(_) => panic!("nobody asks that here"),
                Ask::Stop(shutdown) => {
                    told.push(shutdown);
                    if shutdown == Shutdown::Now {
                        return told;
                    }
                }
            }
        }
    }
}

fn look() -> Look {
    Look {
        serving: true,
        slots: 4,
        pools: vec![PoolLook {
            name: "php".to_owned(),
            waiting: 3,
            running: 1,
            degraded: Some("it ends at once".to_owned()),
            restarts: [("crash", 5)].into(),
        }],
        workers: vec![WorkerLook {
            id: 3,
            pool: Some("php".to_owned()),
            pid: Some(77),
            state: "working",
            job: Some((job(), "Mail".to_owned())),
            served: 12,
            age: Duration::from_millis(1_500),
            idle: None,
            rss_bytes: Some(4096),
            cpu: Some(Duration::from_millis(20)),
        }],
    }
}

#[test]
fn everything_that_is_asked_is_answered() {
    let mut service = MadeUp::start();
    let Ok(Answer::Seen(seen)) = service.ask(Request::Look) else {
        panic!("nothing was seen");
    };
    assert_eq!(seen.pid, std::process::id());
    assert_eq!((seen.serving, seen.slots), (true, 4));
    assert_eq!(seen.pools[0].restarts, [("crash".to_owned(), 5)].into());
    let worker = &seen.workers[0];
    assert_eq!((worker.age_ms, worker.cpu_ms), (1_500, Some(20)));
    assert_eq!(worker.job.as_ref().map(|it| it.id), Some(job()));
    let php = Some("php".to_owned());
    assert_eq!(
        service.ask(Request::Reset { pool: php }).unwrap(),
        Answer::Done
    );
    let other = Some("other".to_owned());
    match service.ask(Request::Reset { pool: other }) {
        Err(ControlError::Refused(why)) => assert_eq!(why, "there is no pool `other`"),
        other => panic!("{other:?}"),
    }
    let Ok(Answer::Metrics { text }) = service.ask(Request::Metrics) else {
        panic!("nothing is counted");
    };
    assert!(
        text.contains("\ndispatcher_pool_degraded{pool=\"php\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("\ndispatcher_workers{pool=\"php\",state=\"working\"} 1\n"));
    assert_eq!(
        service.ask(Request::Stop { now: false }).unwrap(),
        Answer::Done
    );
    let told = service.stop();
    let drain = Shutdown::Drain(Duration::from_secs(7));
    assert_eq!(told, [drain, Shutdown::Now]);
    // The socket is there, and nobody behind it.
    for request in [
        Request::Look,
        Request::Metrics,
        Request::Reset { pool: None },
    ] {
        match service.ask(request) {
            Err(ControlError::Refused(why)) => assert!(
                ["the service has ended", "the service is stopping"].contains(&&*why),
                "{why}"
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_socket_is_for_its_user_alone() {
    let service = MadeUp::start();
    let socket = service.folder.path().join(NAME).metadata().unwrap();
    assert_eq!(socket.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_long_path_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(150));
    std::fs::create_dir(&long).unwrap();
    let _listener = bind(&long).unwrap();
    assert!(has_socket(&long));
}

/// What is answered to a line.
fn answered(service: &MadeUp, line: &str) -> Value {
    let mut stream = service.connect();
    stream.write_all(line.as_bytes()).unwrap();
    stream.write_all(b"\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let service = MadeUp::start();
    for (line, why) in [
        ("", "this is no request"),
        ("hello", "this is no request"),
        ("[1]", "this is no request"),
        (r#"{"ask":"look"}"#, "missing field `version`"),
        (
            r#"{"version":2,"ask":"look"}"#,
            "speaks version 1 of its control socket, not 2",
        ),
        (r#"{"version":1,"ask":"dance"}"#, "unknown variant `dance`"),
        (r#"{"version":1,"ask":"stop"}"#, "missing field `now`"),
    ] {
        let answer = answered(&service, line);
        assert_eq!(answer["answer"], "refused", "{line}");
        let said = answer["why"].as_str().unwrap();
        assert!(said.contains(why), "{line}: {said}");
    }
    let seen = answered(&service, &json!({"version": 1, "ask": "look"}).to_string());
    assert_eq!(
        (&seen["version"], &seen["answer"]),
        (&json!(1), &json!("seen"))
    );
}

#[test]
fn a_connection_may_ask_again_and_in_pieces() {
    let service = MadeUp::start();
    let mut stream = service.connect();
    let two = "{\"version\":1,\"ask\":\"look\"}\n{\"version\":1,\"ask\":\"metrics\"}\n";
    for piece in two.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let answers: Vec<_> = text.lines().collect();
    assert_eq!(answers.len(), 2, "{text}");
    assert!(answers[0].contains("\"answer\":\"seen\""));
    assert!(answers[1].contains("\"answer\":\"metrics\""));
}

#[test]
fn endless_and_silent_callers_are_hung_up_on_and_hold_up_nobody() {
    let service = MadeUp::start();
    let silent: Vec<_> = (0..8).map(|_| service.connect()).collect();
    let mut endless = service.connect();
    let piece = [b'x'; 4096];
    let mut sent = 0;
    while endless.write_all(&piece).is_ok() {
        sent += piece.len();
        // What was sent and not read stays in the socket's buffer.
        assert!(sent < 16 * 1024 * 1024, "it reads without end");
    }
    assert!(matches!(service.ask(Request::Look), Ok(Answer::Seen(_))));
    drop(silent);
}

#[test]
fn where_nobody_listens_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |path: &std::path::Path| ask(path, Request::Look);
    assert!(matches!(asked(folder.path()), Err(ControlError::Nobody)));
    assert!(matches!(
        asked(&folder.path().join("gone")),
        Err(ControlError::Nobody)
    ));
    // A socket whose owner was killed.
    drop(bind(folder.path()).unwrap());
    assert!(has_socket(folder.path()));
    assert!(matches!(asked(folder.path()), Err(ControlError::Nobody)));
}
