//! `queue`, `max_queue`, `concurrency`, `priority`, `unique_key`, `on_duplicate`, `alias` from the
//! outside.

use dispatcher_core::JobState;
use dispatcher_tests::{Home, said};
use serde_json::{Value, json};

use crate::{configure, fixture, prints, refused};

fn submitted(home: &Home, arguments: &[&str]) -> (String, bool) {
    let words = ["notifydispatcher", "--detach", "--json"];
    let output = home.output(words.iter().chain(arguments), b"");
    assert!(output.status.success(), "{output:#?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let id = answer["id"].as_str().expect("an id").to_owned();
    (id, answer["duplicate"].as_bool().expect("a word"))
}

#[test]
fn queue_that_nobody_declared_is_refused_from_outside() {
    let home = fixture();
    let before = home.run("Act", &json!({ "deed": "succeed" })).id;
    let payload = json!({ "deed": "succeed" }).to_string();
    let notify =
        |label: &str| home.output(["notifydispatcher", "Act", &payload, "--queue", label], b"");
    let text = refused(&notify("nowhere"), 64);
    assert!(
        text.contains("there is no queue `nowhere`; nothing was stored"),
        "{text}"
    );
    assert!(
        text.contains("`attribute`") && text.contains("`default`"),
        "{text}"
    );
    let text = refused(&notify("atribute"), 64);
    assert!(text.contains("did you mean `attribute`?"), "{text}");
    assert_eq!(home.ids(), [before.as_str()]);
    assert!(notify("attribute").status.success());
    // Code knows its own labels.
    let options = json!({ "queue": "nowhere" });
    let job = home.run("Act", &json!({ "deed": "succeed", "options": options }));
    assert_eq!(job.options.queue, "nowhere");
    assert_eq!(job.state, JobState::Succeeded);
}

#[test]
fn queue_that_the_configuration_declares_is_known() {
    let home = fixture();
    let file = configure(
        &home,
        "[service]\nqueues = [\"fast\"]\n[dispatchers.Note]\nqueue = \"slow\"",
    );
    let payload = json!({ "deed": "succeed" }).to_string();
    for label in ["fast", "slow", "default"] {
        let words = ["--config", &file, "Act", &payload, "--queue", label];
        let (id, _) = submitted(&home, &words);
        assert_eq!(home.wait(&id).options.queue, label);
        let listed = prints(&home, ["jobs", "--queue", label, "--json"]);
        assert!(listed.contains(&id), "{listed}");
    }
}

/// A dropped submission is answered with the job that survives, and is no error.
#[test]
fn unique_key_from_outside() {
    let home = fixture();
    let payload = |gate: &str| json!({ "deed": { "wait_for": gate } }).to_string();
    let (first, second) = (payload("gate"), payload("other gate"));
    let (id, duplicate) = submitted(&home, &["Act", &first, "--unique-key", "k"]);
    assert!(!duplicate);
    // The key is the identity, and not the payload.
    assert_eq!(
        submitted(&home, &["Act", &second, "--unique-key", "k"]),
        (id.clone(), true)
    );
    let (other, duplicate) = submitted(&home, &["Act", &first, "--unique-key", "K"]);
    assert!(!duplicate && other != id);
    let (plain, duplicate) = submitted(&home, &["Act", &first]);
    assert!(!duplicate && plain != id, "no key, no duplicate");
    home.open_gate("gate");
    for id in [&id, &other, &plain] {
        assert_eq!(home.wait(id).state, JobState::Succeeded);
    }
    let (again, duplicate) = submitted(&home, &["Act", &first, "--unique-key", "k"]);
    assert!(!duplicate && again != id, "the key is free again");
    home.wait(&again);
}

/// The four values as a configuration sets them, each with three twins behind a gate.
#[test]
fn on_duplicate_in_all_four_values() {
    for (policy, accepted) in [
        ("parallel", 3),
        ("serial", 3),
        ("discard", 1),
        ("queue_one", 2),
    ] {
        let home = fixture();
        let text = format!("[dispatchers.Exclusive]\non_duplicate = \"{policy}\"\nconcurrency = 0");
        let file = configure(&home, &text);
        let payload = json!({ "name": policy, "gate": "gate" }).to_string();
        let words = ["--config", &file, "Exclusive", &payload];
        let answers: Vec<_> = (0..3).map(|_| submitted(&home, &words)).collect();
        let new: Vec<_> = answers.iter().filter(|(_, duplicate)| !duplicate).collect();
        assert_eq!(new.len(), accepted, "{policy}: {answers:?}");
        assert_eq!(home.ids().len(), accepted);
        if policy != "parallel" {
            home.wait_running(&new[0].0);
            for (id, _) in &new[1..] {
                assert_eq!(home.stands(id), (JobState::Queued, 0), "{policy}");
                let text = prints(&home, ["show", id]);
                assert!(text.contains("held until a job like it ends"), "{text}");
            }
        }
        home.open_gate("gate");
        for (id, _) in new {
            let state = home.wait(id).state;
            // Only one may be in there at a time: what runs in parallel finds that out.
            assert!(
                state == JobState::Succeeded || policy == "parallel",
                "{policy}"
            );
        }
    }
}

#[test]
fn max_queue_and_concurrency_from_the_configuration() {
    let home = fixture();
    let file = configure(&home, "[dispatchers.Act]\nmax_queue = 2\nconcurrency = 1");
    let payload = json!({ "deed": { "wait_for": "gate" } }).to_string();
    let words = ["--config", &file, "Act", &payload];
    let (first, _) = submitted(&home, &words);
    let (second, _) = submitted(&home, &words);
    home.wait_running(&first);
    assert_eq!(home.stands(&second).0, JobState::Queued);
    let output = home.output(["notifydispatcher"].iter().chain(&words), b"");
    let text = refused(&output, 69);
    assert!(text.contains("max_queue = 2"), "{text}");
    home.open_gate("gate");
    home.wait(&first);
    home.wait(&second);
    let most = u32::MAX;
    let file = configure(
        &home,
        &format!("[dispatchers.Act]\nmax_queue = {most}\nconcurrency = {most}"),
    );
    let payload = json!({ "deed": "succeed" }).to_string();
    let (third, _) = submitted(&home, &["--config", &file, "Act", &payload]);
    assert_eq!(home.wait(&third).state, JobState::Succeeded);
    let beyond = configure(&home, "[dispatchers.Act]\nmax_queue = 4294967296");
    let output = home.output(
        ["notifydispatcher", "--config", &beyond, "Act", &payload],
        b"",
    );
    assert_eq!(output.status.code(), Some(78), "{output:#?}");
    assert!(
        said(&output.stderr).contains("`max_queue` takes"),
        "{output:#?}"
    );
}

#[test]
fn priority_at_both_ends_from_outside() {
    let home = fixture();
    let gate = json!({ "name": "gate", "gate": "gate" }).to_string();
    let (running, _) = submitted(&home, &["Exclusive", &gate]);
    home.wait_running(&running);
    for (name, priority) in [
        ("low", "-2147483648"),
        ("none", "0"),
        ("high", "2147483647"),
    ] {
        let payload = json!({ "name": name }).to_string();
        submitted(&home, &["Exclusive", &payload, "--priority", priority]);
    }
    for beyond in ["2147483648", "-2147483649", "1.5", "high"] {
        let words = ["notifydispatcher", "Exclusive", "{}", "--priority", beyond];
        refused(&home.output(words, b""), 64);
    }
    home.open_gate("gate");
    for id in home.ids() {
        home.wait(&id);
    }
    assert_eq!(home.starts(), ["gate", "high", "none", "low"]);
}

/// An alias of the attribute, one of the configuration, and two that cannot be.
#[test]
fn alias_and_aliases() {
    let home = fixture();
    let file = configure(&home, "[aliases]\n\"App/Jobs\\\\Act now\" = \"Act\"");
    let payload = json!({ "deed": "succeed" }).to_string();
    let (id, _) = submitted(&home, &["--config", &file, "App/Jobs\\Act now", &payload]);
    assert_eq!(home.wait(&id).dispatcher, "Act");
    let gate = json!({ "name": "by alias" }).to_string();
    let (id, _) = submitted(&home, &["App\\Exclusive", &gate]);
    assert_eq!(home.wait(&id).dispatcher, "Exclusive");
    // Names are exact, and an alias that is not configured is none.
    refused(
        &home.output(["notifydispatcher", "App/Jobs\\Act now", &payload], b""),
        64,
    );
    refused(
        &home.output(["notifydispatcher", "app\\exclusive", &gate], b""),
        64,
    );
    for (text, said_of) in [
        ("[aliases]\nact = \"Nobody\"", "Nobody"),
        (
            "[aliases]\nExclusive = \"Act\"",
            "two dispatchers answer to `Exclusive`",
        ),
        (
            "[aliases]\n\"tests.exclusive\" = \"Act\"",
            "two dispatchers answer to `tests.exclusive`",
        ),
        ("[aliases]\nact = \"tests.exclusive\"", "tests.exclusive"),
    ] {
        let file = configure(&home, text);
        let output = home.output(["list", "--config", &file], b"");
        assert_eq!(output.status.code(), Some(78), "{text}: {output:#?}");
        let complaint = said(&output.stderr);
        assert!(complaint.contains(said_of), "{text}: {complaint}");
        assert!(complaint.contains("line 3"), "{text}: {complaint}");
    }
}
