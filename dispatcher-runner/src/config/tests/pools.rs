//! `[pools.NAME]`: every key, every mistake.

use std::path::Path;
use std::time::Duration;

use super::*;

fn pool(section: &str) -> PoolConfig {
    let text = format!("version = 1\n[pools.p]\n{section}\n");
    match read(&text) {
        Ok(config) => config.pools()["p"].clone(),
        Err(error) => panic!("{section}\n{}", error.why()),
    }
}

fn told(section: &str) -> String {
    problems(&format!("version = 1\n[pools.p]\n{section}\n"))
}

#[test]
fn every_key_is_read() {
    let text = r#"
command = ["./bin/worker", "a b"]
mode = "mail"
min_workers = 0
max_workers = 8
prefetch = 8
max_jobs = 100
ttl = "1h"
idle_ttl = 300
max_memory = "64MiB"
spawn_timeout = "5s"
queue_timeout = "30s"
exec_timeout = "2m"
stop_timeout = 0
drain_timeout = "1m30s"
max_frame = "1MiB"
env = { APP_ENV = "production", EMPTY = "" }
user = "www-data"
working_directory = "/srv/app"
"#;
    for key in crate::config::pools::POOL {
        let is_other_name = ["workers", "num_workers"].contains(&key.name);
        assert!(is_other_name || text.contains(&format!("\n{} =", key.name)));
    }
    let expected = PoolConfig {
        command: vec!["/etc/app/./bin/worker".to_owned(), "a b".to_owned()],
        mode: "mail".to_owned(),
        min_workers: 0,
        max_workers: 8,
        prefetch: 8,
        max_jobs: 100,
        ttl: Some(Duration::from_secs(3600)),
        idle_ttl: Some(Duration::from_secs(300)),
        max_memory: Some(64 << 20),
        spawn_timeout: Duration::from_secs(5),
        queue_timeout: Some(Duration::from_secs(30)),
        exec_timeout: Some(Duration::from_secs(120)),
        stop_timeout: Duration::ZERO,
        drain_timeout: Duration::from_secs(90),
        max_frame: 1 << 20,
        env: [("APP_ENV", "production"), ("EMPTY", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        user: Some("www-data".to_owned()),
        working_directory: Some("/srv/app".to_owned()),
    };
    assert_eq!(pool(text), expected);
}

#[test]
fn an_empty_section_is_the_default() {
    assert_eq!(pool(""), PoolConfig::default());
}

#[test]
fn zero_takes_a_limit_away() {
    for zero in ["0", "\"0\"", "\"0s\""] {
        for key in ["ttl", "idle_ttl", "queue_timeout", "exec_timeout"] {
            let pool = pool(&format!("{key} = {zero}"));
            let of_key = [pool.ttl, pool.idle_ttl, pool.queue_timeout];
            assert_eq!(of_key, [None; 3], "{key}");
            assert_eq!(pool.exec_timeout.is_none(), key == "exec_timeout");
        }
    }
    for zero in ["0", "\"0\""] {
        assert_eq!(pool(&format!("max_memory = {zero}")).max_memory, None);
    }
}

#[test]
fn workers_are_a_number_or_two() {
    let cpus = PoolConfig::default().max_workers;
    for (section, min, max) in [
        ("workers = 3", 3, 3),
        ("num_workers = 3", 3, 3),
        ("min_workers = 1\nmax_workers = 4", 1, 4),
        ("min_workers = 0\nmax_workers = 1", 0, 1),
        ("max_workers = 1", cpus.min(1), 1),
        ("min_workers = 1000", 1000, 1000),
        ("min_workers = 0", 0, cpus),
    ] {
        let pool = pool(section);
        assert_eq!(
            (pool.min_workers, pool.max_workers),
            (min, max),
            "{section}"
        );
    }
}

#[test]
fn a_command_begins_beside_the_file() {
    let with = pool("command = [\"php\", \"worker.php\"]");
    assert_eq!(with.command, ["php", "worker.php"]);
    assert_eq!(with.working_directory.as_deref(), Some("/etc/app"));
    assert_eq!(pool("").working_directory, None);
}

const MISTAKES: &[(&str, &str)] = &[
    (
        "command = \"php worker.php\"",
        "line 3: `command` takes a list: program and arguments, each a text of its own, such as \
             [\"php\", \"worker.php\"]; a text would need a shell, and there is none; write \
             [\"php\", \"worker.php\"]",
    ),
    ("command = []", "not []"),
    (
        "command = [\"\"]",
        "line 3: `command` begins with an empty text",
    ),
    (
        "command = [\"a\\u0000\"]",
        "line 3: `command` has a zero byte",
    ),
    ("command = [1]", "line 3: `command` cannot be a list"),
    (
        "workers = 0",
        "line 3: `workers` takes a whole number from 1 on, not 0",
    ),
    (
        "workers = \"2\"",
        "line 3: `workers` takes a whole number from 1 on, not \"2\"",
    ),
    (
        "workers = 2\nmin_workers = 1",
        "line 2: `workers` sets both ends, and `min_workers` and `max_workers` each one; keep \
             `workers` for a fixed number, or the two others for one that changes",
    ),
    (
        "workers = 2\nnum_workers = 2",
        "line 4: `num_workers` and `workers` are two names of one key; keep one of them",
    ),
    (
        "min_workers = 5\nmax_workers = 4",
        "line 2: `min_workers` is 5 and `max_workers` is 4; the smaller one comes first",
    ),
    (
        "max_workers = 0",
        "line 3: `max_workers` takes a whole number from 1 on, not 0",
    ),
    (
        "min_workers = -1",
        "line 3: `min_workers` takes a whole number from 0 on, not -1",
    ),
    (
        "max_jobs = 1.5",
        "line 3: `max_jobs` cannot be a number with a fraction",
    ),
    (
        "ttl = \"soon\"",
        "line 3: `ttl` takes whole seconds or a duration",
    ),
    ("spawn_timeout = 0", "line 3: `spawn_timeout` cannot be 0"),
    ("max_memory = \"64M\"", "line 3: `max_memory` takes bytes"),
    ("max_frame = 1023", "line 3: `max_frame` is from 1KiB"),
    ("max_frame = \"4GiB\"", "line 3: `max_frame` is from 1KiB"),
    ("env = [\"A\"]", "line 3: `env` takes a table of texts"),
    (
        "env = { A = 1 }",
        "line 3: `env` cannot be a table with anything but texts in it",
    ),
    (
        "env = { \"A=B\" = \"1\" }",
        "line 3: `env` cannot set \"A=B\"",
    ),
    (
        "env = { A = \"\\u0000\" }",
        "line 3: `env` cannot set \"A\"",
    ),
    (
        "user = \"\"",
        "line 3: `user` takes the name or number of a user",
    ),
    (
        "working_directory = \"srv\"",
        "line 3: `working_directory` takes an absolute path",
    ),
    (
        "mode = 3",
        "line 3: `mode` takes a text, not a number; put it in quotes",
    ),
    (
        "wokers = 2",
        "line 3: unknown key `wokers` in [pools.p]; did you mean `workers`?",
    ),
];

#[test]
fn mistakes_are_told_with_what_to_write() {
    for (section, expected) in MISTAKES {
        let told = told(section);
        assert!(told.contains(expected), "{section}\n{told}");
        assert_eq!(told.lines().count(), 1, "{section}\n{told}");
    }
}

#[test]
fn names_of_pools_are_plain_words() {
    let long = "x".repeat(65);
    for name in ["\"\"", "\"a b\"", "\"é\"", "\"a.b\"", "\"a/b\"", &long] {
        let told = problems(&format!("version = 1\n[pools.{name}]\nworkers = 1\n"));
        assert!(
            told.starts_with("line 2: a pool cannot be called "),
            "{told}"
        );
    }
    let fine = format!(
        "version = 1\n[pools.{}]\n[pools.A-z_9]\n[pools.default]\n",
        "x".repeat(64)
    );
    assert_eq!(read(&fine).unwrap().pools().len(), 3);
}

#[test]
fn pools_of_code_are_held_to_the_same_rules() {
    let good = PoolConfig::default();
    let resolve = |name: &str, pool: PoolConfig| {
        let config = Config::new("app").with_pool(name, pool);
        config
            .resolve(Registry::default())
            .map(drop)
            .map_err(|error| error.why())
    };
    assert_eq!(resolve("p", good.clone()), Ok(()));
    type Change = fn(&mut PoolConfig);
    let changes: [(&str, Change); 9] = [
        ("`max_workers`", |it| {
            (it.min_workers, it.max_workers) = (0, 0)
        }),
        ("`min_workers` is", |it| {
            (it.min_workers, it.max_workers) = (2, 1)
        }),
        ("`max_frame`", |it| it.max_frame = 10),
        ("`spawn_timeout`", |it| it.spawn_timeout = Duration::ZERO),
        ("`command`", |it| it.command = vec![String::new()]),
        ("`env`", |it| {
            drop(it.env.insert(String::new(), String::new()))
        }),
        ("`user`", |it| it.user = Some(String::new())),
        ("`working_directory`", |it| {
            it.working_directory = Some("a".to_owned())
        }),
        ("`mode`", |it| it.mode = "\0".to_owned()),
    ];
    for (word, change) in changes {
        let mut pool = good.clone();
        change(&mut pool);
        let why = resolve("p", pool).unwrap_err();
        assert!(
            why.starts_with("pool \"p\": ") && why.contains(word),
            "{why}"
        );
    }
    assert!(
        resolve("a b", good.clone())
            .unwrap_err()
            .contains("cannot be called")
    );
    let mut pool = good;
    (pool.ttl, pool.max_memory) = (Some(Duration::ZERO), Some(0));
    let config = Config::new("app").with_pool("p", pool);
    assert_eq!(
        (config.pools()["p"].ttl, config.pools()["p"].max_memory),
        (None, None)
    );
    assert_eq!(config.file(), None::<&Path>);
}
