//! The benchmark measures what it says, at any size, and leaves nothing behind.

use std::process::Command;

use dispatcher_tests::Size;

#[test]
fn every_figure_is_printed_as_a_ratio() {
    let directory = tempfile::tempdir().expect("a directory");
    let size = Size::get();
    let (rows, jobs): (u32, u32) = (size.pick(1_000, 100_000), size.pick(50, 2_000));
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--rows", &rows.to_string(), "--jobs", &jobs.to_string()])
        .arg("--directory")
        .arg(directory.path())
        .output()
        .expect("the benchmark can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for (what, beside) in [
        ("fork + _exit + wait, serial", "1.00 by definition"),
        ("exec of this binary + wait, serial", "1.00 by definition"),
        ("durable SQLite insert", "1.00 by definition"),
        ("idle -> running", "µs"),
        (&format!("{jobs} no-op jobs, forked"), "x fork"),
        (&format!("{} no-op jobs, exec'd", jobs / 10), "x exec"),
        ("max_queue 0, 1000 rows", "x a durable insert"),
        ("max_queue 1000000, 1000 rows", "x a durable insert"),
    ] {
        let line = text.lines().find(|line| line.contains(what));
        let line = line.unwrap_or_else(|| panic!("no figure of {what} in:\n{text}"));
        assert!(line.contains(beside), "{line}");
    }
    let left = std::fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 0, "the state is removed");
}
