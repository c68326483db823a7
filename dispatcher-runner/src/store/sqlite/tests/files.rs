//! Places and files that must be refused, and are left as they were.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::thread;

use super::*;

fn refusal(path: &Path) -> StoreError {
    match SqliteStore::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn is_private_to_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper/still/state.db");
    let mut store = SqliteStore::open(&path).unwrap();
    register(&mut store, "A");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&directory.path().join("deeper")), 0o700);
    assert_eq!(
        mode(&directory.path().join("deeper/still/state.db-wal")),
        0o600
    );
}

#[test]
fn jobs_survive_closing_and_opening() {
    let (_directory, path) = place();
    let id = accept(&mut SqliteStore::open(&path).unwrap(), job("A"));
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.state(id).unwrap(), Some(JobState::Queued));
}

/// A file as the first version wrote it, with a job in it.
#[test]
fn a_file_of_the_first_schema_is_brought_up_to_date() {
    let (_directory, path) = place();
    let id = accept(&mut SqliteStore::open(&path).unwrap(), job("A"));
    plain(&path)
        .execute_batch("DROP TABLE schedules; DROP TABLE receipts; DROP TABLE batches; DROP TABLE batch_requests; ALTER TABLE jobs DROP COLUMN batch; DROP TABLE callbacks; ALTER TABLE jobs DROP COLUMN called; ALTER TABLE supervisors DROP COLUMN queues; PRAGMA user_version=1")
        .unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.state(id).unwrap(), Some(JobState::Queued));
    assert_eq!(store.schedules().unwrap().rows.len(), 0);
    drop(store);
    let version = plain(&path).query_row("PRAGMA user_version", [], |row| row.get(0));
    assert_eq!(version, Ok(6));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_directory, path) = place();
    accept(&mut SqliteStore::open(&path).unwrap(), job("A"));
    plain(&path)
        .execute_batch("PRAGMA user_version=99")
        .unwrap();
    let before = fs::read(&path).unwrap();
    match refusal(&path) {
        StoreError::NewerSchema {
            found: 99,
            known: 6,
            path: named,
        } => assert_eq!(named, path),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A log that the newer program left behind after a crash stays where it is.
#[test]
fn a_newer_schema_in_the_log_is_left_alone() {
    let (directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let newer = plain(&path);
    newer.execute_batch("PRAGMA user_version=99").unwrap();
    let copy = directory.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(&path), name(&copy)).unwrap();
    }
    drop((store, newer));
    let wal = directory.path().join("copy.db-wal");
    let before = (fs::read(&copy).unwrap(), fs::read(&wal).unwrap());
    assert!(matches!(refusal(&copy), StoreError::NewerSchema { .. }));
    assert_eq!((fs::read(&copy).unwrap(), fs::read(&wal).unwrap()), before);
}

#[test]
fn a_foreign_database_is_refused_and_left_alone() {
    let (_directory, path) = place();
    plain(&path)
        .execute_batch("CREATE TABLE theirs (id INTEGER)")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(refusal(&path), StoreError::Corrupt { .. }));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn something_else_is_refused_and_left_alone() {
    let (_directory, path) = place();
    fs::write(
        &path,
        "no database at all, and long enough to have a header ".repeat(100),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("state.db"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damage_inside_is_named() {
    let (_directory, path) = place();
    {
        let mut store = SqliteStore::open(&path).unwrap();
        register(&mut store, "A");
        let jobs = (0..500).map(|_| job("A")).collect();
        store.submit(&[group(jobs)]).remove(0).unwrap();
    }
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let error = match SqliteStore::open(&path) {
        Ok(mut store) => store.jobs(&all()).unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn unusable_places_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("state.db"), file.join("a/b/state.db")] {
        let error = refusal(&path);
        assert!(
            matches!(error, StoreError::Directory { .. }),
            "{error}: {path:?}"
        );
    }
    let error = refusal(directory.path());
    assert!(matches!(error, StoreError::Directory { .. }), "{error}");
    let read_only = refusal(Path::new("/proc/dispatcher/state.db"));
    assert!(
        matches!(read_only, StoreError::Directory { .. }),
        "{read_only}"
    );
}

#[test]
fn an_empty_file_becomes_a_state_file() {
    let (_directory, path) = place();
    fs::write(&path, "").unwrap();
    accept(&mut SqliteStore::open(&path).unwrap(), job("A"));
}

#[test]
fn network_file_systems_are_known_by_their_number() {
    assert_eq!(open::network_kind(0x6969), Some("NFS"));
    // As a 32-bit number is sign-extended.
    assert_eq!(open::network_kind(0xffff_ffff_ff53_4d42), Some("CIFS"));
    let ext4 = 0xef53;
    assert_eq!(open::network_kind(ext4), None);
    let tmpfs = 0x0102_1994;
    assert_eq!(open::network_kind(tmpfs), None);
}

#[test]
fn a_cold_start_of_many_works() {
    for _ in 0..10 {
        let (_directory, path) = place();
        let start = Barrier::new(6);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    let mut store = SqliteStore::open(&path).unwrap();
                    accept(&mut store, job("A"));
                });
            }
        });
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.jobs(&all()).unwrap().len(), 6);
        recount(&path);
    }
}

/// The last connection to close takes the log away while another one opens.
#[test]
fn opening_while_others_close_works() {
    let (_directory, path) = place();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..15 {
                    let mut store = SqliteStore::open(&path).unwrap();
                    let id = new_job(&mut store);
                    assert_eq!(store.state(id).unwrap(), Some(JobState::Queued));
                    store.sync().unwrap();
                }
            });
        }
    });
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.jobs(&all()).unwrap().len(), 60);
}

fn new_job(store: &mut SqliteStore) -> JobId {
    register(store, "A");
    accept(store, job("A"))
}

/// SQLite itself would go on with a file that nobody can find any more.
#[test]
fn a_deleted_or_replaced_file_takes_in_nothing() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let id = accept(&mut store, job("A"));
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let refused = submit(&mut store, job("A")).unwrap_err();
        assert!(matches!(
            refused,
            SubmitError::Store(StoreError::Gone { path: named }) if named == path
        ));
        assert!(matches!(store.state(id), Err(StoreError::Gone { .. })));
        // Another program made a new one.
        drop(SqliteStore::open(&path).unwrap());
    }
}
