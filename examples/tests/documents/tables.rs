//! The tables of the README name exactly what there is, with the defaults and limits of the code.

use std::collections::BTreeMap;
use std::process::Command;

use dispatcher_core::limits;

const README: &str = include_str!("../../../README.md");
/// The message about an unknown option names them all; another test compares it with the derive's.
const ALL_OPTIONS: &str =
    include_str!("../../../dispatcher-core/tests/ui/unknown-option/nothing_near.stderr");

/// The cells of each table row, headings left out.
pub(crate) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = || text.lines();
    let is_ruled = |line: &str| line.starts_with("|--");
    let below = lines().skip(1).map(Some).chain([None]);
    lines()
        .zip(below)
        .filter(move |(line, below)| {
            line.starts_with('|') && !is_ruled(line) && !below.is_some_and(is_ruled)
        })
        .map(|(line, _)| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(str::trim).collect()
        })
}

fn section(title: &str) -> &'static str {
    let (_, from) = README
        .split_once(&format!("\n## {title}\n"))
        .unwrap_or_else(|| panic!("no section {title}"));
    from.split_once("\n## ")
        .map_or(from, |(section, _)| section)
}

fn names(title: &str) -> Vec<&'static str> {
    rows(section(title))
        .map(|cells| cells[0].trim_matches('`'))
        .collect()
}

fn says(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder for its state");
    let output = Command::new(env!("CARGO_BIN_EXE_my_custom_dispatcher"))
        .args(arguments)
        .env(
            "DISPATCHER_DATABASE_URL",
            format!("sqlite:{}/state.db", folder.path().display()),
        )
        .env_remove("DISPATCHER_CONFIG")
        .output()
        .expect("the example can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn options_are_those_of_the_derive() {
    let (_, list) = ALL_OPTIONS.split_once("there are ").expect("a list");
    let list = list.lines().next().expect("a line");
    assert_eq!(names("Options"), list.split(", ").collect::<Vec<_>>());
}

#[test]
fn defaults_are_those_of_the_code() {
    let page = says(&["list", "--markdown"]);
    let cell = |cell: &str| cell.trim_matches('`').to_owned();
    let told: BTreeMap<_, _> = rows(section("Options"))
        .map(|cells| (cell(cells[0]), cell(cells[1])))
        .collect();
    let mut compared = 0;
    // A field's row has three cells, and may be called like an option.
    for cells in rows(&page).filter(|cells| cells.len() == 2) {
        let Some(default) = told.get(&cell(cells[0])) else {
            continue;
        };
        assert_eq!(*default, cell(cells[1]), "{cells:?}");
        compared += 1;
    }
    assert!(compared > 20, "{compared} of {}", told.len());
}

#[test]
fn commands_are_those_of_the_help() {
    let help = says(&["--help"]);
    let (_, from) = help.split_once("Commands:\n").expect("a list");
    let (list, _) = from.split_once("\n\n").expect("an end");
    let own = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    // An application does not have what only the generic binary can do.
    let commands: Vec<_> = own.chain(["bench"]).collect();
    assert_eq!(names("Commands"), commands);
}

#[test]
fn limits_are_those_of_the_code() {
    let mib = |bytes: usize| format!("{} MiB of JSON", bytes >> 20);
    let kib = |bytes: usize| format!("{} KiB", bytes >> 10);
    let thousands = |number: u64| match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    };
    let limits = [
        mib(limits::PAYLOAD_BYTES_MAX),
        mib(limits::OUTPUT_BYTES_MAX),
        format!("{}, the rest is cut", kib(limits::PROGRESS_BYTES_MAX)),
        format!(
            "the first {} and the last {}",
            kib(limits::CAPTURE_HEAD_BYTES),
            kib(limits::CAPTURE_TAIL_BYTES)
        ),
        kib(limits::MESSAGE_BYTES_MAX),
        format!(
            "{} days, and {} per dispatcher; the newest output stays",
            limits::FINISHED_AGE_MAX.as_secs() / 86_400,
            thousands(limits::FINISHED_COUNT_MAX)
        ),
        thousands(limits::SNOOZES_MAX.into()),
        limits::LOST_RERUNS_MAX.to_string(),
        limits::MISSED_TICKS_MAX.to_string(),
    ];
    let told: Vec<_> = rows(section("Limits")).map(|cells| cells[1]).collect();
    assert_eq!(told, limits);
}
