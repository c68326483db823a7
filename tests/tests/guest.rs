//! `Service::start`: a service inside a program that has its own life, signals and threads.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, control_sockets, eventually, said, terminate};

/// The program, told word by word.
struct Guest {
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Guest {
    fn start(home: &Home) -> Self {
        let mut child = home
            .command([""; 0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let words = child.stdin.take().expect("it was piped");
        let answers = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut guest = Self {
            child,
            words,
            answers,
        };
        assert_eq!(guest.tell("ready"), "true");
        guest
    }

    fn say(&mut self, word: &str) {
        writeln!(self.words, "{word}").expect("it listens");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }

    fn tell(&mut self, word: &str) -> String {
        self.say(word);
        self.answer()
    }

    /// A job that runs until its gate is opened.
    fn submit(&mut self, home: &Home, gate: &str) -> String {
        let id = self.tell(&format!("submit {}", home.file(gate).display()));
        // A claim alone may be given back unstarted.
        home.wait_for(&format!("{gate}.begun"));
        id
    }
}

/// A program that a failed test leaves must not outlive it.
impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_guest"))
}

#[test]
fn jobs_run_in_it_and_stop_drains() {
    let home = home();
    let mut guest = Guest::start(&home);
    let running = guest.submit(&home, "gate");
    assert_eq!(control_sockets(&home).len(), 1, "nobody else was started");
    assert_eq!(guest.tell("stop"), "done");
    guest.say("wait");
    assert_eq!(home.stands(&running).0, JobState::Running);
    home.open_gate("gate");
    assert_eq!(guest.answer(), "ended");
    assert_eq!(home.stands(&running).0, JobState::Succeeded);
    assert_eq!(control_sockets(&home).len(), 0);
    // The program goes on, and may begin another.
    assert_eq!(guest.tell("start"), "done");
    assert_eq!(guest.tell("ready"), "true");
    assert_eq!(guest.tell("is-ready"), "true");
}

#[test]
fn stopped_now_it_does_not_wait_for_what_runs() {
    let home = home();
    let mut guest = Guest::start(&home);
    let running = guest.submit(&home, "never");
    assert_eq!(guest.tell("stop-now"), "done");
    assert_eq!(guest.tell("wait"), "ended");
    assert_eq!(home.stands(&running).0, JobState::Queued);
}

#[test]
fn dropped_it_drains_and_is_waited_for() {
    let home = home();
    let mut guest = Guest::start(&home);
    let running = guest.submit(&home, "gate");
    guest.say("drop");
    home.open_gate("gate");
    assert_eq!(guest.answer(), "done");
    assert_eq!(home.stands(&running).0, JobState::Succeeded);
    assert_eq!(control_sockets(&home).len(), 0);
}

#[test]
fn signals_are_the_programs_own() {
    let home = home();
    let mut guest = Guest::start(&home);
    terminate(guest.child.id());
    let ended = eventually("it ends", PATIENCE, || {
        guest.child.try_wait().expect("a child")
    });
    assert_eq!(ended.signal(), Some(15), "nobody has caught it");
}

#[test]
fn the_manager_is_the_programs_own() {
    let home = home();
    let path = home.file("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a mode");
    let mut child = home
        .command([""; 0])
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut words = child.stdin.take().expect("it was piped");
    writeln!(words, "ready\nstop\nwait").expect("it listens");
    drop(words);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(said(&output.stdout), "true\ndone\nended\n");
    let silent = socket.recv(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(silent, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_command_ends_it_too() {
    let home = home();
    let mut guest = Guest::start(&home);
    let other = home
        .command_of(env!("CARGO_BIN_EXE_fixture"), ["stop"])
        .output();
    let output = other.expect("it starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(guest.tell("wait"), "ended");
}
