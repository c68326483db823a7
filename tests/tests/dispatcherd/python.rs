//! The Python package `dispatcherd`, unmodified, and a service of ours that it talks to.

use std::path::PathBuf;
use std::process::{Command, Output};

use dispatcher_tests::{
    Database, Home, PATIENCE, Postgres, Serving, begin, eventually, said, workspace,
};
use serde_json::{Value, json};

const JOBS: &str = include_str!("../../fixtures/dispatcherd/jobs.py");
const PUBLISH: &str = include_str!("../../fixtures/dispatcherd/publish.py");

/// Names that Python gives to its tasks.
const ALIASES: &str = r#"
[aliases]
"jobs.note" = "Note"
"jobs.exclusive" = "Exclusive"
"jobs.Act" = "Act"
"jobs.unregistered" = "Note"
"#;

/// The node that answers.
pub(crate) const NODE: &str = "node ü";

/// A channel that must be quoted.
pub(crate) const CHANNEL: &str = "Täsks \"1\"; --";

/// A service, and what reaches it.
pub(crate) struct Wire {
    pub(crate) service: Serving,
    pub(crate) home: Home,
    pub(crate) database: Option<Database<'static>>,
}

impl Wire {
    /// A service with the socket, and a Python that knows it.
    pub(crate) fn socket(more: &str) -> Self {
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        let path = home.file("messages.sock");
        let config = format!(
            "{more}\n[sources.socket]\npath = {:?}\nnode_id = {NODE:?}\n",
            path.display().to_string()
        );
        let settings = json!({
            "version": 2,
            "brokers": {"socket": {"socket_path": path}},
        });
        Self::start(home, &config, &settings)
    }

    /// A service that listens to PostgreSQL, and a Python that knows it.
    pub(crate) fn postgres(more: &str) -> Self {
        let database = Postgres::of_process().database();
        let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
        let url = database.url();
        let config = format!("{more}\n{}", section(&url, "node_id", NODE));
        let mut wire = Self::start(home, &config, &settings(&url));
        wire.database = Some(database);
        wire
    }

    pub(crate) fn start(home: Home, config: &str, settings: &Value) -> Self {
        // JSON is YAML, too.
        write(&home, "dispatcher.yml", &settings.to_string());
        write(&home, "jobs.py", JOBS);
        write(&home, "publish.py", PUBLISH);
        let service = Serving::configured(&home, &format!("{config}{ALIASES}"));
        let wire = Self {
            service,
            home,
            database: None,
        };
        until_heard(&wire.home);
        wire
    }

    /// Kills the service, and nothing else.
    pub(crate) fn kill(&self) {
        let pid = self.service.pid().try_into().expect("a process id");
        dispatcher_tests::kill(pid);
    }

    /// Runs Python, with wishes for `publish.py`; what it prints, a line each.
    pub(crate) fn publish(&self, wishes: &[Value]) -> Vec<Value> {
        let lines: Vec<String> = wishes.iter().map(Value::to_string).collect();
        let output = self.python("python", &["publish.py"], &(lines.join("\n") + "\n"));
        let printed = said(&output.stdout);
        let values = printed.lines().map(serde_json::from_str);
        values.collect::<Result<_, _>>().expect("JSON")
    }

    /// `dispatcherctl` with a command and its options; its one reply.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--config", "dispatcher.yml", "--log-level", "CRITICAL"]);
        let output = self.python("dispatcherctl", &all, "");
        let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
        let output = self.python("python", &["-c", read], &said(&output.stdout));
        let replies: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let [reply] = &replies[..] else {
            panic!("{arguments:?}: {replies:?}");
        };
        assert_eq!(reply["node_id"], NODE, "{arguments:?}: {reply}");
        without_node(reply)
    }

    /// A control command with any data, by Python's own client.
    pub(crate) fn control(&self, command: &str, data: &Value) -> Value {
        let wish = json!({"how": "control", "command": command, "data": data});
        let replies = self.publish(&[wish]);
        let reply = &replies[0][0];
        assert_eq!(reply["node_id"], NODE, "{command}: {replies:?}");
        without_node(reply)
    }

    fn python(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(tools().join(program));
        command.args(arguments).current_dir(self.home.path());
        let child = begin(&mut command, input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        let log = self.home.read("service.log");
        assert!(
            output.status.success(),
            "{arguments:?}: {out}\n{err}\n{log}"
        );
        output
    }
}

/// What a service logs once it listens.
pub(crate) const HEARS: &str = "messages are taken";

/// Waits until a home's service listens.
pub(crate) fn until_heard(home: &Home) {
    eventually("it listens", PATIENCE, || {
        home.read("service.log").contains(HEARS)
    });
}

/// A service with the source, once it listens.
pub(crate) fn listening(home: &Home, url: &str, delivery: &str) -> Serving {
    let service = Serving::configured(home, &section(url, "delivery", delivery));
    until_heard(home);
    service
}

/// The source's section, with one more key.
pub(crate) fn section(url: &str, key: &str, value: &str) -> String {
    format!(
        "[sources.pg_notify]\nconninfo = {url:?}\nchannels = [\"other\", {CHANNEL:?}]\n\
         default_publish_channel = {CHANNEL:?}\n{key} = {value:?}\n"
    )
}

/// What Python must know of it.
pub(crate) fn settings(url: &str) -> Value {
    json!({
        "version": 2,
        "brokers": {"pg_notify": {
            "config": {"conninfo": url},
            "channels": [CHANNEL],
            "default_publish_channel": CHANNEL,
        }},
    })
}

/// Where the programs of the package are.
pub(crate) fn tools() -> PathBuf {
    workspace().join("target/tools/dispatcherd/bin")
}

fn write(home: &Home, name: &str, text: &str) {
    std::fs::write(home.file(name), text).expect("the directory can be written");
}

fn without_node(reply: &Value) -> Value {
    let mut reply = reply.clone();
    reply.as_object_mut().expect("an object").remove("node_id");
    reply
}
