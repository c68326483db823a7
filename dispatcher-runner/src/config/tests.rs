//! The configuration: places, precedence, and the words of every kind of error.

mod fuzz;
mod layers;
mod pools;
mod reference;
mod sources;
mod work;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dispatcher_core::{
    Backoff, DispatcherOptions, EnvPolicy, Isolation, Missed, OnDuplicate, Options, Registry,
    ScheduleOptions,
};

use super::*;

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    Surroundings {
        variables: variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        uid: 1000,
        passwd: "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n".to_owned(),
        directory: PathBuf::from("/srv/here"),
        system_config: PathBuf::from("/nowhere/etc"),
        system_state: PathBuf::from("/var/lib"),
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::new("app");
    config.read_text(text, Path::new("/etc/app/dispatcher.toml"))?;
    Ok(config)
}

fn problems(text: &str) -> String {
    read(text).unwrap_err().why()
}

#[test]
fn the_state_lies_where_the_environment_says() {
    for (variables, uid, expected) in [
        (
            vec![("XDG_STATE_HOME", "/s"), ("HOME", "/h")],
            1000,
            "/s/app/state.db",
        ),
        (
            vec![("XDG_STATE_HOME", "s"), ("HOME", "/h")],
            1000,
            "/h/.local/state/app/state.db",
        ),
        (
            vec![("XDG_STATE_HOME", "")],
            1000,
            "/home/ann/.local/state/app/state.db",
        ),
        (vec![("HOME", "/h")], 0, "/var/lib/app/state.db"),
        (vec![("XDG_STATE_HOME", "/s")], 0, "/s/app/state.db"),
    ] {
        let mut around = surroundings(&variables);
        around.uid = uid;
        let location = Config::new("app").store_in(&around).unwrap();
        assert_eq!(location.file(), Path::new(expected), "{variables:?}");
        assert_eq!(location.origin(), &Origin::Default);
        assert_eq!(location.directory(), Path::new(expected).parent().unwrap());
    }
}

#[test]
fn no_home_and_no_passwd_entry_is_said() {
    let mut around = surroundings(&[]);
    around.uid = 4711;
    let error = Config::new("app").store_in(&around).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no place for the state of app: HOME is not set and user 4711 is not in /etc/passwd"
    );
    assert!(error.advice().contains("XDG_STATE_HOME"));
}

#[test]
fn the_variable_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    fs::write(&file, "version = 1\n[store]\nurl = \"sqlite:data/a.db\"\n").unwrap();
    let named = file.to_str().unwrap();
    let around = surroundings(&[("DISPATCHER_CONFIG", named)]);
    let config = Config::load("app", &around, Search::default()).unwrap();
    let location = config.store_in(&around).unwrap();
    assert_eq!(location.file(), folder.path().join("data/a.db"));
    let shown = format!(
        "{}/data/a.db (config file {named} line 3)",
        folder.path().display()
    );
    assert_eq!(location.to_string(), shown);

    let both = [
        ("DISPATCHER_CONFIG", named),
        ("DISPATCHER_DATABASE_URL", "sqlite:b.db"),
    ];
    let around = surroundings(&both);
    let config = Config::load("app", &around, Search::default()).unwrap();
    let location = config.store_in(&around).unwrap();
    assert_eq!(
        location.to_string(),
        "/srv/here/b.db (DISPATCHER_DATABASE_URL)"
    );
}

#[test]
fn urls_are_understood_or_refused_with_advice() {
    for (url, expected) in [
        ("sqlite:/a/b.db", "/a/b.db"),
        ("sqlite:///a/b.db", "/a/b.db"),
        ("sqlite://b.db", "/srv/here/b.db"),
        ("sqlite:b%20c.db", "/srv/here/b c.db"),
    ] {
        let around = surroundings(&[("DISPATCHER_DATABASE_URL", url)]);
        let config = Config::load("app", &around, Search::default()).unwrap();
        let location = config.store_in(&around).unwrap();
        assert_eq!(location.file(), Path::new(expected), "{url}");
    }
    for (url, expected) in [
        ("mysql:x", "there is no store for `mysql:` URLs"),
        ("/a/b.db", "`/a/b.db` is no URL"),
        ("sqlite:", "`sqlite:` names no file"),
        ("sqlite:/a/", "`sqlite:/a/` names no file"),
        (
            "sqlite::memory:",
            "a state in memory cannot be shared with the processes of jobs",
        ),
        ("sqlite:/a?mode=ro", "`?mode=ro` is not understood"),
        ("sqlite:/a%zz", "`sqlite:/a%zz` has a bad % escape"),
    ] {
        let around = surroundings(&[("DISPATCHER_DATABASE_URL", url)]);
        let error = Config::load("app", &around, Search::default()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("used: {expected}")));
        assert!(!error.advice().is_empty());
        assert!(!format!("{error} {}", error.why()).contains("secret"));
    }
}

#[test]
fn files_are_searched_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut around = surroundings(&[("XDG_CONFIG_HOME", root.join("xdg").to_str().unwrap())]);
    around.directory = root.join("work");
    around.system_config = root.join("etc");
    let generic = Search {
        explicit: None,
        env_file: None,
        working_directory: WorkingDirectory::Searched,
    };
    assert_eq!(around.config_file("app", generic), None);
    for (place, search) in [
        ("etc/app/dispatcher.toml", Search::default()),
        ("xdg/app/dispatcher.toml", Search::default()),
        ("work/dispatcher.toml", generic),
    ] {
        let path = root.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(around.config_file("app", search), Some(path));
    }
    let own = around.config_file("app", Search::default()).unwrap();
    assert_eq!(own, root.join("xdg/app/dispatcher.toml"));
    let explicit = Search {
        explicit: Some(Path::new("x.toml")),
        ..generic
    };
    let named = around.config_file("app", explicit);
    assert_eq!(named, Some(root.join("work/x.toml")));
}

#[test]
fn a_named_file_must_exist() {
    let around = surroundings(&[("DISPATCHER_CONFIG", "/nowhere/x.toml")]);
    let error = Config::load("app", &around, Search::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /nowhere/x.toml"
    );
    assert_eq!(error.why(), "No such file or directory (os error 2)");
}

#[test]
fn names_of_applications_are_folders() {
    for name in ["", ".", "..", "a/b", ".hidden", "a\nb"] {
        let error = Config::load(name, &surroundings(&[]), Search::default()).unwrap_err();
        assert!(matches!(error, ConfigError::AppName { .. }), "{name:?}");
    }
}

#[test]
fn everything_can_be_written_in_a_file() {
    let config = read(FULL).unwrap();
    assert_eq!(config.app(), "renamed");
    assert_eq!(config.program(), Some(Path::new("/etc/app/./myapp")));
    assert_eq!(config.retention_age(), Duration::from_secs(86_400));
    assert_eq!(config.retention_count(), 5);
    assert_eq!(config.workers(), Some(4));
    assert_eq!(config.queues(), ["a", "b"]);
    let mut job = Options::default();
    let mut dispatcher = DispatcherOptions::default();
    config.apply("Other", &mut job, &mut dispatcher);
    assert_eq!(job, Options::default());
    config.apply("Backup", &mut job, &mut dispatcher);
    let expected = Options {
        timeout: None,
        grace: Duration::from_millis(1500),
        queue: "slow".into(),
        expires: Some(Duration::from_secs(3600)),
        retries: 3,
        backoff: Backoff::Linear {
            step: Duration::from_secs(5),
            max: Duration::from_secs(600),
        },
        on_lost: dispatcher_core::OnLost::Fail,
        priority: -2,
        delay: Some(Duration::from_secs(1)),
        required_packages: vec!["curl".into()],
        required_commands: vec!["jq".into(), "curl".into()],
        package_includes: vec!["libm.so.6".into()],
        isolation: Isolation::Exec,
        memory_limit: Some(512 << 20),
        cpu_limit: Some(Duration::from_secs(60)),
        open_files: Some(64),
        nice: Some(10),
        env: EnvPolicy::Only(vec!["PATH".into()]),
        working_directory: Some("/srv".into()),
        leftovers: dispatcher_core::Leftovers::Kill,
        ..Options::default()
    };
    assert_eq!(job, expected);
    let schedule = ScheduleOptions {
        expression: "0 3 * * *".into(),
        timezone: "Europe/Berlin".into(),
        missed: Missed::All,
        overlap: dispatcher_core::Overlap::Queue,
        jitter: Duration::from_secs(30),
    };
    let expected = DispatcherOptions {
        max_queue: 0,
        concurrency: 2,
        on_duplicate: OnDuplicate::QueueOne,
        schedule: Some(schedule),
    };
    assert_eq!(dispatcher, expected);
}

#[test]
fn every_option_is_exercised_by_the_full_file() {
    for name in options::names() {
        let line = format!("\n{name} = ");
        assert!(FULL.contains(&line), "{name} is missing in FULL");
    }
}

#[test]
fn a_schedule_can_be_taken_away() {
    let config =
        read("version = 1\n[dispatchers.A]\ntimezone = \"UTC\"\nschedule = false\n").unwrap();
    let mut dispatcher = DispatcherOptions {
        schedule: Some(ScheduleOptions::default()),
        ..DispatcherOptions::default()
    };
    config.apply("A", &mut Options::default(), &mut dispatcher);
    assert_eq!(dispatcher.schedule, None);
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = "\
version = 2
top = 1
[store]
ulr = \"sqlite:/x\"
url = \"mysql://u:p@h/db\"
[store.retention]
age = \"7 weeks\"
count = -1
[app]
name = \"a/b\"
program = 3
[service]
workers = 0
queues = [\"a\", 1]
[aliases]
\"x\" = \"\"
[dispatchers.Backup]
timeuot = 5
timeout = \"5 minutes\"
isolation = \"proces\"
unique_key = \"k\"
retries = 1.5
nice = 20
working_directory = \"here\"
backoff = \"exponential(1h, 1s)\"
";
    let expected = "\
line 1: `version` is not 1, the only one that this program reads; write `version = 1`, or run a newer program
line 2: unknown key `top` at the top; known are version, app, store, aliases, service, log, remote, pools, dispatchers, sources
line 4: unknown key `ulr` in [store]; did you mean `url`?
line 5: there is no store for `mysql:` URLs; write sqlite:/path/state.db
line 7: `age` takes whole seconds or a duration such as \"5m\" (w, d, h, m, s, ms), not \"7 weeks\"
line 8: `count` takes a whole number from 0 on, not -1
line 10: \"a/b\" cannot be the name of an application: it names the folder of its state; use a plain word such as `myapp`
line 11: `program` takes a text, not a number; put it in quotes
line 13: `workers` takes a whole number from 1 on, not 0
line 14: `queues` cannot be a list; write a text, a whole number, true, false or a list of texts
line 16: `x` takes a text, not an empty text; put it in quotes
line 18: unknown option `timeuot`; did you mean `timeout`?
line 19: `timeout` takes whole seconds or a duration such as \"5m\" (w, d, h, m, s, ms), not \"5 minutes\"
line 20: `isolation` takes \"process\", \"exec\", \"pool\", not \"proces\"; did you mean \"process\"?
line 21: `unique_key` is no option of a section; it is given with each job
line 22: `retries` cannot be a number with a fraction; write a text, a whole number, true, false or a list of texts
line 23: `nice` takes a whole number from -20 to 19, not 20
line 24: `working_directory` takes an absolute path, not \"here\"
line 25: `backoff` takes \"constant(5s)\", \"linear(5s, 10m)\" or \"exponential(1s, 1h)\", the longest delay last, not \"exponential(1h, 1s)\"";
    assert_eq!(problems(text), expected);
    let headline = read(text).unwrap_err().to_string();
    assert_eq!(headline, "/etc/app/dispatcher.toml has 19 problems");
}

#[test]
fn syntax_errors_come_with_the_others() {
    let text = "version = 1\n[store\nurl = \"sqlite:/x\"\n[app]\nnmae = \"x\"\n";
    let told = problems(text);
    assert!(told.contains("line 2: "), "{told}");
    assert!(
        told.contains("line 5: unknown key `nmae` in [app]; did you mean `name`?"),
        "{told}"
    );
}

#[test]
fn the_version_must_be_there() {
    assert_eq!(
        problems(""),
        "line 1: `version` is missing; write `version = 1` as the first line"
    );
}

#[test]
fn a_section_that_is_no_table_is_said() {
    assert_eq!(
        problems("version = 1\nstore = \"x\"\n"),
        "line 2: `store` is a text; write it as a section: [store]"
    );
}

#[test]
fn a_refused_file_changes_nothing() {
    let mut config = Config::new("app");
    let text = "version = 1\n[app]\nname = \"other\"\nnmae = 1\n";
    config.read_text(text, Path::new("/x")).unwrap_err();
    assert_eq!(config.app(), "app");
    assert_eq!(config.file(), None);
}

#[test]
fn sections_and_aliases_must_name_dispatchers() {
    let text =
        "version = 1\n[aliases]\n\"mail\" = \"SendMail\"\n[dispatchers.Backupp]\nretries = 1\n";
    let error = read(text)
        .unwrap()
        .resolve(Registry::default())
        .unwrap_err();
    let ConfigError::Problems { problems, .. } = &error else {
        panic!("{error:?}")
    };
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(3), Some(4)]);
}

#[test]
fn options_in_code_are_checked() {
    let error = Config::new("app")
        .with_option("A", "timeout", true)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "an option of A is wrong: `timeout` takes whole seconds or a duration such as \"5m\" \
         (w, d, h, m, s, ms), not true"
    );
}

const FULL: &str = r#"
version = 1
[app]
name = "renamed"
program = "./myapp"
[store]
url = "sqlite:/x/state.db"
[store.retention]
age = "1d"
count = 5
[aliases]
"App\\Jobs\\Backup" = "Backup"
[service]
workers = 4
queues = ["a", "b"]
[dispatchers.Backup]
timeout = 0
grace = "1s500ms"
max_queue = 0
concurrency = 2
queue = "slow"
expires = "1h"
schedule = "0 3 * * *"
timezone = "Europe/Berlin"
missed = "all"
overlap = "queue"
jitter = 30
on_duplicate = "queue_one"
retries = 3
backoff = "linear(5s, 10m)"
on_lost = "fail"
priority = -2
delay = 1
required_packages = "curl"
required_commands = ["jq", "curl"]
package_includes = "libm.so.6"
isolation = "exec"
memory_limit = "512MiB"
cpu_limit = "1m"
open_files = 64
nice = 10
env = ["PATH"]
working_directory = "/srv"
leftovers = "kill"
"#;

#[test]
fn labels_of_the_service_are_labels() {
    let long = "x".repeat(129);
    for label in ["a b", "a,b", "a\\n", &long] {
        let told = problems(&format!(
            "version = 1\n[service]\nqueues = [\"ok\", \"{label}\"]\n"
        ));
        assert!(
            told.starts_with("line 3: `queues` takes labels, not "),
            "{told}"
        );
    }
    for label in ["", "a b", "a,b", &long] {
        let config = Config::new("app").with_queues(["ok", label]);
        let error = config.resolve(Registry::default()).unwrap_err();
        let ConfigError::Problems { problems, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(problems[0].what.starts_with("the service cannot claim"));
    }
    let config = Config::new("app").with_queues(["ok", "fine"]);
    assert!(config.resolve(Registry::default()).is_ok());
}
