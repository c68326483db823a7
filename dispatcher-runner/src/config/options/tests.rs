//! Values of options: the ends that are taken, and what lies beyond.

use super::*;

fn set(name: &str, value: impl Into<OptionValue>) -> Result<Overrides, String> {
    let mut overrides = Overrides::default();
    overrides.set(name, value.into()).map(|()| overrides)
}

fn list(items: &[&str]) -> OptionValue {
    OptionValue::List(items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn the_ends_of_each_option_are_taken() {
    let whole_century = 36_500 * 86_400;
    for (name, value) in [
        ("timeout", OptionValue::from(0)),
        ("timeout", OptionValue::from(whole_century)),
        ("timeout", OptionValue::from("36500d")),
        ("grace", OptionValue::from(0)),
        ("max_queue", OptionValue::from(0)),
        ("max_queue", OptionValue::from(i64::from(u32::MAX))),
        ("concurrency", OptionValue::from(i64::from(u32::MAX))),
        ("retries", OptionValue::from(i64::from(u32::MAX))),
        ("priority", OptionValue::from(i64::from(i32::MIN))),
        ("priority", OptionValue::from(i64::from(i32::MAX))),
        ("nice", OptionValue::from(-20)),
        ("nice", OptionValue::from(19)),
        ("open_files", OptionValue::from(i64::MAX)),
        ("memory_limit", OptionValue::from(1)),
        ("memory_limit", OptionValue::from(i64::MAX)),
        ("cpu_limit", OptionValue::from("1ms")),
        ("queue", OptionValue::from(7)),
        ("queue", OptionValue::from("é-1/x")),
        ("backoff", OptionValue::from("constant(0s)")),
        ("backoff", OptionValue::from("exponential(36500d, 36500d)")),
        ("env", list(&[])),
        ("required_packages", list(&[])),
        ("working_directory", OptionValue::from("/")),
    ] {
        let shown = format!("{name} = {value:?}");
        if let Err(why) = set(name, value) {
            panic!("{shown}: {why}");
        }
    }
}

#[test]
fn what_lies_beyond_is_refused() {
    for (name, value) in [
        ("timeout", OptionValue::from(36_500 * 86_400 + 1)),
        ("timeout", OptionValue::from(i64::MAX)),
        ("timeout", OptionValue::from("36501d")),
        ("timeout", OptionValue::from(-1)),
        ("grace", OptionValue::from("")),
        ("max_queue", OptionValue::from(i64::from(u32::MAX) + 1)),
        ("concurrency", OptionValue::from(-1)),
        ("concurrency", OptionValue::from("2")),
        ("retries", OptionValue::from(i64::from(u32::MAX) + 1)),
        ("priority", OptionValue::from(i64::from(i32::MAX) + 1)),
        ("priority", OptionValue::from(i64::from(i32::MIN) - 1)),
        ("nice", OptionValue::from(20)),
        ("nice", OptionValue::from(-21)),
        ("open_files", OptionValue::from(0)),
        ("memory_limit", OptionValue::from(0)),
        ("memory_limit", OptionValue::from("512M")),
        ("queue", OptionValue::from("")),
        ("queue", OptionValue::from("a,b")),
        ("queue", OptionValue::from("a b")),
        ("backoff", OptionValue::from("linear(2s, 1s)")),
        ("backoff", OptionValue::from("constant(36501d)")),
        ("on_duplicate", OptionValue::from("Serial")),
        ("on_lost", OptionValue::from("")),
        ("leftovers", OptionValue::from(true)),
        ("env", list(&["A=1"])),
        ("env", list(&[""])),
        ("required_packages", list(&["a", " "])),
        ("required_commands", OptionValue::from("a\0b")),
        ("package_includes", list(&["\0"])),
        ("working_directory", OptionValue::from("srv")),
        ("working_directory", OptionValue::from("/a\0b")),
    ] {
        let shown = format!("{name} = {value:?}");
        let why = set(name, value).map(drop).expect_err(&shown);
        assert!(
            why.starts_with(&format!("`{name}` takes ")),
            "{shown}: {why}"
        );
    }
}

/// Whatever a configuration takes, a job may have: nothing is refused only when it is sent.
#[test]
fn what_is_taken_can_be_sent() {
    let zero = OptionValue::from(0);
    for name in ["timeout", "grace", "expires", "delay", "cpu_limit"] {
        let overrides = set(name, zero.clone()).unwrap();
        let mut job = Options::default();
        overrides.apply(&mut job, &mut DispatcherOptions::default());
        assert_eq!(super::super::checked(job.clone()), Ok(job), "{name}");
    }
}
