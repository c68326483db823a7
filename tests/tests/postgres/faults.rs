//! Everything that goes wrong with a server and the way to it: nothing acknowledged is lost, no job
//! runs beside itself, no runner leaves.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dispatcher_tests::{
    Home, HostService, PATIENCE, Postgres, eventually, free_port, on_host, pass, said,
};

use super::{FIXTURE, Site};

fn all_live(services: &mut [HostService]) {
    for service in services {
        assert!(service.is_alive(), "{}", service.log());
    }
}

#[test]
fn every_connection_is_ended_again_and_again() {
    let site = Site::new();
    let mut services = site.serve_everywhere();
    site.send("Storm", r#"{"ms": 20}"#, 200);
    let (mut rounds, mut ended) = (0, 0);
    eventually("they ran all the same", PATIENCE * 2, || {
        let all = site.database.end_connections("true");
        ended += all.expect("the server answers");
        rounds += 1;
        pass(Duration::from_millis(100));
        rounds > 20 && site.count(2) > 100
    });
    site.all_succeed(200);
    all_live(&mut services);
    // Each service has one for work and one for what it hears.
    assert!(ended > 20, "{ended}");
}

#[test]
fn the_server_crashes_and_comes_back() {
    let server = Postgres::alone();
    let site = Site::on(&server);
    let mut services = site.serve_everywhere();
    site.send("Storm", r#"{"ms": 20}"#, 200);
    for round in 1..=3 {
        eventually("some ran", PATIENCE, || {
            // The server may still be on its way back.
            let done = "SELECT count(*) FROM dispatcher.finished";
            let asked = site.try_psql(done);
            said(&asked.stdout)
                .trim()
                .parse::<u32>()
                .is_ok_and(|done| done >= 40 * round)
        });
        server.restart_immediately();
    }
    site.all_succeed(200);
    all_live(&mut services);
}

#[test]
fn the_database_is_down_at_the_start() {
    let mut server = Postgres::not_started();
    let port = server.port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let home = Home::new(FIXTURE);
    let mut service = HostService::start(&home, "one", &url);
    eventually("it says so", PATIENCE, || {
        service.log().contains("waiting for the store")
    });
    let refused = on_host(&home, "two", &url, &["jobs"]).output();
    let text = said(&refused.expect("the program starts").stderr);
    assert!(text.contains("cannot be reached"), "{text}");
    server.begin();
    eventually("it serves", PATIENCE, || {
        let open = "SELECT count(*) FROM dispatcher.supervisors WHERE open";
        server.try_psql("postgres", open).stdout.starts_with(b"1")
    });
    server.psql("postgres", "SELECT dispatcher.enqueue('Racer', '{}')");
    eventually("it works", PATIENCE, || !home.read("ran").is_empty());
    assert!(service.is_alive());
}

/// Passes bytes on, until it swallows those of the connections that there are.
struct Proxy {
    port: u16,
    /// Connections older than this one are dead, and nobody is told.
    swallowed: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = Self {
            port: listener.local_addr().expect("an address").port(),
            swallowed: Arc::default(),
            made: Arc::default(),
            stop: Arc::default(),
        };
        let (swallowed, made, stop) = (
            Arc::clone(&proxy.swallowed),
            Arc::clone(&proxy.made),
            Arc::clone(&proxy.stop),
        );
        thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                let number = made.fetch_add(1, Ordering::AcqRel) + 1;
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let both = [(&client, &server), (&server, &client)];
                for (from, to) in both.map(|(from, to)| (from.try_clone(), to.try_clone())) {
                    let swallowed = Arc::clone(&swallowed);
                    let (Ok(from), Ok(to)) = (from, to) else {
                        continue;
                    };
                    thread::spawn(move || pass_on(from, to, number, &swallowed));
                }
            }
        });
        proxy
    }

    /// From now on nothing of the connections that there are gets through.
    fn swallow(&self) {
        let made = self.made.load(Ordering::Acquire);
        self.swallowed.store(made, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, number: u64, swallowed: &AtomicU64) {
    let mut bytes = [0; 16 * 1024];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if number <= swallowed.load(Ordering::Acquire) {
            continue;
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // A half-open connection is not closed either.
    if number > swallowed.load(Ordering::Acquire) {
        let _: io::Result<()> = to.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn a_way_that_swallows_everything_is_noticed() {
    let mut site = Site::new();
    let proxy = Proxy::to(Postgres::of_process().port());
    site.url = site.database.url_at(proxy.port);
    let mut service = site.serve("one");
    site.send("Storm", r#"{"ms": 20}"#, 40);
    eventually("some ran", PATIENCE, || site.count(2) > 5);
    proxy.swallow();
    let began = Instant::now();
    site.all_succeed(40);
    assert!(service.is_alive(), "{}", service.log());
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}

/// Its server connections change from transaction to transaction, and notifications get lost.
#[test]
fn a_pooler_that_swallows_notifications() {
    let mut site = Site::new();
    let port = free_port();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nauth_type = any\npool_mode = transaction\nunix_socket_dir =\n\
         default_pool_size = 3\nuser = postgres\n",
        Postgres::of_process().port()
    );
    let file = site.home.file("pgbouncer.ini");
    // Its own account must be able to read it.
    std::fs::write(&file, settings).expect("it can be written");
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(site.home.path(), open).expect("it is ours");
    let mut pooler = site.home.command_of("pgbouncer", [&file]);
    let log = std::fs::File::create(site.home.file("pgbouncer.log")).expect("it can be written");
    let mut pooler = pooler
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .stderr(log)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the package pgbouncer");
    eventually("it listens", PATIENCE, || {
        assert!(
            pooler.try_wait().expect("it is a child").is_none(),
            "{}",
            site.home.read("pgbouncer.log")
        );
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    site.url = site.database.url_at(port);
    let mut services = site.serve_everywhere();
    site.send("Storm", r#"{"ms": 5}"#, 60);
    site.all_succeed(60);
    all_live(&mut services);
    drop(services);
    pooler.kill().expect("it is ours");
    pooler.wait().expect("it is ours");
}
