//! What the derive records, and what the recorded functions do.

use std::time::Duration;

use dispatcher_core::__private::{Registration, inventory};
use dispatcher_core::{
    Backoff, Context, Definition, Dispatcher, DispatcherOptions, EnvPolicy, Failure, Field,
    Isolation, JobId, Leftovers, Link, LinkError, Missed, OnDuplicate, OnLost, Options, Overlap,
    Process, ScheduleOptions, message::WorkerMessage,
};
use serde::{Deserialize, Serialize};

/// Does everything.
///
/// Twice.
#[derive(Dispatcher, Default, Serialize, Deserialize)]
#[dispatcher(
    name = "all.options",
    alias = "App\\Jobs\\AllOptions",
    alias = "app.tasks.all",
    timeout = "1h30m",
    grace = 3,
    max_queue = 20,
    concurrency = 4,
    queue = "slow",
    expires = "2d",
    schedule = "30 4 * * MON-FRI",
    timezone = "Europe/Berlin",
    missed = "all",
    overlap = "queue",
    jitter = "250ms",
    on_duplicate = "queue_one",
    retries = 5,
    backoff = "linear(5s, 10m)"
)]
#[dispatcher(
    on_lost = "fail",
    priority = -7,
    delay = 30,
    required_packages = "certbot",
    required_commands = ["rsync", "ssh"],
    package_includes = ["libssl.so.3"],
    isolation = "exec",
    memory_limit = "512MiB",
    cpu_limit = 60,
    open_files = 1024,
    nice = -20,
    env = ["PATH", "HOME"],
    working_directory = "/var/lib/app",
    leftovers = "kill",
    crate = ::dispatcher_core
)]
#[serde(rename_all = "camelCase")]
struct AllOptions {
    /// Whom.
    first_name: String,
    #[dispatcher(secret)]
    #[serde(rename = "pass")]
    password: std::collections::BTreeMap<u8, String>,
    #[serde(skip)]
    cache: Option<u32>,
    r#type: Option<u8>,
}
const ALL_OPTIONS_LINE: u32 = line!() - 10;

impl Process for AllOptions {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        self.cache = Some(cx.attempt());
        Err(Failure::new(format!(
            "{} {}",
            self.first_name,
            self.password.len()
        )))
    }

    fn options(&self, options: &mut Options) {
        options.queue.clone_from(&self.first_name);
    }
}

#[test]
fn every_option_is_recorded() {
    let definition = AllOptions::definition();
    assert_eq!(AllOptions::NAME, "all.options");
    assert_eq!(definition.name, "all.options");
    assert_eq!(
        definition.aliases,
        ["App\\Jobs\\AllOptions", "app.tasks.all"]
    );
    assert_eq!(definition.documentation, "Does everything.\n\nTwice.");
    assert!(definition.schema.is_none());
    assert_eq!(
        (definition.options)(),
        Options {
            on_duplicate: None,
            timeout: Some(Duration::from_secs(5400)),
            grace: Duration::from_secs(3),
            queue: "slow".to_owned(),
            expires: Some(Duration::from_secs(172_800)),
            unique_key: None,
            retries: 5,
            backoff: Backoff::Linear {
                step: Duration::from_secs(5),
                max: Duration::from_secs(600),
            },
            on_lost: OnLost::Fail,
            priority: -7,
            delay: Some(Duration::from_secs(30)),
            required_packages: vec!["certbot".to_owned()],
            required_commands: vec!["rsync".to_owned(), "ssh".to_owned()],
            package_includes: vec!["libssl.so.3".to_owned()],
            isolation: Isolation::Exec,
            memory_limit: Some(512 << 20),
            cpu_limit: Some(Duration::from_secs(60)),
            open_files: Some(1024),
            nice: Some(-20),
            env: EnvPolicy::Only(vec!["PATH".to_owned(), "HOME".to_owned()]),
            working_directory: Some("/var/lib/app".to_owned()),
            leftovers: Leftovers::Kill,
        }
    );
    assert_eq!(
        (definition.dispatcher_options)(),
        DispatcherOptions {
            max_queue: 20,
            concurrency: 4,
            on_duplicate: OnDuplicate::QueueOne,
            schedule: Some(ScheduleOptions {
                expression: "30 4 * * MON-FRI".to_owned(),
                timezone: "Europe/Berlin".to_owned(),
                missed: Missed::All,
                overlap: Overlap::Queue,
                jitter: Duration::from_millis(250),
            }),
        }
    );
}

#[test]
fn place_is_the_struct() {
    let place = AllOptions::definition().place;
    assert_eq!(place.package, "dispatcher-core");
    assert_eq!(place.module, module_path!());
    assert_eq!(place.file, file!());
    assert_eq!(place.line, ALL_OPTIONS_LINE);
}

#[test]
fn fields_are_those_of_the_payload() {
    let field = |name, type_name, documentation, secret| Field {
        name,
        type_name,
        documentation,
        secret,
    };
    assert_eq!(
        AllOptions::definition().fields,
        [
            field("firstName", "String", "Whom.", false),
            field("pass", "std::collections::BTreeMap<u8, String>", "", true),
            field("type", "Option<u8>", "", false),
        ]
    );
}

#[test]
fn default_payload_is_json_of_the_default() {
    let payload = AllOptions::definition().default_payload.expect("scheduled");
    assert_eq!(
        payload().expect("it can be written"),
        r#"{"firstName":"","pass":{},"type":null}"#
    );
}

#[test]
fn check_and_run_read_the_payload() {
    let definition = AllOptions::definition();
    let payload = r#"{"firstName":"Ada","pass":{"1":"x"},"type":null}"#;
    let mut options = Options::default();
    (definition.check)(payload, &mut options).expect("it fits");
    assert_eq!(options.queue, "Ada");
    let failure = (definition.run)(payload, &mut context())
        .expect("it fits")
        .expect_err("it always fails");
    assert_eq!(failure.message(), "Ada 1");

    let error = (definition.check)("{}", &mut options).expect_err("fields are missing");
    assert_eq!(
        error.to_string(),
        "the payload does not fit all.options: missing field `firstName` at line 1 column 2"
    );
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Unit;

impl Process for Unit {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize, Default)]
struct Unscheduled {
    count: u32,
}

impl Process for Unscheduled {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// So that a configuration may give it a schedule.
#[test]
fn what_is_default_has_a_default_payload_without_a_schedule() {
    let payload = Unscheduled::definition()
        .default_payload
        .expect("a default");
    assert_eq!(payload().expect("it is JSON"), r#"{"count":0}"#);
}

#[test]
fn defaults_are_the_documented_ones() {
    let definition = Unit::definition();
    assert_eq!(Unit::NAME, "Unit");
    assert!(definition.aliases.is_empty());
    assert_eq!(definition.documentation, "");
    assert!(definition.fields.is_empty());
    assert!(definition.default_payload.is_none());
    assert!(definition.schema.is_none());
    assert_eq!((definition.options)(), Options::default());
    assert_eq!(
        (definition.dispatcher_options)(),
        DispatcherOptions::default()
    );
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct EmptyTuple();

impl Process for EmptyTuple {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn a_struct_without_fields_takes_every_empty_payload_and_stores_one() {
    for definition in [
        Unit::definition(),
        Declared::definition(),
        EmptyTuple::definition(),
    ] {
        for payload in ["{}", " { } ", "null", "[]"] {
            let what = format!("{} {payload}", definition.name);
            (definition.check)(payload, &mut Options::default()).expect(&what);
            (definition.run)(payload, &mut context())
                .expect(&what)
                .expect("it always succeeds");
            assert_eq!(definition.stored_payload(payload.to_owned()), "{}");
        }
        assert!((definition.check)("[1]", &mut Options::default()).is_err());
        assert!((definition.check)("", &mut Options::default()).is_err());
        assert_eq!(definition.stored_payload("[1]".to_owned()), "[1]");
    }
    let other = AllOptions::definition();
    assert_eq!(other.stored_payload("null".to_owned()), "null");
}

/// A tuple.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    timeout = 0,
    delay = 0,
    max_queue = 0,
    concurrency = 9,
    schedule = "hourly",
    backoff = "constant(5s)",
    memory_limit = 1048576
)]
struct Tuple(u8, #[dispatcher(secret)] String);

impl Default for Tuple {
    fn default() -> Self {
        Self(7, "x".to_owned())
    }
}

impl Process for Tuple {
    fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn tuples_and_zeros() {
    let definition = Tuple::definition();
    let names: Vec<_> = definition.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["0", "1"]);
    assert!(definition.fields[1].secret);
    let options = (definition.options)();
    assert_eq!(options.timeout, None);
    assert_eq!(options.delay, None);
    assert_eq!(options.memory_limit, Some(1 << 20));
    assert_eq!(
        options.backoff,
        Backoff::Constant {
            delay: Duration::from_secs(5)
        }
    );
    let shared = (definition.dispatcher_options)();
    assert_eq!((shared.max_queue, shared.concurrency), (0, 9));
    assert_eq!(
        shared.schedule,
        Some(ScheduleOptions {
            expression: "hourly".to_owned(),
            ..ScheduleOptions::default()
        })
    );
    let payload = definition.default_payload.expect("scheduled");
    assert_eq!(payload().expect("it can be written"), r#"[7,"x"]"#);
}

macro_rules! declared {
    ($name:ident, $timeout:literal, $priority:expr) => {
        #[derive(Dispatcher, Serialize, Deserialize)]
        #[dispatcher(timeout = $timeout, priority = $priority)]
        struct $name {}

        impl Process for $name {
            fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
                Ok(())
            }
        }
    };
}
declared!(Declared, "5s", -3);

#[test]
fn a_macro_may_write_the_values() {
    let options = (Declared::definition().options)();
    assert_eq!(options.timeout, Some(Duration::from_secs(5)));
    assert_eq!(options.priority, -3);
}

#[test]
fn all_are_registered_once() {
    let mut names: Vec<_> = inventory::iter::<Registration>()
        .map(|registration| definition_of(registration).name)
        .collect();
    names.sort_unstable();
    let mut expected = vec![
        "Declared",
        "EmptyTuple",
        "Tuple",
        "Unit",
        "Unscheduled",
        "all.options",
    ];
    if cfg!(feature = "schema") {
        expected.insert(1, "Described");
    }
    assert_eq!(names, expected);
}

fn definition_of(registration: &Registration) -> &'static Definition {
    (registration.0)()
}

#[cfg(feature = "schema")]
mod schema {
    use super::*;

    #[derive(Dispatcher, Serialize, Deserialize, schemars::JsonSchema)]
    #[dispatcher(schema)]
    struct Described {
        count: u8,
    }

    impl Process for Described {
        fn process(&mut self, _cx: &mut Context) -> Result<(), Failure> {
            self.count += 1;
            Ok(())
        }
    }

    #[test]
    fn schema_is_recorded() {
        let schema = Described::definition().schema.expect("asked for")();
        assert_eq!(schema["title"], "Described");
        assert_eq!(schema["properties"]["count"]["type"], "integer");
    }
}

fn context() -> Context {
    let id = JobId::from_bytes([0; 10]);
    Context::new(id, 1, None, Vec::new(), Box::new(Deaf))
}

struct Deaf;

impl Link for Deaf {
    fn send(&mut self, _message: WorkerMessage) -> Result<(), LinkError> {
        Err(LinkError(None))
    }

    fn cancelled(&mut self) -> bool {
        false
    }
}
