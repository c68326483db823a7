//! A full disk gives a clear error; nothing acknowledged is lost, and work goes on by itself when
//! there is space again.

use dispatcher_core::JobState;
use dispatcher_tests::{
    Home, Kind, PATIENCE, Refused, SmallDisk, eventually, said, with_own_mounts,
};
use serde_json::{Value, json};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const COMMANDS: &str = env!("CARGO_BIN_EXE_commands");
/// Room for the state file, its log and a few thousand jobs.
const ROOM: &str = "size=4m,mode=0700";

/// A job that runs alone and notes its name.
fn exclusive(name: &str, gate: Option<&str>) -> Value {
    json!({ "name": name, "gate": gate })
}

#[test]
fn disk_full_while_submitting() {
    with_own_mounts("disk_full_while_submitting", || {
        let disk = SmallDisk::new(FIXTURE, ROOM);
        let home = disk.home();
        let mut ids = vec![home.submit("Exclusive", &exclusive("first", Some("gate")))];
        home.wait_running(&ids[0]);
        ids.push(home.submit("Exclusive", &exclusive("second", None)));

        let ballast = disk.fill_but(0);
        // The log of the store may have room of its own for a few more.
        let refused = refusal(home, &mut ids);
        is_clear(home, &refused);
        let mut command = home.command_of(
            COMMANDS,
            ["notifydispatcher", "RenewCertificate", r#"{"domain":"x"}"#],
        );
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(74), "{output:?}");
        has_three_lines(home, &said(&output.stderr));
        assert_eq!(home.ids(), ids, "what was acknowledged is on record");

        drop(ballast);
        ids.push(home.submit("Exclusive", &exclusive("last", None)));
        home.open_gate("gate");
        all_succeed_once(home, &ids);
    });
}

#[test]
fn disk_full_while_finishing() {
    with_own_mounts("disk_full_while_finishing", || {
        let disk = SmallDisk::new(FIXTURE, ROOM);
        let home = disk.home();
        let writes = json!({ "deed": { "write": [60_000, 60_000] } });
        let first = home.submit("Exclusive", &exclusive("first", Some("gate")));
        home.wait_running(&first);
        let second = home.submit("Exclusive", &exclusive("second", None));
        let gated = json!({ "deed": { "wait_for": "gate" } }).to_string();
        let waiter = home.begin(["wait-for", "Act"], gated.as_bytes());
        eventually("the job that is waited for runs", PATIENCE, || {
            home.of_kind(Kind::Worker).len() == 2
        });
        let supervisors = home.of_kind(Kind::Supervisor);
        let ids = [first, second];
        let waited = home.ids().pop().expect("it was submitted last");
        let ballast = disk.fill_but(0);
        // Until there is no room left in the log of the store either.
        let mut more = Vec::new();
        while let Ok(id) = home.try_submit("Act", &writes) {
            more.push(id);
        }
        home.open_gate("gate");
        home.no_tags_left();
        eventually("an end that cannot be recorded", PATIENCE, || {
            home.of_kind(Kind::Worker).is_empty()
        });
        for id in [&ids[0], &waited] {
            assert!(!home.stands(id).0.is_terminal(), "{:?}", home.job(id));
        }
        assert_eq!(home.of_kind(Kind::Supervisor), supervisors, "it lives on");

        drop(ballast);
        all_succeed_once(home, &ids);
        for id in more.iter().chain([&waited]) {
            assert_eq!(home.wait(id).state, JobState::Succeeded);
        }
        let output = waiter.wait_with_output().expect("it ends");
        assert!(said(&output.stdout).contains("succeeded"), "{output:?}");
        assert_eq!(home.of_kind(Kind::Supervisor), supervisors, "it lived on");
    });
}

#[test]
fn disk_full_from_the_start() {
    with_own_mounts("disk_full_from_the_start", || {
        let disk = SmallDisk::new(FIXTURE, ROOM);
        let home = disk.home();
        for blocks in 0.. {
            let ballast = disk.fill_but(blocks);
            match home.try_submit("Exclusive", &exclusive("early", None)) {
                Ok(_) if blocks > 0 => break,
                Ok(_) => panic!("it was stored in no space at all"),
                Err(refused) => is_clear(home, &refused),
            }
            drop(ballast);
        }
        home.submit("Exclusive", &exclusive("late", None));
        let ids = home.ids();
        all_succeed_once(home, &ids);
    });
}

#[test]
fn disk_full_of_files() {
    with_own_mounts("disk_full_of_files", || {
        // Each round there is room for one more: the state file, its log, the supervisor's files.
        for files in 2.. {
            let disk = SmallDisk::new(FIXTURE, &format!("mode=0700,nr_inodes={files}"));
            let home = disk.home();
            match home.try_submit("Exclusive", &exclusive("only", None)) {
                Ok(id) if files > 2 => {
                    disk.remount("nr_inodes=1000");
                    all_succeed_once(home, &[id]);
                }
                Ok(_) => panic!("it was stored in no file at all"),
                Err(refused) => is_clear(home, &refused),
            }
            if files == 24 {
                return;
            }
        }
    });
}

#[test]
fn disk_full_while_a_supervisor_starts() {
    with_own_mounts("disk_full_while_a_supervisor_starts", || {
        let disk = SmallDisk::new(FIXTURE, ROOM);
        disk.log_elsewhere();
        let home = disk.home();
        let mut ids = vec![home.submit("Exclusive", &exclusive("first", None))];
        home.wait(&ids[0]);
        // Somewhere between these there is room for a job, and none for what must be written
        // before it can run.
        for blocks in 0..24 {
            home.end_service();
            let ballast = disk.fill_but(blocks);
            match home.try_submit("Exclusive", &exclusive(&blocks.to_string(), None)) {
                Ok(id) => ids.push(id),
                Err(refused) => is_clear(home, &refused),
            }
            drop(ballast);
            // Nobody calls: who was started must see to it alone.
            for id in &ids {
                home.wait(id);
            }
        }
        all_succeed_once(home, &ids);
    });
}

/// Submits until one is refused.
fn refusal(home: &Home, ids: &mut Vec<String>) -> Refused {
    for number in 0..10_000 {
        let name = format!("{number}-{}", "x".repeat(10_000));
        match home.try_submit("Exclusive", &exclusive(&name, None)) {
            Ok(id) => ids.push(id),
            Err(refused) => return refused,
        }
    }
    panic!("a full disk takes everything");
}

fn is_clear(home: &Home, refused: &Refused) {
    assert_eq!(refused.code, 74, "{refused:?}");
    has_three_lines(home, &refused.said);
}

/// What, why, what to do.
fn has_three_lines(home: &Home, text: &str) {
    let state = home.database().display().to_string();
    assert!(
        text.contains(&format!("no space is left for {state}")),
        "{text}"
    );
    assert!(text.contains("\ntry: free some space"), "{text}");
}

/// Every one of them succeeded, and ran once.
fn all_succeed_once(home: &Home, ids: &[String]) {
    let mut names = Vec::new();
    for id in ids {
        let job = home.wait(id);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        let payload: Value = serde_json::from_str(&job.payload).expect("a payload is JSON");
        names.push(payload["name"].as_str().unwrap_or_default().to_owned());
    }
    let order = home.read("order");
    let mut ran: Vec<&str> = order
        .lines()
        .filter_map(|line| line.strip_prefix("end "))
        .collect();
    names.sort_unstable();
    ran.sort_unstable();
    assert_eq!(ran, names);
    assert_eq!(home.read("violations"), "");
}
