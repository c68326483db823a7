//! Metrics and health asked over a real connection, with a made-up supervisor.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::metrics::Metrics;
use crate::store::{MemoryStore, StoreThread};
use crate::supervisor::desk::{Ask, Inbox, Look, Shutdown, desk};

struct MadeUp {
    address: SocketAddr,
    closer: Option<Closer>,
    server: Option<JoinHandle<io::Result<()>>>,
    board: Arc<Board>,
    supervisor: Option<JoinHandle<()>>,
    serving: Arc<AtomicBool>,
}

impl MadeUp {
    fn start() -> Self {
        let (desk, inbox) = desk().unwrap();
        let board = Arc::new(Board {
            program: "app".to_owned(),
            build: "1-2".to_owned(),
            queues: Vec::new(),
            drain: Duration::ZERO,
            desk,
            store: StoreThread::spawn(Box::new(MemoryStore::default())).unwrap(),
            metrics: Arc::new(Metrics::new()),
            sources: Box::new(Vec::new),
            reset_sources: Box::new(|| None),
        });
        let (admin, closer) = Admin::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = admin.address().unwrap();
        let its_board = Arc::clone(&board);
        let serving = Arc::new(AtomicBool::new(true));
        let looked = Arc::clone(&serving);
        Self {
            address,
            closer: Some(closer),
            server: Some(std::thread::spawn(move || admin.serve(its_board))),
            board,
            supervisor: Some(std::thread::spawn(move || supervise(&inbox, &looked))),
            serving,
        }
    }

    fn stop_supervisor(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            self.board.desk.ask(Ask::Stop(Shutdown::Now));
            supervisor.join().unwrap();
        }
    }

    /// Head and body of the answer.
    fn ask(&self, head: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        write!(stream, "{head}\r\nHost: a\r\n\r\n").unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    fn status(&self, path: &str) -> u16 {
        let (head, _) = self.ask(&format!("GET {path} HTTP/1.1"));
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.stop_supervisor();
        drop(self.closer.take());
        if let Some(server) = self.server.take() {
            server.join().unwrap().unwrap();
        }
    }
}

fn supervise(inbox: &Inbox, serving: &AtomicBool) {
    loop {
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(
            inbox.bell(),
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        for ask in inbox.take() {
            match ask {
                Ask::Look(answer) => answer(Look {
                    serving: serving.load(Ordering::Relaxed),
                    slots: 1,
                    pools: Vec::new(),
                    workers: Vec::new(),
                }),
                Ask::Stop(_) => return,
                Ask::Exec(_) | Ask::Reset { .. } => panic!("nobody asks that here"),
            }
        }
    }
}

#[test]
fn health_and_readiness_are_two_things() {
    let mut service = MadeUp::start();
    assert_eq!(
        (service.status("/healthz"), service.status("/readyz")),
        (200, 200)
    );
    service.serving.store(false, Ordering::Relaxed);
    assert_eq!(
        (service.status("/healthz"), service.status("/readyz")),
        (200, 503)
    );
    service.stop_supervisor();
    assert_eq!(
        (service.status("/healthz"), service.status("/readyz")),
        (503, 503)
    );
    assert_eq!(service.status("/metrics"), 503);
}

#[test]
fn metrics_are_an_exposition() {
    let service = MadeUp::start();
    let (head, body) = service.ask("GET /metrics HTTP/1.1");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(body.contains("\ndispatcher_serving 1\n"), "{body}");
    let (head, body) = service.ask("HEAD /metrics HTTP/1.1");
    assert!(
        head.starts_with("http/1.1 200 ") && body.is_empty(),
        "{head}"
    );
}

#[test]
fn anything_else_is_refused() {
    let service = MadeUp::start();
    assert_eq!(service.status("/"), 404);
    assert_eq!(service.status("/metrics/x"), 404);
    let (head, _) = service.ask("POST /metrics HTTP/1.1");
    assert!(
        head.starts_with("http/1.1 405 ") && head.contains("allow: get, head"),
        "{head}"
    );
    let (head, _) = service.ask("nonsense");
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    let long = "x".repeat(100_000);
    let mut stream = TcpStream::connect(service.address).unwrap();
    // It may hang up before all is sent.
    let _ = write!(stream, "GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn silent_callers_hold_up_nobody_and_not_the_end() {
    let service = MadeUp::start();
    let silent: Vec<_> = (0..CALLERS)
        .map(|_| TcpStream::connect(service.address).unwrap())
        .collect();
    assert_eq!(service.status("/readyz"), 200);
    drop(service);
    drop(silent);
}

/// Fewer than are let in at once.
const CALLERS: usize = 8;

#[test]
fn only_the_loopback_is_listened_on() {
    let address: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = Admin::bind(address).err().map(|error| error.kind());
    assert_eq!(refused, Some(io::ErrorKind::InvalidInput));
    let (taken, _closer) = Admin::bind("[::1]:0".parse().unwrap())
        .or_else(|_| Admin::bind("127.0.0.1:0".parse().unwrap()))
        .unwrap();
    let refused = Admin::bind(taken.address().unwrap()).err();
    assert_eq!(refused.map(|it| it.kind()), Some(io::ErrorKind::AddrInUse));
}
