//! Configuration from outside: an application's binary, files of every kind, and its answers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use dispatcher_tests::{Home, as_nobody, said};
use serde_json::{Value, json};

const COMMANDS: &str = env!("CARGO_BIN_EXE_commands");

/// A folder with a configuration, and a program that reads it.
struct Scene {
    home: Home,
    file: PathBuf,
}

impl Scene {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let home = Home::new(COMMANDS);
        let file = home.file("dispatcher.toml");
        fs::write(&file, text).expect("the folder can be written");
        Self { home, file }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("DISPATCHER_CONFIG", &self.file);
        command.env_remove("DISPATCHER_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program starts")
    }

    /// What is said on stderr by a command that is refused for its configuration.
    fn refused(&self, arguments: &[&str]) -> String {
        refusal(&self.run(arguments))
    }

    /// What is said on stdout by a command that succeeds.
    fn done(&self, arguments: &[&str]) -> String {
        answer(&self.run(arguments))
    }

    fn path(&self) -> String {
        self.file.display().to_string()
    }
}

fn refusal(output: &Output) -> String {
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert_eq!(said(&output.stdout), "", "an error belongs on stderr");
    text
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout)
}

const CHECK: &[&str] = &["config", "check"];

#[test]
fn all_problems_are_told_at_once_by_every_command() {
    let scene = Scene::new(
        "version = 1\n\
         [service]\n\
         wokers = 2\n\
         admin = \"0.0.0.0:80\"\n\
         [pools.php]\n\
         command = \"php worker.php\"\n\
         [dispatchers.Dump]\n\
         command = [\"dump\", \"--in={payload.file}\"]\n\
         [sources.ticker]\n\
         pool = \"pph\"\n",
    );
    for arguments in [CHECK, &["list"], &["jobs"], &["serve"]] {
        let text = scene.refused(arguments);
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        assert_eq!(lines[0], format!("error: {} has 5 problems", scene.path()));
        for (line, expected) in lines[1..].iter().zip([
            "because: line 3: unknown key `wokers` in [service]; did you mean `workers`?",
            "line 4: `admin` cannot be 0.0.0.0:80: it is no loopback address",
            "line 6: `command` takes a list",
            "line 7: `command` has {payload.file} inside \"--in={payload.file}\"",
            "line 10: there is no pool \"pph\"; did you mean \"php\"?",
            "try: correct these lines",
        ]) {
            assert!(line.starts_with(expected), "{line}");
        }
    }
    assert!(!scene.home.state().exists(), "nothing was made");
}

#[test]
fn sections_and_aliases_are_held_against_the_program() {
    let scene = Scene::new(
        "version = 1\n\
         [aliases]\n\
         \"mail\" = \"SendMail\"\n\
         [dispatchers.RenewCertificat]\n\
         retries = 1\n\
         [dispatchers.Gated]\n\
         schedule = \"daily\"\n\
         [dispatchers.RenewCertificate]\n\
         command = [\"true\"]\n",
    );
    let text = scene.refused(CHECK);
    for expected in [
        "line 3: the alias `mail` leads to `SendMail`",
        "line 4: [dispatchers.RenewCertificat] names no dispatcher of this program; did you mean \
         [dispatchers.RenewCertificate]?",
        "line 6: [dispatchers.Gated] schedules Gated, which has no default payload",
        "line 9: [dispatchers.RenewCertificate] has a `command`, but RenewCertificate is compiled",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn files_that_are_none_are_told() {
    let scene = Scene::new("");
    let text = scene.refused(CHECK);
    assert!(text.contains("line 1: `version` is missing"), "{text}");

    let scene = Scene::new(b"version = 1\n# \xff\n");
    let text = scene.refused(CHECK);
    assert!(text.contains("valid UTF-8"), "{text}");

    let scene = Scene::new("#".repeat(2 << 20));
    let text = scene.refused(CHECK);
    assert!(
        text.contains("it has 2097152 bytes, more than 1048576"),
        "{text}"
    );

    fs::remove_file(&scene.file).expect("it is there");
    let text = scene.refused(CHECK);
    assert!(text.contains("No such file or directory"), "{text}");
    fs::create_dir(&scene.file).expect("a folder");
    let text = scene.refused(CHECK);
    assert!(text.contains("Is a directory"), "{text}");
    assert!(
        text.contains("try: name a readable file with --config"),
        "{text}"
    );

    let mut command = scene.command(CHECK);
    let text = refusal(
        &command
            .env("DISPATCHER_CONFIG", "/dev/zero")
            .output()
            .expect("it starts"),
    );
    assert!(text.contains("more than 1048576"), "{text}");
}

/// As root no permission is missing, so the program runs as somebody else then.
#[test]
fn a_file_of_somebody_else_is_told() {
    let scene = Scene::new("version = 1\n");
    let program = scene.home.file("commands");
    fs::copy(COMMANDS, &program).expect("the program can be copied");
    fs::set_permissions(scene.home.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(&scene.file, fs::Permissions::from_mode(0o000)).expect("ours");
    let output = as_nobody(&program, &scene.command(CHECK)).output();
    let text = refusal(&output.expect("setpriv is installed (util-linux)"));
    assert!(text.contains("Permission denied"), "{text}");
}

const GOOD: &str = "version = 1
[service]
workers = 3
queues = [\"default\", \"slow\"]
[pools.php]
command = [\"php\", \"worker.php\"]
env = { API_KEY = \"hidden\" }
[dispatchers.RenewCertificate]
retries = 2
";

#[test]
fn a_good_file_is_ok_and_shown() {
    let scene = Scene::new(GOOD);
    assert_eq!(scene.done(CHECK), format!("ok: {}\n", scene.path()));
    let text = scene.done(&["config", "show"]);
    let line = text
        .lines()
        .find(|line| line.starts_with("service.workers "));
    let line = line.expect("a line");
    let from = format!("{} line 3", scene.path());
    assert!(line.contains(" 3 ") && line.ends_with(&from), "{line}");
    assert!(text.contains("{ API_KEY = \"***\" }"), "{text}");
    assert!(!scene.home.state().exists(), "nothing was made");
}

#[test]
fn every_value_has_its_origin() {
    let scene = Scene::new(GOOD);
    let env_file = scene.home.file(".env");
    fs::write(
        &env_file,
        "DISPATCHER_DRAIN_TIMEOUT=5\nDISPATCHER_WORKERS=4\n",
    )
    .expect("a file");
    let env_file = env_file.display().to_string();
    let show = ["config", "show", "--json", "--env-file", &env_file];
    let mut command = scene.command(&show);
    command.env("DISPATCHER_RETENTION_COUNT", "9");
    let text = answer(&command.output().expect("the program starts"));
    assert!(!text.contains("hidden"), "{text}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["app"], "commands");
    assert_eq!(value["file"], scene.path());
    assert_eq!(value["env_file"], env_file);
    let values = value["values"].as_array().expect("a list");
    for (key, expected) in [
        ("service.workers", json!([4, "env_file", 2])),
        ("service.drain_timeout", json!(["5s", "env_file", 1])),
        ("service.queues", json!([["default", "slow"], "file", 4])),
        (
            "store.retention.count",
            json!([9, "environment", "DISPATCHER_RETENTION_COUNT"]),
        ),
        ("log.level", json!(["info", "default", null])),
        (
            "dispatchers.RenewCertificate.retries",
            json!([2, "file", 9]),
        ),
    ] {
        let found = values.iter().find(|value| value["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {text}"));
        let place = if found["line"].is_null() {
            &found["name"]
        } else {
            &found["line"]
        };
        assert_eq!(
            json!([found["value"], found["origin"], place]),
            expected,
            "{key}"
        );
    }
}

#[test]
fn mistakes_in_variables_and_the_env_file_are_told() {
    let scene = Scene::new("version = 1\n");
    let env_file = scene.home.file(".env");
    fs::write(
        &env_file,
        "DISPATCHER_WORKER=4\n# x\nDISPATCHER_ADMIN='[::]:80'\n",
    )
    .expect("a file");
    let mut command = scene.command(CHECK);
    command.env("DISPATCHER_ENV_FILE", &env_file);
    let text = refusal(&command.output().expect("the program starts"));
    assert!(
        text.contains("line 1: no variable of Dispatcher is called DISPATCHER_WORKER"),
        "{text}"
    );
    assert!(text.contains("did you mean DISPATCHER_WORKERS?"), "{text}");
    let text = scene.refused(&["config", "check", "--env-file", "/nowhere/.env"]);
    assert!(
        text.contains("error: cannot read the env file /nowhere/.env"),
        "{text}"
    );
    let mut command = scene.command(CHECK);
    command.env("DISPATCHER_WORKERS", "many");
    let text = refusal(&command.output().expect("the program starts"));
    assert!(
        text.starts_with("error: DISPATCHER_WORKERS cannot be used: `workers` takes"),
        "{text}"
    );
    assert!(text.ends_with("try: correct it, or unset it\n"), "{text}");
}

#[test]
fn the_file_of_defaults_is_written_once_and_accepted() {
    let scene = Scene::new("this is no TOML");
    let text = scene.done(&["config", "default"]);
    let written = scene.home.file("new.toml");
    let path = written.display().to_string();
    let write = ["config", "default", "--write", path.as_str()];
    assert_eq!(scene.done(&write), format!("written: {path}\n"));
    assert_eq!(fs::read_to_string(&written).expect("it is there"), text);
    let mode = fs::metadata(&written)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777 & !0o644, 0, "nobody else may write it");
    let told = scene.refused(&write);
    assert!(told.contains("it exists, and is left as it is"), "{told}");
    let told = scene.refused(&["config", "default", "--write", "no/such/folder.toml"]);
    assert!(told.contains("make its folder first"), "{told}");
    assert_eq!(
        scene.done(&["config", "check", "--config", &path]),
        format!("ok: {path}\n")
    );
}

#[test]
fn usage_is_told() {
    let scene = Scene::new("version = 1\n");
    for (arguments, expected) in [
        (&["config"][..], "config"),
        (&["config", "chekc"], "did you mean `config check`?"),
        (
            &["config", "check", "--write", "x"],
            "--write is for `config default`",
        ),
        (&["config", "check", "more"], "more"),
    ] {
        let output = scene.run(arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(said(&output.stderr).contains(expected), "{output:?}");
    }
}

#[test]
fn configured_dispatchers_are_listed_like_others() {
    let scene = Scene::new(
        "version = 1\n\
         [aliases]\n\
         \"db.dump\" = \"Dump\"\n\
         [dispatchers.Dump]\n\
         description = \"Dumps the database\"\n\
         command = [\"true\"]\n\
         schedule = \"daily\"\n\
         max_queue = 3\n",
    );
    let text = scene.done(&["list"]);
    let line = text
        .lines()
        .find(|line| line.starts_with("Dump "))
        .expect("a line");
    assert!(line.contains("Dumps the database"), "{line}");
    let value: Value =
        serde_json::from_str(&scene.done(&["list", "--json", "db.dump"])).expect("JSON");
    let text = value.to_string();
    assert!(
        text.contains("\"Dump\"") && text.contains("dispatcher.toml"),
        "{text}"
    );
    let text = scene.done(&["schedule", "list"]);
    assert!(text.contains("Dump"), "{text}");
}

/// The timer of the host finds what the command line found.
#[test]
fn a_timers_entry_names_the_env_file() {
    let scene =
        Scene::new("version = 1\n[dispatchers.Dump]\ncommand = [\"true\"]\nschedule = \"daily\"\n");
    let crontab = scene.home.file("crontab");
    fs::write(&crontab, "#!/bin/sh\nexit 0\n").expect("the folder can be written");
    fs::set_permissions(&crontab, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(
        scene.home.file(".env"),
        "DISPATCHER_DATABASE_URL=sqlite:x.db\n",
    )
    .expect("a file");
    let install = [
        "schedule",
        "install",
        "--print",
        "--crontab",
        "--env-file",
        ".env",
    ];
    let mut command = scene.command(&install);
    command
        .env("PATH", scene.home.path())
        .env_remove("DISPATCHER_DATABASE_URL");
    let text = answer(&command.output().expect("the program starts"));
    let env_file = scene.home.file(".env").display().to_string();
    for expected in [scene.path(), env_file] {
        assert!(text.contains(&expected), "{expected} is not in {text}");
    }
    assert!(
        !text.contains("DISPATCHER_DATABASE_URL"),
        "the file says it: {text}"
    );
}
