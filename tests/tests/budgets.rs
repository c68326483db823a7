//! What a user's program pays for: the number of crates is held, the rest is measured and told.

use std::process::Command;

use dispatcher_tests::{TREES, crates_of, workspace};

#[test]
fn no_tree_grows_unnoticed() {
    let text = std::fs::read_to_string(workspace().join("docs/budgets.md")).expect("it is there");
    for tree in TREES {
        let found = crates_of(tree);
        let most = tree.most;
        assert!(
            found.at_run_time <= most.at_run_time && found.in_the_build <= most.in_the_build,
            "{} has {found:?}, where {most:?} are allowed",
            tree.name
        );
        let row = format!(
            "| `{}` | {} | {} |",
            tree.name, most.at_run_time, most.in_the_build
        );
        assert!(
            text.contains(&row),
            "docs/budgets.md says otherwise than {row}"
        );
    }
}

#[test]
fn what_a_program_pays_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_budgets"))
        .args(["--program", env!("CARGO_BIN_EXE_minimal")])
        .output()
        .expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for (what, unit) in [
        ("start of `true`", "µs"),
        ("start with `--version`", "x true"),
        ("start with `list`", "x true"),
        ("idle supervisor", "KiB PSS"),
        ("idle keeper", "KiB PSS"),
        ("both together", "of a service's 15 MB"),
    ] {
        let line = text.lines().find(|line| line.starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what} in:\n{text}"));
        assert!(line.ends_with(unit) || line.contains(unit), "{line}");
    }
}
