//! The file of defaults and the page say what the reader knows, and no more.

use std::path::Path;

use super::*;
use crate::config::keys::{PLAIN, Preset};
use crate::config::options::OPTIONS;
use crate::config::pools::POOL;
use crate::config::work::WORK;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// Every example of the file of defaults as if somebody had wanted them all.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    default_file().lines().map(line).collect()
}

fn values(config: &Config) -> Vec<(String, serde_json::Value)> {
    let location = StoreLocation::new("/x/state.db".into(), Origin::Default);
    let shown = config.shown(&location).into_iter();
    shown.map(|shown| (shown.key, shown.value)).collect()
}

#[test]
fn the_file_of_defaults_changes_nothing() {
    let config = read(&default_file()).unwrap_or_else(|error| panic!("{}", error.why()));
    assert_eq!(values(&config), values(&Config::new("app")));
    let location = StoreLocation::new("/x/state.db".into(), Origin::Default);
    for shown in config.shown(&location) {
        assert_eq!(shown.origin, Origin::Default, "{}", shown.key);
    }
    config.resolve(Registry::default()).unwrap();
}

#[test]
fn every_example_can_be_written() {
    let text = uncommented();
    let config = read(&text).unwrap_or_else(|error| panic!("{}\n{text}", error.why()));
    assert_eq!(config.pools().len(), 1);
    assert_eq!(config.configured().len(), 1);
    assert_eq!(config.sources().count(), 1);
    assert_eq!(config.aliases.len(), 1);
    let given = config.overrides["SendMail"].given();
    let given: Vec<_> = given.map(|(name, _)| name).collect();
    assert_eq!(given, options::names());
}

#[test]
fn what_is_said_to_be_the_default_is() {
    let (default, config) = (Config::new("app"), read(&uncommented()).unwrap());
    let mut compared = 0;
    for (section, keys) in PLAIN {
        for key in *keys {
            if let Preset::Is(value) = key.preset {
                let same = (key.show)(&config) == (key.show)(&default);
                assert!(same, "{section:?} {} = {value}", key.name);
                compared += 1;
            }
        }
    }
    let default = PoolConfig::default();
    for key in POOL {
        if let Preset::Is(value) = key.preset {
            let same = (key.show)(&config.pools["php"]) == (key.show)(&default);
            assert!(same, "{} = {value}", key.name);
            compared += 1;
        }
    }
    let mut overrides = Overrides::default();
    for option in OPTIONS {
        if let Preset::Is(value) = option.preset {
            let table: toml::Table = format!("it = {value}").parse().unwrap();
            let value = match &table["it"] {
                toml::Value::Integer(number) => OptionValue::from(*number),
                other => OptionValue::from(other.as_str().unwrap()),
            };
            overrides.set(option.name, value).unwrap();
            compared += 1;
        }
    }
    let (mut job, mut dispatcher) = (Options::default(), DispatcherOptions::default());
    dispatcher.schedule = Some(ScheduleOptions::default());
    let expected = (job.clone(), dispatcher.clone());
    overrides.apply(&mut job, &mut dispatcher);
    assert_eq!((job, dispatcher), expected);
    assert!(compared > 25, "{compared}");
}

#[test]
fn every_key_is_in_both() {
    let (file, page) = (default_file(), page());
    let plain = PLAIN
        .iter()
        .flat_map(|(_, keys)| keys.iter().map(|key| key.name));
    let names = plain
        .chain(POOL.iter().map(|key| key.name))
        .chain(WORK.iter().map(|key| key.name))
        .chain(options::names());
    for name in names {
        assert!(
            page.contains(&format!("\n| `{name}` | ")),
            "{name} is not on the page"
        );
        let is_there = [format!("\n#{name} = "), format!(": {name} = ")];
        assert!(
            is_there.iter().any(|line| file.contains(line)),
            "{name} is not in the file"
        );
    }
    for section in crate::config::reference::ROOT {
        let heads = [
            format!("\n[{section}]"),
            format!("\n#[{section}."),
            format!("\n{section} = 1"),
        ];
        assert!(heads.iter().any(|head| file.contains(head)), "{section}");
    }
    for variable in crate::config::reference::variables() {
        assert!(page.contains(&format!("{variable}`")), "{variable}");
    }
    for line in file.lines() {
        assert!(line.chars().count() <= 110, "{line}");
    }
}

#[test]
fn the_page_of_the_documentation_is_this_one() {
    assert!(
        PAGE == page(),
        "docs/configuration.md is old; renew it: {}",
        crate::config::reference::RENEW
    );
}

/// With a secret at every place where one may be.
const WITH_SECRETS: &str = r#"version = 1
[store]
url = "sqlite:/x/y.db"
[aliases]
"certs.renew" = "Renew"
[pools.php]
command = ["php", "w.php"]
num_workers = 2
env = { TOKEN_OF_X = "hidden-1" }
[pools.wide]
min_workers = 1
max_workers = 3
[dispatchers.Dump]
command = ["dump", "postgres://ann:hidden-2@h/db"]
env = { PASS = "hidden-3" }
timeout = "1m"
[sources.ticker]
interval = "1s"
api_token = "hidden-4"
since = 2026-01-01
[sources.ticker.auth]
Password = "hidden-5"
url = "https://ann:hidden-6@host:1/x?y&db_password=hidden-8&z=1"
[sources.ticker.pool]
env = { A = "hidden-7" }
[sources.plain]
"#;

const SHOWN: &[(&str, &str, usize)] = &[
    ("store.url", "\"sqlite:/x/y.db\"", 3),
    ("service.workers", "(twice the number of CPUs)", 0),
    ("aliases.\"certs.renew\"", "\"Renew\"", 5),
    ("pools.php.workers", "2", 8),
    ("pools.php.working_directory", "\"/etc/app\"", 0),
    ("pools.php.env", "{ TOKEN_OF_X = \"***\" }", 9),
    ("pools.php.ttl", "(none)", 0),
    ("pools.php.spawn_timeout", "\"1m\"", 0),
    ("pools.wide.min_workers", "1", 11),
    ("pools.wide.max_workers", "3", 12),
    (
        "dispatchers.Dump.command",
        "[\"dump\", \"postgres://ann:***@h/db\"]",
        14,
    ),
    ("dispatchers.Dump.payload", "\"none\"", 0),
    ("dispatchers.Dump.env", "{ PASS = \"***\" }", 15),
    ("dispatchers.Dump.timeout", "\"1m\"", 16),
    ("sources.ticker.interval", "\"1s\"", 18),
    ("sources.ticker.api_token", "\"***\"", 19),
    ("sources.ticker.since", "\"2026-01-01\"", 20),
    (
        "sources.ticker.auth",
        "{ Password = \"***\", url = \"https://ann:***@host:1/x?y&db_password=***&z=1\" }",
        21,
    ),
    ("sources.ticker.pool.mode", "\"ticker\"", 0),
    ("sources.plain", "(its defaults)", 26),
];

#[test]
fn every_value_is_shown_with_its_origin_and_no_secret() {
    let config = read(WITH_SECRETS).unwrap();
    let location = config.store_in(&surroundings(&[])).unwrap();
    let shown = config.shown(&location);
    let all = format!("{shown:?}");
    assert!(!all.contains("hidden"), "{all}");
    let find = |key: &str| {
        let found = shown.iter().find(|shown| shown.key == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {all}"));
        (found.text(), found.origin.line().unwrap_or(0))
    };
    for (key, text, line) in SHOWN {
        assert_eq!(find(key), ((*text).to_owned(), *line), "{key}");
    }
    for absent in [
        "pools.php.num_workers",
        "pools.php.max_workers",
        "dispatchers.Dump.pool",
    ] {
        assert!(!shown.iter().any(|shown| shown.key == absent), "{absent}");
    }
    assert_eq!(config.file(), Some(Path::new("/etc/app/dispatcher.toml")));
}
