//! `[dispatchers.NAME]` with a command or a pool.

use dispatcher_core::{Context, Dispatcher, Failure, PayloadKind, Process};
use serde::{Deserialize, Serialize};

use super::*;

/// Compiled in.
#[derive(Dispatcher, Serialize, Deserialize, Default)]
struct Backup;

impl Process for Backup {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::builder()
        .with(Backup::definition())
        .build()
        .unwrap()
}

fn configured(section: &str) -> Configured {
    let text = format!("version = 1\n[pools.php]\n[dispatchers.Dump]\n{section}\n");
    match read(&text) {
        Ok(config) => config.configured()["Dump"].clone(),
        Err(error) => panic!("{section}\n{}", error.why()),
    }
}

fn command(section: &str) -> CommandConfig {
    match configured(section).work {
        WorkOf::Command(command) => command,
        WorkOf::Pool(pool) => panic!("{section}: {pool}"),
    }
}

fn resolved(text: &str) -> Result<Registry, String> {
    let config = read(&format!("version = 1\n{text}")).map_err(|error| error.why())?;
    config.resolve(registry()).map_err(|error| error.why())
}

#[test]
fn a_command_gets_its_payload_one_way() {
    for (section, payload) in [
        ("command = [\"dump\"]", PayloadBy::None),
        (
            "command = [\"dump\"]\npayload = \"stdin\"",
            PayloadBy::Stdin,
        ),
        (
            "command = [\"dump\"]\npayload = \"environment\"",
            PayloadBy::Environment,
        ),
        (
            "command = [\"dump\", \"-f\", \"{payload.file}\"]",
            PayloadBy::File,
        ),
        // Braces of other kinds are arguments as they are.
        (
            "command = [\"dump\", \"{payload_file}\", '{\"payload\": 1}', \"{x}\"]",
            PayloadBy::None,
        ),
    ] {
        assert_eq!(command(section).payload, payload, "{section}");
    }
    let full = configured(
        "description = \"Dumps\"\ncommand = [\"bin/dump\"]\nenv = { A = \"1\" }\ntimeout = \"1m\"",
    );
    assert_eq!((full.documentation.as_str(), full.line), ("Dumps", Some(3)));
    let WorkOf::Command(command) = full.work else {
        panic!("{:?}", full.work)
    };
    assert_eq!(command.argv, ["/etc/app/bin/dump"]);
    assert_eq!(command.env["A"], "1");
    assert_eq!(
        configured("pool = \"php\"").work,
        WorkOf::Pool("php".to_owned())
    );
}

#[test]
fn mistakes_are_told() {
    for (section, expected) in [
        ("command = \"dump now\"", "line 4: `command` takes a list"),
        (
            "command = [\"dump\", \"--in={payload.file}\"]",
            "line 3: `command` has {payload.file} inside \"--in={payload.file}\"; make it an \
             argument of its own: \"{payload.file}\"",
        ),
        (
            "command = [\"dump\", \"{payload.id}\"]",
            "line 3: `command` has an unknown placeholder {payload.id}; there is {payload.file}; or",
        ),
        (
            "command = [\"dump\", \"a{payload}\"]",
            "unknown placeholder {payload};",
        ),
        ("command = [\"{payload.file}\"]", "a payload is no program"),
        (
            "command = [\"dump\", \"{payload.file}\"]\npayload = \"stdin\"",
            "line 3: `payload` and the argument {payload.file} exclude each other",
        ),
        (
            "command = [\"dump\"]\npayload = \"stdinn\"",
            "line 5: `payload` takes \"stdin\", \"environment\", not \"stdinn\"; did you mean \"stdin\"?",
        ),
        (
            "command = [\"dump\"]\npayload = \"file\"",
            "for a file, make {payload.file} an argument of the command",
        ),
        (
            "command = [\"dump\"]\npool = \"php\"",
            "line 3: `command` and `pool` exclude each other",
        ),
        (
            "payload = \"stdin\"",
            "line 3: `payload` says how a `command` gets it, and there is none",
        ),
        (
            "env = { A = \"1\" }",
            "line 3: `env` is a table, which only a `command` has",
        ),
        (
            "pool = \"php\"\nenv = { A = \"1\" }",
            "line 3: `env` is a table",
        ),
        (
            "description = \"x\"",
            "line 3: `description` is for dispatchers that a section makes",
        ),
        (
            "pool = \"pph\"",
            "line 4: there is no pool \"pph\"; did you mean \"php\"?",
        ),
        (
            "comand = [\"dump\"]",
            "line 4: unknown option `comand`; did you mean `command`?",
        ),
        (
            "command = [\"dump\"]\ntimeout = \"soon\"",
            "line 5: `timeout` takes whole seconds",
        ),
    ] {
        let told = problems(&format!(
            "version = 1\n[pools.php]\n[dispatchers.Dump]\n{section}\n"
        ));
        assert!(told.contains(expected), "{section}\n{told}");
        assert_eq!(told.lines().count(), 1, "{section}\n{told}");
    }
}

#[test]
fn they_are_dispatchers_like_others() {
    let text = "[aliases]\n\"app.dump\" = \"Dump\"\n[pools.php]\n[dispatchers.Dump]\n\
                description = \"Dumps\"\ncommand = [\"dump\"]\nschedule = \"daily\"\n\
                [dispatchers.Mail]\npool = \"php\"\nretries = 3\n";
    let config = read(&format!("version = 1\n{text}")).unwrap();
    for base in [registry(), Registry::default()] {
        let registry = config.resolve(base).unwrap();
        let dump = registry.resolve("app.dump").unwrap();
        assert_eq!((dump.name, dump.documentation), ("Dump", "Dumps"));
        assert_eq!(
            (dump.place.file, dump.place.line),
            ("/etc/app/dispatcher.toml", 5)
        );
        assert_eq!(dump.payload, PayloadKind::Any);
        assert_eq!(dump.default_payload.unwrap()().unwrap(), "{}");
        assert!((dump.check)("[1]", &mut Options::default()).is_ok());
        assert!((dump.check)("[1", &mut Options::default()).is_err());
        // What was sent is what is stored.
        assert_eq!(dump.stored_payload("null".to_owned()), "null");
        let mail = registry.resolve("Mail").unwrap();
        let (mut job, mut shared) = ((mail.options)(), (mail.dispatcher_options)());
        config.apply("Mail", &mut job, &mut shared);
        assert_eq!((job.isolation, job.retries), (Isolation::Pool, 3));
        config.apply("Dump", &mut job, &mut shared);
        assert_eq!(job.isolation, Isolation::Exec);
        assert!(shared.schedule.is_some());
        assert_eq!(config.pool_of("Mail"), Some("php"));
        assert_eq!(config.pool_of("Dump"), None);
        // Once more, as a service does with what a command has resolved: the same definitions.
        let again = config.resolve(registry.clone()).unwrap();
        assert!(std::ptr::eq(again.resolve("Dump").unwrap(), dump));
    }
}

#[test]
fn a_compiled_in_dispatcher_may_say_in_which_pool() {
    let fine = "[pools.fast]\n[dispatchers.Backup]\nisolation = \"pool\"\npool = \"fast\"\n";
    let registry = resolved(fine).unwrap();
    assert_eq!(registry.len(), 1);
    assert!(std::ptr::eq(
        registry.resolve("Backup").unwrap(),
        Backup::definition()
    ));
    for (text, expected) in [
        (
            "[pools.fast]\n[dispatchers.Backup]\npool = \"fast\"\n",
            "line 4: [dispatchers.Backup] names a pool, but Backup has isolation process; write \
             `isolation = \"pool\"` as well",
        ),
        (
            "[dispatchers.Backup]\ntimeout = 5\ncommand = [\"x\"]\n",
            "line 4: [dispatchers.Backup] has a `command`, but Backup is compiled into this \
             program; give the section another name",
        ),
        (
            "[dispatchers.Backup]\npool = \"default\"\nisolation = \"pool\"\ndescription = \"x\"\n",
            "line 5: [dispatchers.Backup] has a `description`, but Backup has one in its source; \
             leave it out",
        ),
        (
            "[dispatchers.Backupp]\nretries = 1\n",
            "line 2: [dispatchers.Backupp] names no dispatcher of this program; did you mean \
             [dispatchers.Backup]?",
        ),
        (
            "[dispatchers.Dump]\ncommand = [\"x\"]\nisolation = \"process\"\n",
            "line 4: [dispatchers.Dump] runs with isolation exec, and says process; leave \
             `isolation` out",
        ),
        (
            "[dispatchers.Dump]\ncommand = [\"x\"]\njitter = 5\n",
            "line 2: [dispatchers.Dump] sets `jitter`, but Dump has no schedule; set `schedule` as \
             well",
        ),
        (
            "[dispatchers.\"a b\"]\ncommand = [\"x\"]\n",
            "line 2: a dispatcher cannot be called \"a b\"; it has no spaces and no control \
             characters, found ' '",
        ),
        (
            "[aliases]\nDump = \"Backup\"\n[dispatchers.Dump]\ncommand = [\"x\"]\n",
            "line 3: two dispatchers answer to `Dump`",
        ),
    ] {
        let why = resolved(text).unwrap_err();
        assert!(why.starts_with(expected), "{text}\n{why}");
    }
}

#[test]
fn those_of_code_are_held_to_the_same_rules() {
    let of = |argv: &[&str], payload| Configured {
        documentation: String::new(),
        work: WorkOf::Command(CommandConfig {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            payload,
            env: BTreeMap::new(),
        }),
        line: Some(7),
    };
    let resolve = |configured: Configured| {
        let config = Config::new("app").with_dispatcher("Dump", configured);
        config
            .resolve(Registry::default())
            .map(|registry| registry.len())
            .map_err(|it| it.why())
    };
    assert_eq!(resolve(of(&["dump", PAYLOAD_FILE], PayloadBy::File)), Ok(1));
    assert_eq!(resolve(of(&["dump"], PayloadBy::Stdin)), Ok(1));
    for (argv, payload) in [
        (&[][..], PayloadBy::None),
        (&[""], PayloadBy::None),
        (&["dump", PAYLOAD_FILE], PayloadBy::None),
        (&["dump"], PayloadBy::File),
        (&["dump", "{payload.x}"], PayloadBy::None),
    ] {
        let why = resolve(of(argv, payload)).unwrap_err();
        assert!(why.starts_with("[dispatchers.Dump]: "), "{why}");
    }
    let pool = Configured {
        work: WorkOf::Pool("php".to_owned()),
        ..of(&["x"], PayloadBy::None)
    };
    assert!(
        resolve(pool)
            .unwrap_err()
            .contains("there is no pool \"php\"")
    );
}
