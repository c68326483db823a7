//! State files that this program must not touch.

use std::fs;
use std::path::PathBuf;

use dispatcher_tests::Home;
use rusqlite::Connection;

use crate::{COMMANDS, Complaint, Scene, complaint, run, says};

/// Commands that need the state.
const ASKING: [&[&str]; 6] = [
    &["notifydispatcher", "RenewCertificate", r#"{"domain":"x"}"#],
    &["jobs"],
    &["status"],
    &["prune"],
    &["pause", "Gated"],
    &["cancel", "abc"],
];

/// Each command complains about the state file and leaves it byte for byte as it is.
fn all_complain(scene: &Scene<'_>) -> Vec<Complaint> {
    let before = scene.bytes();
    let file = scene.home.database().display().to_string();
    let mut complaints = Vec::new();
    for arguments in ASKING {
        let complaint = complaint(&run(scene.home, arguments), 74);
        complaint.tells(&[&file, "the state is"]);
        complaints.push(complaint);
        assert!(scene.bytes() == before, "{arguments:?} changed the file");
    }
    complaints
}

/// Puts back what was there.
fn restore(home: &Home, (file, log): &(Vec<u8>, Vec<u8>)) {
    let database = home.database();
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", database.display()));
    fs::write(&database, file).expect("the state can be written");
    fs::write(beside("-wal"), log).expect("the state can be written");
    let _ = fs::remove_file(beside("-shm"));
}

fn set_version(home: &Home, version: u32) -> u32 {
    let connection = Connection::open(home.database()).expect("there is a state file");
    let found = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("it has a version");
    connection
        .execute_batch(&format!("PRAGMA user_version={version}"))
        .expect("the state can be written");
    found
}

#[test]
fn a_newer_version() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    scene.abandon();
    let known = set_version(home, 99);
    for complaint in all_complain(&scene) {
        complaint.tells(&["schema version 99", &format!("versions up to {known}")]);
        says(&complaint.todo, &["newer program", "not changed"]);
    }
    assert_eq!(set_version(home, known), 99);
    scene.nothing_is_lost_after_another();
}

#[test]
fn a_corrupted_one() {
    let mut home = Home::new(COMMANDS);
    let scene = Scene::of(&home);
    scene.abandon();
    let jobs = scene.jobs;
    home.let_go();
    let home = &home;
    let scene = Scene { home, jobs };
    Connection::open(home.database())
        .and_then(|file| file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .expect("nobody else has it open");
    let backup = scene.bytes();
    assert!(backup.1.is_empty(), "everything is in the file");
    for damage in [
        Damage::Everything,
        Damage::Header,
        Damage::Schema,
        Damage::Cut,
    ] {
        restore(home, &(damage.of(&backup.0), Vec::new()));
        for complaint in all_complain(&scene) {
            complaint.tells(&["is damaged or is no state file"]);
            says(&complaint.todo, &["move", "away", "backup"]);
        }
    }
    restore(home, &backup);
    scene.nothing_is_lost_after_another();
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Everything,
    Header,
    Schema,
    Cut,
}

impl Damage {
    fn of(self, file: &[u8]) -> Vec<u8> {
        let mut bytes = file.to_vec();
        match self {
            Self::Everything => bytes.fill(0x5a),
            Self::Header => bytes[..16].fill(0),
            Self::Schema => bytes[100..].fill(0x5a),
            Self::Cut => bytes.truncate(5_000),
        }
        bytes
    }
}
