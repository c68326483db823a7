//! The table hangs together.

use std::collections::BTreeSet;

use super::*;

#[test]
fn names_are_unique_and_flags_do_not_clash() {
    let names: BTreeSet<_> = COMMANDS.iter().map(|command| command.name).collect();
    assert_eq!(names.len(), COMMANDS.len());
    for command in COMMANDS {
        let all = || command.flags.iter().chain(GLOBAL).chain(TOP);
        let longs: BTreeSet<_> = all().map(|flag| flag.long).collect();
        assert_eq!(longs.len(), all().count(), "{}", command.name);
        let shorts: Vec<_> = all().filter_map(|flag| flag.short).collect();
        let unique: BTreeSet<_> = shorts.iter().collect();
        assert_eq!(unique.len(), shorts.len(), "{}", command.name);
    }
}

#[test]
fn states_are_those_of_the_core() {
    let states: Vec<_> = dispatcher_core::JobState::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    assert_eq!(states, STATES);
}
