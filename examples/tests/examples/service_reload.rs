//! Many changes, few reloads, and the last change in use.

use crate::support::Program;

#[test]
fn the_last_change_is_in_use_after_far_fewer_reloads_than_changes() {
    let program = Program::new(env!("CARGO_BIN_EXE_service_reload"));
    let file = program.folder().join("service.conf");
    let said = program.says(&["change", file.to_str().expect("text"), "30"]);
    assert!(said.ends_with("in use: version 30\n"), "{said}");
    let numbers: Vec<u32> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [changes, reloads, dropped, _] = numbers[..] else {
        panic!("{said}")
    };
    assert_eq!((changes, reloads + dropped), (30, 30));
    assert!(
        reloads >= 2,
        "the last change came after the first reload began"
    );
    assert!(dropped > 0, "{said}");
    let jobs = program.says(&["jobs", "--state", "succeeded", "--ids"]);
    assert_eq!(jobs.lines().count(), reloads as usize);
}
