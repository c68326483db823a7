//! Homes with a configuration, and jobs that are sent by command as its dispatchers want them.

use serde_json::Value;

use crate::{Home, Job, said};

/// Writes the configuration of a home, where a service that was started with one has it, too.
///
/// # Panics
/// When it cannot be written.
pub fn configure(home: &Home, config: &str) {
    let text = format!("version = 1\n{config}\n");
    std::fs::write(home.file("dispatcher.toml"), text).expect("it can be written");
}

/// Submits a job by command, with that configuration; its id.
///
/// # Panics
/// When it is refused.
pub fn notify(home: &Home, name: &str, payload: &Value, options: &[&str]) -> String {
    let config = home.file("dispatcher.toml");
    let mut command = home.command(["notifydispatcher", name, "-", "--detach"]);
    command.arg("--config").arg(config).args(options);
    // A payload may be larger than an argument.
    let input = home.file(&format!("payload-{}", std::process::id()));
    std::fs::write(&input, payload.to_string()).expect("it can be written");
    command.stdin(std::fs::File::open(&input).expect("it is there"));
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout).trim().to_owned()
}

/// Submits a job and waits for its end.
pub fn perform(home: &Home, name: &str, payload: &Value) -> Job {
    home.wait(&notify(home, name, payload, &[]))
}
