//! The predicates in SQL against `JobState::apply`, over every state and transition.

use dispatcher_core::Transition;
use rusqlite::named_params;

use super::*;

const TOKEN: i64 = 7;

/// Runs the statements of one transition on job 1; how many rows changed.
fn execute(connection: &Connection, transition: Transition) -> usize {
    let end_running = |state: JobState| {
        connection
            .execute(
                sql!("end_running"),
                named_params! {
                    ":key": 1, ":token": TOKEN, ":state": rows::state_number(state), ":now": 5,
                    ":outcome": None::<String>,
                },
            )
            .unwrap()
    };
    let end_queued = |state: JobState| {
        connection
            .execute(
                sql!("end_queued"),
                named_params! {
                    ":key": 1, ":state": rows::state_number(state), ":now": 5, ":outcome": "{}",
                },
            )
            .unwrap()
    };
    match transition {
        Transition::Claim => {
            let mut statement = connection.prepare(sql!("claim")).unwrap();
            let mut claimed = statement
                .query(named_params! { ":key": 1, ":supervisor": 1, ":slot": 0, ":now": 5 })
                .unwrap();
            usize::from(claimed.next().unwrap().is_some())
        }
        Transition::Succeed => end_running(JobState::Succeeded),
        Transition::Fail => end_running(JobState::Failed),
        Transition::Requeue => connection
            .execute(
                sql!("requeue"),
                named_params! {
                    ":key": 1, ":token": TOKEN, ":now": 5, ":waits_for": 0,
                    ":run_at": None::<i64>, ":seq": None::<i64>,
                    ":failures": 0, ":snoozes": 0, ":lost": 0,
                },
            )
            .unwrap(),
        // A running job is cancelled by its record, a queued one at once.
        Transition::Cancel => end_queued(JobState::Cancelled) + end_running(JobState::Cancelled),
        Transition::Expire => end_queued(JobState::Failed),
    }
}

fn put(connection: &Connection, state: JobState) {
    connection
        .execute(
            "INSERT INTO jobs (
                key, id, dispatcher, queue, identity, watched, state, waits_for, rank, seq,
                submitted_at, run_at, attempt, failures, token, snoozes, lost
            )
            VALUES (1, '0123456789abcdef', 1, 'q', 'i', 1, ?1, 0, 0, 1, 0, 0, 1, 0, ?2, 0, 0)",
            (rows::state_number(state), TOKEN),
        )
        .unwrap();
}

#[test]
fn sql_and_apply_agree_on_every_pair() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let connection = &store.connection;
    for from in JobState::ALL {
        for transition in Transition::ALL {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            put(connection, from);
            let changed = execute(connection, transition);
            let now = connection
                .query_row("SELECT state FROM jobs WHERE key = 1", [], |row| {
                    rows::state(row, 0)
                })
                .unwrap();
            let expected = from.apply(transition);
            assert_eq!(
                changed,
                usize::from(expected.is_ok()),
                "{from} {transition:?}"
            );
            assert_eq!(now, expected.unwrap_or(from), "{from} {transition:?}");
            connection.execute_batch("ROLLBACK").unwrap();
        }
    }
}

#[test]
fn a_stale_token_matches_no_row() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let connection = &store.connection;
    put(connection, JobState::Running);
    connection
        .execute("UPDATE jobs SET token = token + 1", [])
        .unwrap();
    for transition in [Transition::Succeed, Transition::Fail, Transition::Requeue] {
        assert_eq!(execute(connection, transition), 0, "{transition:?}");
    }
}
