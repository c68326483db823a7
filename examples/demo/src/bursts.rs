//! Sends the demo's service bursts of tasks, looks at it, and cancels what is left.

use std::time::Duration;

use dispatcher_runner::{Config, Control, PublishError, PublishOptions, Publisher};
use serde_json::{Value, json};

/// Tasks of a burst.
const BURST: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The same file that the service reads.
    let config = Config::from_environment("demo")?;
    let registry = dispatcher_core::Registry::default();
    let publisher = Publisher::from_config(&config, &registry)?;
    let control = Control::from_config(&config, None)?;
    say("alive", &ask(&control, "alive", Value::Null)?);

    println!("{BURST} short tasks");
    for number in 0..BURST {
        let options = PublishOptions::default();
        publisher.submit("demo.work", [number], json!({"ms": 20}), &options)?;
    }
    println!("{BURST} long ones, and one that is like the first of them");
    for number in 0..BURST {
        let options = PublishOptions {
            uuid: Some(format!("long {number}")),
            ..PublishOptions::default()
        };
        publisher.submit("demo.work", [number], json!({"ms": 600_000}), &options)?;
    }
    let options = PublishOptions {
        on_duplicate: Some(dispatcher_core::OnDuplicate::Discard),
        ..PublishOptions::default()
    };
    publisher.submit("demo.work", [0], json!({"ms": 600_000}), &options)?;

    let running = ask(&control, "running", json!({"task": "demo.work"}))?;
    println!("running: {} jobs", jobs(&running));
    say("workers", &ask(&control, "workers", Value::Null)?);
    let one = ask(&control, "cancel", json!({"uuid": "long 7"}))?;
    println!("cancelled by its uuid: {}", jobs(&one));
    let all = ask(&control, "cancel", json!({"task": "demo.work"}))?;
    println!("cancelled by their task: {}", jobs(&all));
    say("main", &ask(&control, "main", Value::Null)?);
    Ok(())
}

/// The reply of the one service that there is.
fn ask(control: &Control, command: &str, data: Value) -> Result<Value, PublishError> {
    let mut replies = control.request(command, data, 1, PATIENCE)?;
    Ok(replies.pop().unwrap_or_else(|| json!("nobody answers")))
}

fn say(command: &str, reply: &Value) {
    println!("{command}: {reply:#}");
}

/// Members of a reply but `node_id`.
fn jobs(reply: &Value) -> usize {
    let members = reply.as_object().map_or(0, serde_json::Map::len);
    members.saturating_sub(1)
}
