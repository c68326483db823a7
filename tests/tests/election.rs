//! No job waits without somebody who will run it: comings and goings of supervisors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dispatcher_core::JobState;
use dispatcher_tests::{
    Home, Kind, PATIENCE, Seen, Size, eventually, is_alive, said, terminate, within,
};

/// Longer than a supervisor stays without work.
const LINGER: Duration = Duration::from_secs(5);

fn odd() -> Home {
    Home::new(env!("CARGO_BIN_EXE_odd"))
}

/// Submits a job by its command and returns its id.
fn submit(home: &Home, name: &str, gate: Option<&str>) -> String {
    let payload = match gate {
        Some(gate) => serde_json::json!({ "gate": gate }).to_string(),
        None => "{}".to_owned(),
    };
    let output = home.output(["notifydispatcher", "--detach", name, &payload], b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout).trim().to_owned()
}

fn began(home: &Home, id: &str) {
    home.wait_for(&format!("began-{id}"));
}

fn only_supervisor(home: &Home) -> Seen {
    eventually("one supervisor", PATIENCE, || {
        let mut found = home.of_kind(Kind::Supervisor);
        if found.len() == 1 { found.pop() } else { None }
    })
}

fn succeeds(home: &Home, id: &str) {
    assert_eq!(home.wait(id).state, JobState::Succeeded);
}

/// Deletes a directory in which others may be making files.
fn delete(directory: &Path) {
    eventually("it is deleted", PATIENCE, || {
        match fs::remove_dir_all(directory) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    });
}

/// The program as it is after an update: the same name, another file.
fn updated(home: &Home) -> PathBuf {
    let folder = home.file("updated");
    fs::create_dir_all(&folder).expect("the directory can be written");
    let program = folder.join("odd");
    fs::copy(env!("CARGO_BIN_EXE_odd"), &program).expect("a copy of the program");
    program
}

/// A supervisor decides to leave while somebody submits: whoever gets the lock of the state file
/// first, the job is run.
#[test]
fn race_of_a_leaving_supervisor_and_a_submitter() {
    let rounds = Size::get().pick(1, 10);
    for _ in 0..rounds {
        std::thread::scope(|scope| {
            for number in 0..6 {
                scope.spawn(move || leave_and_submit(number));
            }
        });
    }
}

fn leave_and_submit(number: u32) {
    let home = &odd();
    succeeds(home, &submit(home, "Gate", None));
    let supervisor = only_supervisor(home);
    // The lock is held over the instant in which it wants to leave, the submitter waits as well.
    let before = LINGER - Duration::from_millis(300) + number * Duration::from_millis(60);
    dispatcher_tests::pass(before);
    let lock = home.lock();
    let child = home.start(["notifydispatcher", "--detach", "Gate", "{}"]);
    dispatcher_tests::pass(Duration::from_millis(700));
    drop(lock);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let id = said(&output.stdout).trim().to_owned();
    succeeds(home, &id);
    eventually("it leaves", PATIENCE, || {
        !is_alive(supervisor.pid) || home.stands(&id).0.is_terminal()
    });
}

/// A supervisor that was told to end lets what it runs finish; meanwhile another one works.
#[test]
fn whoever_drains_takes_nothing_new_and_holds_up_nobody() {
    let home = odd();
    let long = submit(&home, "Stubborn", Some("long"));
    began(&home, &long);
    let first = only_supervisor(&home);
    terminate(first.pid.cast_unsigned());
    // What is sent before that is left waiting, like everything that waited before.
    eventually("its row is closed", PATIENCE, || {
        home.log().contains("takes nothing new")
    });
    for _ in 0..3 {
        let id = submit(&home, "Gate", None);
        let ended = within(Duration::from_secs(20), || home.stands(&id).0.is_terminal());
        assert!(
            ended.is_some(),
            "{id} waits for nobody: {:#?}",
            home.processes()
        );
    }
    assert!(is_alive(first.pid), "it waits for its job");
    home.open_gate("long");
    // A result that came after TERM comes too late: it is queued again, for whoever serves.
    eventually("it leaves", PATIENCE, || !is_alive(first.pid));
    succeeds(&home, &long);
}

/// The program is replaced: the old supervisor finishes what it runs, and holds up no old program
/// that goes on submitting, not even after the new supervisor has left.
#[test]
fn a_replaced_program_whose_old_copy_still_submits() {
    let old = odd();
    let long = submit(&old, "Gate", Some("long"));
    began(&old, &long);
    let first = only_supervisor(&old);
    let program = updated(&old);
    let run = |words: &[&str]| {
        let command = old.command(words);
        let mut other = std::process::Command::new(&program);
        other.args(words).envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        other.current_dir(old.path());
        let output = other.output().expect("the updated program starts");
        assert!(output.status.success(), "{}", said(&output.stderr));
        said(&output.stdout).trim().to_owned()
    };
    let new = run(&["notifydispatcher", "--detach", "Gate", "{}"]);
    succeeds(&old, &new);
    eventually("the old one hands over", PATIENCE, || {
        old.log().contains("heir=")
    });
    let late = submit(&old, "Gate", None);
    let ended = within(Duration::from_secs(20), || {
        old.stands(&late).0.is_terminal()
    });
    assert!(
        ended.is_some(),
        "{late} waits for nobody: {:#?}",
        old.processes()
    );
    old.open_gate("long");
    succeeds(&old, &long);
    eventually("the old one leaves", PATIENCE, || !is_alive(first.pid));
}

/// Jobs that only the old program can run are run by it, though a newer one is there.
#[test]
fn a_replaced_program_that_has_dropped_a_dispatcher() {
    let home = odd();
    let running = submit(&home, "Legacy", Some("legacy"));
    began(&home, &running);
    let first = only_supervisor(&home);
    let waiting = submit(&home, "Legacy", None);
    let program = updated(&home);
    let output = std::process::Command::new(program)
        .args(["notifydispatcher", "--detach", "Gate", "{\"gate\":\"new\"}"])
        .current_dir(home.path())
        .env(
            "DISPATCHER_DATABASE_URL",
            format!("sqlite:{}", home.database().display()),
        )
        .env("DISPATCHER_TEST_HOME", home.path())
        .env("DISPATCHER_TEST_WITHOUT", "Legacy")
        .output()
        .expect("the updated program starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let new = said(&output.stdout).trim().to_owned();
    began(&home, &new);
    eventually("the old one hands over", PATIENCE, || {
        home.log().contains("a newer build")
    });
    let late = submit(&home, "Gate", None);
    succeeds(&home, &late);
    home.open_gate("legacy");
    succeeds(&home, &running);
    succeeds(&home, &waiting);
    eventually("the old one leaves", PATIENCE, || !is_alive(first.pid));
    home.open_gate("new");
    succeeds(&home, &new);
}

/// Somebody deletes the state while jobs run: everything ends by itself.
#[test]
fn a_deleted_state_directory_ends_everything() {
    let home = odd();
    let long = submit(&home, "Stubborn", Some("long"));
    submit(&home, "Only", None);
    began(&home, &long);
    assert!(!home.tagged().is_empty());
    delete(&home.state());
    eventually("everything ends", Duration::from_secs(30), || {
        home.processes().is_empty()
    });
    // And the next job finds a fresh state.
    let fresh = submit(&home, "Gate", Some("long"));
    home.open_gate("long");
    began(&home, &fresh);
}

/// A long-lived program goes on with a fresh state, and no job of its vanishes in a deleted file.
#[test]
fn a_program_whose_state_was_deleted_goes_on() {
    let home = odd();
    let child = home.start(["twice", "go-on"]);
    home.stored(0);
    delete(&home.state());
    home.open_gate("go-on");
    let output = child.wait_with_output().expect("it ends");
    let said = said(&output.stderr);
    assert!(
        output.status.success() && said.trim().ends_with("succeeded"),
        "{said}"
    );
}

/// Somebody holds the lock of the election and serves nobody: the job is kept, and that is said.
#[test]
fn a_job_that_nobody_can_be_started_for_is_kept() {
    let home = odd();
    succeeds(&home, &submit(&home, "Gate", None));
    let gone = || home.of_kind(Kind::Supervisor).is_empty();
    eventually("the supervisor leaves", PATIENCE, gone);
    let files = fs::read_dir(home.state()).expect("there is a state");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut locks = names.filter(|name| name.starts_with("election-"));
    let path = home
        .state()
        .join(locks.next().expect("there was an election"));
    let lock = fs::File::open(path).expect("it is ours");
    lock.lock().expect("it is free");
    let output = home.output(["notifydispatcher", "--detach", "Gate", "{}"], b"");
    assert!(output.status.success(), "{output:?}");
    let (id, warning) = (said(&output.stdout), said(&output.stderr));
    let told = warning.contains("warning: no supervisor could be started");
    assert!(
        told && warning.contains("neither started nor left"),
        "{warning}"
    );
    drop(lock);
    assert!(home.output(["resume", "Gate"], b"").status.success());
    succeeds(&home, id.trim());
}

/// One file under two names is one program: one supervisor serves both, and nobody waits.
#[test]
fn a_program_with_two_names_has_one_supervisor() {
    let home = odd();
    let long = submit(&home, "Gate", Some("long"));
    began(&home, &long);
    let other = home.file("even");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_odd"), &other).expect("it can be made");
    let asked = Instant::now();
    let words = ["notifydispatcher", "--detach", "Gate", "{}"];
    let output = home.command_of(&other, words).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(said(&output.stderr), "");
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "it waited for an election"
    );
    succeeds(&home, said(&output.stdout).trim());
    assert_eq!(home.of_kind(Kind::Supervisor).len(), 1);
    home.open_gate("long");
    succeeds(&home, &long);
}

/// `[service] queues` is about the service: what a program sends in the background has nobody else.
#[test]
fn a_label_that_the_service_does_not_claim_is_run_all_the_same() {
    let home = odd();
    let config = home.file("dispatcher.toml");
    let text = "version = 1\n[service]\nqueues = [\"a\"]\n[dispatchers.Gate]\nqueue = \"b\"\n";
    fs::write(&config, text).expect("it can be written");
    let file = config.to_str().expect("a text");
    let words = [
        "notifydispatcher",
        "--detach",
        "--queue",
        "b",
        "--config",
        file,
        "Gate",
    ];
    let output = home.output(words, b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let id = said(&output.stdout).trim().to_owned();
    let ended = within(Duration::from_secs(20), || home.stands(&id).0.is_terminal());
    assert!(ended.is_some(), "{id} waits for nobody");
}

/// A descriptor that a submitter has forgotten to close on `exec`, such as that of a port, is not
/// held for as long as a supervisor lives.
#[test]
fn a_supervisor_keeps_nothing_open_of_its_submitters() {
    let home = odd();
    let output = home.output(["leak", "leaked"], b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    began(&home, said(&output.stderr).trim());
    let leaked = home.file("leaked");
    let seen = home.processes();
    assert!(seen.len() >= 3, "supervisor, keeper and worker: {seen:#?}");
    for process in seen {
        let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).expect("it lives");
        let links = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        assert!(!links.into_iter().any(|link| link == leaked), "{process:?}");
    }
}

/// A wake-up that is lost costs a moment, also where every slot is taken and nothing is due.
#[test]
fn a_cancellation_that_wakes_nobody_is_seen() {
    let home = odd();
    let config = home.file("dispatcher.toml");
    fs::write(&config, "version = 1\n[service]\nworkers = 1\n").expect("it can be written");
    let file = config.to_str().expect("a text");
    let words = [
        "notifydispatcher",
        "--detach",
        "--timeout",
        "0",
        "--config",
        file,
    ];
    let job = [r#"Gate"#, r#"{"gate":"never"}"#];
    let output = home.output(words.iter().chain(&job), b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let id = said(&output.stdout).trim().to_owned();
    began(&home, &id);
    let supervisors = fs::read_dir(home.state().join("supervisors")).expect("it is there");
    for directory in supervisors.flatten() {
        fs::remove_file(directory.path().join("wake")).expect("it can be woken");
    }
    assert!(home.output(["cancel", &id], b"").status.success());
    let ended = within(Duration::from_secs(20), || home.stands(&id).0.is_terminal());
    assert!(ended.is_some(), "nobody looks");
}

/// Somebody deletes only the files of a living supervisor: it leaves, its job is run again.
#[test]
fn a_deleted_directory_of_a_supervisor_ends_it() {
    let home = odd();
    let long = submit(&home, "Gate", Some("long"));
    began(&home, &long);
    let first = only_supervisor(&home);
    delete(&home.state().join("supervisors"));
    eventually("it leaves", Duration::from_secs(30), || {
        !is_alive(first.pid)
    });
    home.open_gate("long");
    succeeds(&home, &submit(&home, "Gate", None));
    succeeds(&home, &long);
}

/// A supervisor that is there already serves what the configuration had when it was started, and
/// lets nobody wait who has added something since.
#[test]
fn what_a_configuration_has_added_since_is_served_at_once() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let config = home.file("dispatcher.toml");
    let mut text = "version = 1\n".to_owned();
    for name in ["First", "Second"] {
        text.push_str(&format!(
            "[dispatchers.{name}]\ncommand = [\"echo\", \"{name}\"]\n"
        ));
        fs::write(&config, &text).expect("the directory can be written");
        let config = config.to_str().expect("a path in UTF-8");
        let output = home.output(["notifydispatcher", "--config", config, name], b"");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, format!("{name}\n").into_bytes());
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    let again = config.to_str().expect("a path in UTF-8");
    let output = home.output(["notifydispatcher", "--config", again, "First"], b"");
    assert_eq!(output.stdout, b"First\n", "{output:?}");
}
