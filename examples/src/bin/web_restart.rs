//! A web server that restarts itself: its job kills and replaces the very server that sent it.
//!
//! The job outlives its submitter because it is a row in the store and a process of somebody
//! else's. The new server outlives the job because `leftovers` is `leave`: starting a daemon is
//! what this job is for.
//!
//! `web_restart serve <port>` serves `GET /` (who answers) and `POST /restart`.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch;
use serde::{Deserialize, Serialize};

/// Replaces the web server.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "30s", max_queue = 1, on_lost = "fail")]
struct RestartServer {
    /// The server that is to go.
    pid: u32,
    /// Its port, which the new one takes over.
    port: u16,
}

impl Process for RestartServer {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.progress(0.1, "stopping the old server")?;
        let pid = self.pid.to_string();
        let stopped = Command::new("kill").arg(&pid).status()?;
        println!("asked {pid} to end: {stopped}");
        wait_for("the old server to end", || !is_running(self.pid))?;

        cx.progress(0.5, "starting the new one")?;
        // A group of its own and no pipe of ours: nothing ties it to this job.
        let server = Command::new(std::env::current_exe()?)
            .args(["serve", &self.port.to_string()])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        wait_for("the new server to answer", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        })?;
        println!("{} answers", server.id());
        cx.output(&server.id())
    }
}

/// A process that has ended and was not reaped yet runs no more.
fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
    else {
        return false;
    };
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    !state.is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) -> Result<(), Failure> {
    let start = Instant::now();
    while !is_done() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(Failure::new(format!("waited 10 s for {what}")));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, port] = &arguments[..] else {
        return dispatcher_runner::main();
    };
    if command != "serve" {
        return dispatcher_runner::main();
    }
    match serve(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    let port = listener.local_addr()?.port();
    println!("listening on http://127.0.0.1:{port}");
    std::io::stdout().flush()?;
    for connection in listener.incoming() {
        if let Err(error) = answer(connection?, port) {
            eprintln!("a request failed: {error}");
        }
    }
    Ok(())
}

fn answer(mut connection: TcpStream, port: u16) -> Result<(), Box<dyn Error>> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new((&mut connection).take(16 * 1024)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let pid = std::process::id();
    let (status, body) = match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/"] => ("200 OK", format!("{pid}\n")),
        ["POST", "/restart"] => match (RestartServer { pid, port }).spawn_process() {
            Ok(job) => ("202 Accepted", format!("{}\n", job.id())),
            Err(refused) => ("503 Service Unavailable", format!("{refused}\n")),
        },
        _ => ("404 Not Found", "no such page\n".to_owned()),
    };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
