//! The layers, the env file, and where a value came from.

use std::path::Path;

use super::*;

/// A folder with a configuration file and an env file.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(config: &str, env: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.toml"), config).unwrap();
        fs::write(folder.path().join(".env"), env).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let (config, env_file) = (self.path("c.toml"), self.path(".env"));
        let search = Search {
            explicit: Some(&config),
            env_file: Some(&env_file),
            ..Search::default()
        };
        Config::load("app", &surroundings(variables), search)
    }

    fn why(&self, variables: &[(&str, &str)]) -> String {
        let error = self.load(variables).unwrap_err();
        let folder = self.folder.path().display().to_string();
        format!("{error}\n{}", error.why()).replace(&folder, "")
    }
}

#[test]
fn each_layer_counts_more_than_the_one_below() {
    let file = "version = 1\n[service]\nworkers = 1\nqueues = [\"a\"]\ndrain_timeout = 1\n\
                [log]\nlevel = \"error\"\n";
    let files = Files::new(file, "DISPATCHER_WORKERS=2\nDISPATCHER_QUEUES='b, c'\n");
    let config = files
        .load(&[("DISPATCHER_WORKERS", "3"), ("DISPATCHER_QUEUES", "")])
        .unwrap();
    assert_eq!(config.workers(), Some(3));
    assert_eq!(config.queues(), ["b", "c"]);
    assert_eq!(config.drain_timeout(), Duration::from_secs(1));
    assert_eq!(config.log_format(), LogFormat::Text);
    let origin = |parts: &[&str]| config.origins.of(parts);
    assert_eq!(
        origin(&["service", "workers"]),
        Origin::Variable("DISPATCHER_WORKERS")
    );
    let (path, line) = (files.path(".env"), 2);
    assert_eq!(
        origin(&["service", "queues"]),
        Origin::EnvFile { path, line }
    );
    let (path, line) = (files.path("c.toml"), 5);
    assert_eq!(
        origin(&["service", "drain_timeout"]),
        Origin::File { path, line }
    );
    assert_eq!(origin(&["log", "format"]), Origin::Default);
    let mut config = config;
    let five = OptionValue::from(5);
    config
        .set_by_flag(&["service"], "workers", &five, "--workers")
        .unwrap();
    assert_eq!(config.workers(), Some(5));
    assert_eq!(
        config.origins.of(&["service", "workers"]),
        Origin::Flag("--workers")
    );
    let config = config.with_workers(6);
    assert_eq!(config.origins.of(&["service", "workers"]), Origin::Code);
}

#[test]
fn every_variable_is_read() {
    let variables = [
        ("DISPATCHER_DATABASE_URL", "sqlite:/x/y.db"),
        ("DISPATCHER_STORE_LEASE", "30s"),
        ("DISPATCHER_RETENTION_AGE", "2d"),
        ("DISPATCHER_RETENTION_COUNT", "7"),
        ("DISPATCHER_WORKERS", "4"),
        ("DISPATCHER_QUEUES", "a,b"),
        ("DISPATCHER_DRAIN_TIMEOUT", "90"),
        ("DISPATCHER_ADMIN", "[::1]:9090"),
        ("DISPATCHER_LOG", "DEBUG"),
        ("DISPATCHER_LOG_FORMAT", "json"),
        ("DISPATCHER_BACKEND_URL", "http://127.0.0.1:8080"),
        (
            "DISPATCHER_BACKEND_SECRET",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
        ("DISPATCHER_BACKEND_TOKEN", "a-token-to-read-with"),
        ("DISPATCHER_IS_BACKEND", "true"),
    ];
    let named: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
    let known = crate::config::reference::variables();
    assert_eq!(known[..2], ["DISPATCHER_CONFIG", "DISPATCHER_ENV_FILE"]);
    assert_eq!(known[2..], named);
    let lines: Vec<_> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let files = Files::new("version = 1\n", &lines.concat());
    let of_environment = Config::load("app", &surroundings(&variables), Search::default()).unwrap();
    for config in [files.load(&[]).unwrap(), of_environment] {
        let location = config.store_in(&surroundings(&[])).unwrap();
        assert_eq!(location.file(), Path::new("/x/y.db"));
        assert_eq!(config.retention_age(), Duration::from_secs(2 * 86_400));
        assert_eq!(config.lease_ms(), 30_000);
        assert_eq!(config.retention_count(), 7);
        assert_eq!(config.workers(), Some(4));
        assert_eq!(config.queues(), ["a", "b"]);
        assert_eq!(config.drain_timeout(), Duration::from_secs(90));
        assert_eq!(config.admin(), Some("[::1]:9090".parse().unwrap()));
        assert_eq!(config.log_level(), LogLevel::Debug);
        assert_eq!(config.log_format(), LogFormat::Json);
    }
}

#[test]
fn an_env_file_names_the_others_from_its_own_folder() {
    let files = Files::new(
        "version = 1\n[service]\nworkers = 9\n",
        "DISPATCHER_CONFIG=c.toml\nDISPATCHER_DATABASE_URL=sqlite:d.db\n",
    );
    let named = files.path(".env");
    let around = surroundings(&[("DISPATCHER_ENV_FILE", named.to_str().unwrap())]);
    let config = Config::load("app", &around, Search::default()).unwrap();
    assert_eq!(config.workers(), Some(9));
    assert_eq!(config.env_file(), Some(named.as_path()));
    assert_eq!(config.store_in(&around).unwrap().file(), files.path("d.db"));
    // The real environment counts more.
    let around = surroundings(&[
        ("DISPATCHER_ENV_FILE", named.to_str().unwrap()),
        ("DISPATCHER_CONFIG", "/nowhere/x.toml"),
    ]);
    let error = Config::load("app", &around, Search::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/x.toml"), "{error}");
}

#[test]
fn problems_of_all_layers_are_told_at_once() {
    let files = Files::new(
        "version = 1\n[service]\nworkers = 0\n",
        "DISPATCHER_ADMIN=0.0.0.0:1\n",
    );
    let why = files.why(&[
        ("DISPATCHER_QUEUES", "a b"),
        ("DISPATCHER_DATABASE_URL", "mysql:x"),
    ]);
    assert_eq!(
        why,
        "/c.toml has 4 problems\n\
         DISPATCHER_DATABASE_URL: there is no store for `mysql:` URLs; write sqlite:/path/state.db\n\
         DISPATCHER_QUEUES: `queues` takes labels, not \"a b\": a label has no spaces, commas and \
         control characters, found ' '\n\
         /.env line 1: `admin` cannot be 0.0.0.0:1: it is no loopback address, and whoever reaches \
         it is asked for no password; write \"127.0.0.1:1\"\n\
         line 3: `workers` takes a whole number from 1 on, not 0"
    );
    let files = Files::new("version = 1\n", "DISPATCHER_WORKERS=none\n");
    assert_eq!(
        files.why(&[]),
        "/.env has a problem\nline 1: `workers` takes a whole number from 1 on, not \"none\""
    );
    let files = Files::new("version = 1\n", "");
    assert_eq!(
        files.why(&[
            ("DISPATCHER_WORKERS", "0"),
            ("DISPATCHER_ADMIN", "localhost:1")
        ]),
        "the configuration has 2 problems\n\
         DISPATCHER_WORKERS: `workers` takes a whole number from 1 on, not 0\n\
         DISPATCHER_ADMIN: `admin` takes an address with a port, such as \"127.0.0.1:9090\" or \
         \"[::1]:9090\", not \"localhost:1\""
    );
    assert_eq!(
        files.why(&[("DISPATCHER_WORKERS", "0")]),
        "DISPATCHER_WORKERS cannot be used: `workers` takes a whole number from 1 on, not 0\n\
         it is set so in the environment"
    );
    // A log says so itself, and goes on.
    assert_eq!(
        files
            .load(&[("DISPATCHER_LOG", "loud")])
            .unwrap()
            .log_level(),
        LogLevel::Info
    );
}

#[test]
fn lines_of_an_env_file() {
    for (line, value) in [
        ("A=", ""),
        ("A=b", "b"),
        ("  A = b", "b"),
        ("export A=b", "b"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("A=#c", ""),
        ("A='b # c \\n $x \"'", "b # c \\n $x \""),
        ("A='b' # c", "b"),
        ("A=\"b\\n\\t\\\"\\\\\\$\"", "b\n\t\"\\$"),
        ("A=\"\"", ""),
        ("A=sqlite:/a=b?c&$d", "sqlite:/a=b?c&$d"),
        ("A=é", "é"),
        ("\r\nA=b\r", "b"),
    ] {
        // A space before the sign is a mistake; see below.
        if line.contains("A =") {
            continue;
        }
        let file = env_file::EnvFile::parse(line, Path::new("/.env"));
        let file = file.unwrap_or_else(|error| panic!("{line}: {}", error.why()));
        let found: Vec<_> = file
            .entries
            .iter()
            .map(|it| (it.name.as_str(), it.value.as_str()))
            .collect();
        assert_eq!(found, [("A", value)], "{line:?}");
    }
    let none = env_file::EnvFile::parse("\n # x\n\t\n", Path::new("/.env")).unwrap();
    assert_eq!(none.entries, []);
}

#[test]
fn mistakes_in_an_env_file_have_lines() {
    let text = "\
# fine
A
A B=c
1A=b
=b
A=b c
A='b
A=\"b
A=\"b\\x\"
A=\"b\"c
A=b\"c
OTHER=1
OTHER=2
DISPATCHER_WORKER=1
DISPATCHER_ENV_FILE=x
DISPATCHER_ATTEMPTS=1
";
    let error = env_file::EnvFile::parse(text, Path::new("/.env")).unwrap_err();
    assert_eq!(error.to_string(), "/.env has 14 problems");
    let why = error.why();
    let lines: Vec<_> = why.lines().collect();
    for (index, expected) in [
        "line 2: the line is no `NAME=value`",
        "line 3: \"A B\" is no name of a variable",
        "line 4: \"1A\" is no name",
        "line 5: \"\" is no name",
        "line 6: a value without quotes has ' '; put it in single quotes",
        "line 7: a quote is not closed; end the value with '",
        "line 8: a quote is not closed; end the value with \"",
        "line 9: `\\x` stands for nothing",
        "line 10: \"c\" stands behind the closing quote",
        "line 11: a value without quotes has '\"'",
        "line 13: OTHER stands in line 12 already",
        "line 14: no variable of Dispatcher is called DISPATCHER_WORKER; did you mean DISPATCHER_WORKERS?",
        "line 15: DISPATCHER_ENV_FILE stands in the file that it names",
        "line 16: no variable of Dispatcher is called DISPATCHER_ATTEMPTS; known are",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(lines[index].starts_with(expected), "{}", lines[index]);
    }
}

#[test]
fn an_env_file_that_cannot_be_read_is_told() {
    let around = surroundings(&[("DISPATCHER_ENV_FILE", "/nowhere/.env")]);
    let error = Config::load("app", &around, Search::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the env file /nowhere/.env");
    assert!(error.advice().contains("--env-file"));
}

#[test]
fn metrics_are_answered_on_this_machine_only() {
    let read = |admin: &str| read(&format!("version = 1\n[service]\nadmin = \"{admin}\"\n"));
    for admin in ["127.0.0.1:9090", "127.9.9.9:0", "[::1]:65535"] {
        assert_eq!(read(admin).unwrap().admin(), Some(admin.parse().unwrap()));
    }
    for admin in ["0.0.0.0:9090", "[::]:1", "192.168.0.1:1", "8.8.8.8:53"] {
        let why = read(admin).unwrap_err().why();
        assert!(why.contains("it is no loopback address"), "{why}");
        let config = Config::new("app").with_admin(admin.parse().unwrap());
        let why = config.resolve(Registry::default()).unwrap_err().why();
        assert!(why.contains("it is no loopback address"), "{why}");
    }
    for admin in ["9090", "127.0.0.1", "localhost:9090", "", "127.0.0.1:70000"] {
        let why = read(admin).unwrap_err().why();
        assert!(
            why.starts_with("line 3: `admin` takes an address with a port"),
            "{why}"
        );
    }
}
