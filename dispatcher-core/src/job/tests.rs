//! The rules of the job's life as a literal table, and the text form of its id.

use std::collections::BTreeSet;

use super::*;

use JobState::{Cancelled, Failed, Queued, Running, Succeeded};

/// One row for each state, one cell for each transition, in the order of `ALL`.
const RULES: [(JobState, [Option<JobState>; 6]); 5] = [
    //          Claim          Succeed          Fail          Requeue       Cancel           Expire
    (
        Queued,
        [
            Some(Running),
            None,
            None,
            None,
            Some(Cancelled),
            Some(Failed),
        ],
    ),
    (
        Running,
        [
            None,
            Some(Succeeded),
            Some(Failed),
            Some(Queued),
            Some(Cancelled),
            None,
        ],
    ),
    (Succeeded, [None, None, None, None, None, None]),
    (Failed, [None, None, None, None, None, None]),
    (Cancelled, [None, None, None, None, None, None]),
];

#[test]
fn every_transition_from_every_state() {
    assert_eq!(RULES.map(|(state, _)| state), JobState::ALL);
    for (from, cells) in RULES {
        for (transition, cell) in Transition::ALL.into_iter().zip(cells) {
            let expected = cell.ok_or(RefusedTransition { from, transition });
            assert_eq!(from.apply(transition), expected, "{from} {transition:?}");
        }
    }
}

#[test]
fn terminal_states_are_those_that_nothing_leaves() {
    for (state, cells) in RULES {
        assert_eq!(
            state.is_terminal(),
            cells.iter().all(Option::is_none),
            "{state}"
        );
    }
}

#[test]
fn every_state_can_be_reached_and_every_transition_is_used() {
    let reached: BTreeSet<_> = RULES
        .iter()
        .flat_map(|(_, cells)| cells)
        .flatten()
        .collect();
    assert_eq!(reached.len(), JobState::ALL.len());
    for column in 0..Transition::ALL.len() {
        assert!(
            RULES.iter().any(|(_, cells)| cells[column].is_some()),
            "{column}"
        );
    }
}

#[test]
fn states_are_spelled_one_way() {
    for (state, text) in
        JobState::ALL
            .into_iter()
            .zip(["queued", "running", "succeeded", "failed", "cancelled"])
    {
        assert_eq!(state.as_str(), text);
        assert_eq!(state.to_string(), text);
        assert_eq!(text.parse(), Ok(state));
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("{text:?}"));
    }
    for text in ["", "Queued", "queued ", "done"] {
        assert_eq!(text.parse::<JobState>(), Err(()));
    }
    assert_eq!(
        Succeeded.apply(Transition::Cancel).unwrap_err().to_string(),
        "a succeeded job cannot Cancel"
    );
}

#[test]
fn ids_have_one_text() {
    for (bytes, text) in [
        ([0; 10], "0000000000000000"),
        ([0xff; 10], "zzzzzzzzzzzzzzzz"),
        ([0, 0, 0, 0, 1, 0, 0, 0, 0, 31], "000000010000000z"),
        (
            [0x84, 0x21, 0x08, 0x42, 0x10, 0, 0, 0, 0, 0],
            "gggggggg00000000",
        ),
    ] {
        let id = JobId::from_bytes(bytes);
        assert_eq!(id.as_str().len(), JobId::LEN);
        assert_eq!(id.as_str(), text);
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_eq!(id.as_str().to_uppercase().parse(), Ok(id));
        assert_eq!(format!("{id} {id:?}"), format!("{0} {0}", id.as_str()));
        assert_eq!(format!("{id:>18}"), format!("  {}", id.as_str()));
    }
}

#[test]
fn every_bit_of_the_bytes_reaches_the_text() {
    let mut ids = BTreeSet::from([JobId::from_bytes([0; 10])]);
    for bit in 0..80 {
        let mut bytes = [0; 10];
        bytes[bit / 8] = 1 << (bit % 8);
        assert!(ids.insert(JobId::from_bytes(bytes)), "bit {bit}");
    }
    // Text order is byte order, so that a range of ids is a range of rows.
    assert!(JobId::from_bytes([1; 10]) < JobId::from_bytes([2; 10]));
}

#[test]
fn what_is_no_id_is_refused() {
    for text in [
        "",
        "0",
        "000000000000000",
        "00000000000000000",
        "000000000000000i",
        "000000000000000l",
        "000000000000000o",
        "000000000000000u",
        "000000000000000-",
        "000000000000000 ",
        "000000000000000\0",
        "00000000000000é",
        "O000000000000000",
    ] {
        assert_eq!(text.parse::<JobId>(), Err(JobIdError), "{text:?}");
    }
    for byte in 0..=u8::MAX {
        let text = format!("{}{}", char::from(byte), "0".repeat(15));
        let is_id = byte.is_ascii_alphanumeric() && !b"iloILOuU".contains(&byte);
        assert_eq!(text.parse::<JobId>().is_ok(), is_id, "{text:?}");
    }
}

#[test]
fn ids_travel_as_text() {
    let id = JobId::from_bytes([7; 10]);
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("{:?}", id.as_str()));
    assert_eq!(serde_json::from_str::<JobId>(&json).unwrap(), id);
    assert_eq!(
        serde_json::from_reader::<_, JobId>(json.as_bytes()).unwrap(),
        id
    );
    let error = serde_json::from_str::<JobId>("\"x\"").unwrap_err();
    assert!(error.to_string().contains("16 characters"), "{error}");
}
