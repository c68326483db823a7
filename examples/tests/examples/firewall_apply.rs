//! Steps that are told one after the other, and a mistake that leaves what is in force alone.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Program, eventually, text};

fn write(folder: &Path, name: &str, rules: &str) {
    let wanted = folder.join("wanted");
    std::fs::create_dir_all(&wanted).expect("a folder");
    std::fs::write(wanted.join(name), rules).expect("it can be written");
}

fn active(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("active")).unwrap_or_default()
}

#[test]
fn rules_are_in_force_after_every_step() {
    let program = Program::new(env!("CARGO_BIN_EXE_firewall_apply"));
    let folder = program.folder();
    write(&folder, "10-ssh", "allow 22\n");
    write(&folder, "20-web", "allow 80\nallow 443\ndeny 8080\n");
    let said = program.says(&["apply", folder.to_str().expect("text")]);
    let steps: Vec<_> = said.lines().filter(|line| line.contains('%')).collect();
    assert!(steps.len() >= 3, "told live: {said}");
    let fraction = |line: &&str| -> u32 {
        let number = line.split('%').next().unwrap_or_default().trim().parse();
        number.unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let fractions: Vec<_> = steps.iter().map(fraction).collect();
    assert!(fractions.is_sorted(), "{said}");
    assert!(said.ends_with("4 rules are in force\n"), "{said}");
    assert_eq!(
        active(&folder),
        "allow 22\nallow 80\nallow 443\ndeny 8080\n"
    );
    assert!(!folder.join("staged").exists());
    // What it did stands in its log, whole.
    let id = program.says(&["jobs", "--ids"]);
    let log = program.says(&["logs", id.trim()]);
    let steps = "checking 10-ssh\nchecking 20-web\nstaging 10-ssh\nstaging 20-web\nswitching\n";
    assert_eq!(log, steps);
}

#[test]
fn a_mistake_changes_nothing_and_is_not_tried_again() {
    let program = Program::new(env!("CARGO_BIN_EXE_firewall_apply"));
    let folder = program.folder();
    let path = folder.to_str().expect("text");
    write(&folder, "10-ssh", "allow 22\n");
    program.says(&["apply", path]);
    write(&folder, "20-web", "allow 80\nallow 70000\n");
    let failed = program.run(&["apply", path]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = text(failed.stdout);
    assert!(said.contains("nothing changed: it failed"), "{said}");
    assert!(
        said.contains("20-web:2: no rule: \"allow 70000\""),
        "{said}"
    );
    assert_eq!(active(&folder), "allow 22\n");
    let jobs = program.json(&["jobs", "--state", "failed", "--json"]);
    assert_eq!(jobs[0]["attempt"], 1, "{jobs:#}");
}

/// Progress can be asked for from elsewhere, and stopping in the middle leaves the old rules.
#[test]
fn one_that_is_cancelled_in_the_middle_leaves_the_old_rules() {
    let program = Program::new(env!("CARGO_BIN_EXE_firewall_apply"));
    let folder = program.folder();
    write(&folder, "10-ssh", "allow 22\n");
    program.says(&["apply", folder.to_str().expect("text")]);
    write(&folder, "10-ssh", "deny 22\n");
    let slow = json!({ "folder": folder, "step_ms": 60_000 }).to_string();
    let id = program.says(&["notifydispatcher", "--detach", "firewall.apply", &slow]);
    let id = id.trim();
    let shown = || program.json(&["show", id, "--json"]);
    let progress = eventually("its first step", || {
        let shown: Value = shown();
        (!shown["progress"].is_null()).then(|| shown["progress"].clone())
    });
    assert!(
        progress.to_string().contains("checking 10-ssh"),
        "{progress}"
    );
    program.says(&["cancel", id]);
    eventually("its end", || {
        (shown()["state"] == "cancelled").then_some(())
    });
    assert_eq!(active(&folder), "allow 22\n");
}
