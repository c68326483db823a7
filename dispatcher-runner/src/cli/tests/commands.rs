//! Every command but `notifydispatcher`.

use dispatcher_core::Definition;
use serde_json::{Value, json};

use super::*;

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn secrets_are_shown_nowhere() {
    let mut program = program();
    let id = program.submit("CliLogin {\"user\":\"ann\",\"token\":\"hunter2\"}");
    program.then(|_| {});
    let commands = [
        "jobs",
        "jobs --json",
        &format!("show {id}"),
        &format!("show {id} --json"),
        "list --json",
        "status --json",
    ];
    for line in commands {
        let ran = program.run(line);
        assert_eq!(ran.code, 0, "{line}");
        assert!(
            !ran.out.contains("hunter2") && !ran.err.contains("hunter2"),
            "{line}: {}",
            ran.out
        );
    }
    assert!(
        program
            .run("jobs")
            .out
            .contains("{\"token\":\"***\",\"user\":\"ann\"}")
    );
    // A program that knows nothing of the dispatcher learns its secrets from the row.
    program.registry = Registry::default();
    let ran = program.run("jobs");
    assert!(
        ran.out.contains("{\"token\":\"***\",\"user\":\"ann\"}"),
        "{}",
        ran.out
    );
}

#[test]
fn jobs_are_filtered() {
    let mut program = program();
    program.configure("[service]\nqueues = [\"slow\"]");
    let ann = program.submit("CliLogin {\"user\":\"ann\"} --queue slow");
    let idle = program.submit("CliIdle");
    run_next(&mut program.host.store, &End::default());
    for (line, expected) in [
        ("jobs --ids", vec![idle, ann]),
        ("jobs --ids --dispatcher CliLogin", vec![ann]),
        ("jobs --ids --dispatcher cli.login", vec![ann]),
        ("jobs --ids --queue slow", vec![ann]),
        ("jobs --ids --search user=ann", vec![ann]),
        ("jobs --ids --search user=bob", vec![]),
        ("jobs --ids --limit 1", vec![idle]),
    ] {
        let ran = program.run(line);
        let found: Vec<JobId> = ran.out.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(found, expected, "{line}");
    }
    assert_eq!(
        json(&program.run("jobs --state succeeded --json"))
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for (line, what) in [
        ("jobs --state quued", "no state is called `quued`"),
        ("jobs --search user", "--search cannot be `user`"),
        ("jobs --limit 0", "--limit cannot be `0`"),
        ("jobs --dispatcher Nope", "no dispatcher is called `Nope`"),
    ] {
        let ran = program.run(line);
        assert_eq!(ran.code, 64, "{line}");
        assert!(
            ran.err.starts_with(&format!("error: {what}\n")),
            "{}",
            ran.err
        );
    }
    let none = program.run("jobs --queue nothing");
    assert_eq!((none.code, none.out.as_str()), (0, ""));
}

/// Whoever may list jobs must not find a secret by trying values out.
#[test]
fn a_search_finds_what_is_shown() {
    let mut program = program();
    let ann = program.submit("CliLogin {\"user\":\"ann\",\"token\":\"hunter2\"}");
    program.submit("CliLogin {\"user\":\"bob\",\"token\":\"ann\"}");
    for (search, found) in [
        ("user=ann", vec![ann]),
        ("token=hunter2", vec![]),
        ("token=ann", vec![]),
        ("=ann", vec![]),
    ] {
        let ran = program.run(&format!("jobs --ids --search {search}"));
        let ids: Vec<_> = found.iter().map(|id| format!("{id}\n")).collect();
        assert_eq!(ran.out, ids.concat(), "{search}");
    }
    let ran = program.run("jobs --ids --limit 1 --search user=ann");
    assert_eq!(ran.out, format!("{ann}\n"), "the newest does not match");
}

#[test]
fn ids_may_be_shortened() {
    let mut program = program();
    let ids: Vec<_> = (0..3).map(|_| program.submit("CliIdle")).collect();
    let prefix = |id: &JobId, len: usize| id.as_str()[..len].to_owned();
    let unique = (1..=16)
        .find(|len| {
            ids[1..]
                .iter()
                .all(|id| prefix(id, *len) != prefix(&ids[0], *len))
        })
        .unwrap();
    let ran = program.run(&format!("show {}", prefix(&ids[0], unique).to_uppercase()));
    assert!(ran.out.contains(ids[0].as_str()), "{ran:?}");
    for typed in ["", "uuu", "!", "12345678901234567"] {
        let ran = program.run_words(&["show", typed]);
        assert_eq!(ran.code, 64, "{typed:?}");
        assert!(
            ran.err.starts_with(&format!("error: `{typed}` is no id\n")),
            "{}",
            ran.err
        );
    }
    let ran = program.run("show zzzzzzzzzzzzzzzz");
    assert!(
        ran.err
            .starts_with("error: no job has the id zzzzzzzzzzzzzzzz\n"),
        "{}",
        ran.err
    );
}

#[test]
fn ambiguous_ids_list_their_candidates() {
    let mut program = program();
    // 32 first characters and more jobs than that: some share one.
    program.run("pause CliIdle");
    let ids: Vec<_> = (0..10).map(|_| program.submit("CliIdle")).collect();
    let shared = |len: usize| {
        ids.iter().find_map(|id| {
            let prefix = &id.as_str()[..len];
            let like = ids
                .iter()
                .filter(|other| other.as_str().starts_with(prefix))
                .count();
            (like > 1).then(|| prefix.to_owned())
        })
    };
    let Some(prefix) = shared(1) else {
        return;
    };
    let ran = program.run(&format!("show {prefix}"));
    assert_eq!(ran.code, 64);
    let what =
        format!("error: several jobs have ids that begin with {prefix}\nbecause: there are ");
    assert!(ran.err.starts_with(&what), "{}", ran.err);
}

#[test]
fn show_tells_everything() {
    let mut program = program();
    let id = program.submit("CliLogin {\"user\":\"ann\"} --retries 1");
    let end = End {
        cause: failure("no such host"),
        next: Next::Retry {
            after: Duration::ZERO,
        },
        ..End::default()
    };
    run_next(&mut program.host.store, &end);
    let end = End {
        cause: Cause::TimedOut,
        next: Next::Fail,
        stderr: "one\ntwo\x1b[2J\n",
        ..End::default()
    };
    run_next(&mut program.host.store, &end);
    let ran = program.run(&format!("show {id}"));
    for part in [
        "dispatcher CliLogin\n",
        "state      failed at ",
        "cause      it ran longer than its timeout of 1m and was stopped\n",
        "payload    {\"user\":\"ann\"}\n",
        " by a test\n",
        "build      1-2-3-4\n",
        "attempts   2 started, ",
        "options    timeout = 1m, retries = 1\n",
        "failed: no such host\n",
        "last lines of stderr\n  one\n  two\u{fffd}[2J\n",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    let value = json(&program.run(&format!("show {id} --json")));
    assert_eq!(value["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(value["outcome"]["cause"], "timed_out");
    assert_eq!(value["attempts"][0]["run_time_ms"], 2000);
}

#[test]
fn logs_show_both_streams_of_an_attempt() {
    let mut program = program();
    let id = program.submit("CliIdle --retries 1");
    for (text, next) in [
        (
            "first\n",
            Next::Retry {
                after: Duration::ZERO,
            },
        ),
        ("second\n", Next::Fail),
    ] {
        let end = End {
            cause: failure("no"),
            next,
            stdout: text,
            stderr: "err\n",
            ..End::default()
        };
        run_next(&mut program.host.store, &end);
    }
    let ran = program.run(&format!("logs {id}"));
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("second\n", "err\n"));
    let ran = program.run(&format!("logs {id} --attempt 1 -f"));
    assert_eq!(ran.out, "first\n");
    let ran = program.run(&format!("logs {id} --attempt 3"));
    assert_eq!(ran.code, 1);
    let value = json(&program.run(&format!("logs {id} --json")));
    assert_eq!(value["stdout"]["head"], "second\n");
}

#[test]
fn logs_follow_until_the_end() {
    let mut program = program();
    let id = program.submit("CliIdle");
    program.then(|_| {}).then(|store| {
        let end = End {
            stdout: "late\n",
            ..End::default()
        };
        run_next(store, &end);
    });
    let ran = program.run(&format!("logs -f {id}"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "late\n"));
}

#[test]
fn outputs_are_read_back() {
    let mut program = program();
    let id = program.submit("CliIdle");
    assert_eq!(program.run("output --latest CliIdle").code, 1);
    let ran = program.run(&format!("output {id}"));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("it is still queued"), "{}", ran.err);
    let end = End {
        output: Some("{\"a\":1}"),
        ..End::default()
    };
    run_next(&mut program.host.store, &end);
    assert_eq!(program.run(&format!("output {id}")).out, "{\"a\":1}\n");
    assert_eq!(program.run("output --latest CliIdle").out, "{\"a\":1}\n");
    let value = json(&program.run("output --latest CliIdle --json"));
    assert_eq!(value["output"]["a"], 1);
    assert_eq!(program.run("output").code, 64);
}

#[test]
fn cancelling_tells_what_became_of_each() {
    let mut program = program();
    let ended = program.submit("CliIdle");
    run_next(&mut program.host.store, &End::default());
    let running = program.submit("CliIdle");
    drop(claim(&mut program.host.store));
    let queued = program.submit("CliIdle");
    let ran = program.run(&format!("cancel {ended} {running} {queued}"));
    assert_eq!(ran.code, 1);
    let expected = format!(
        "{ended} had ended before: succeeded\n{running} being stopped; it will not succeed\n{queued} cancelled\n"
    );
    assert_eq!(ran.out, expected);
    assert_eq!(program.host.woken.len(), 1);
    assert_eq!(program.host.woken_all, 1);
    let ran = program.run(&format!("cancel {queued} --json"));
    assert_eq!(json(&ran)[0]["result"], "cancelled");
}

#[test]
fn a_retry_is_a_new_job() {
    let mut program = program();
    let old = program.submit("CliLogin {\"user\":\"ann\"} --retries 4 --delay 0");
    let ran = program.run(&format!("retry {old}"));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("it is still queued"), "{}", ran.err);
    let end = End {
        cause: failure("no"),
        next: Next::Fail,
        ..End::default()
    };
    run_next(&mut program.host.store, &end);
    let ran = program.run(&format!("retry {old}"));
    let new: JobId = ran.out.trim().parse().unwrap();
    let record = program.host.store.job(new).unwrap().unwrap();
    assert_ne!(new, old);
    assert_eq!(record.retry_of, Some(old));
    assert_eq!(record.options.retries, 4);
    assert_eq!(record.summary.payload, "{\"user\":\"ann\"}");
}

#[test]
fn pausing_works_before_the_first_job() {
    let mut program = program();
    assert_eq!(program.run("pause cli.login").out, "CliLogin is paused\n");
    let ran = program.run("status");
    assert!(
        ran.out
            .contains("warning: CliLogin is paused; `resume CliLogin`"),
        "{}",
        ran.out
    );
    assert!(
        program
            .run("list")
            .out
            .contains("(paused) Logs in somewhere.")
    );
    assert_eq!(program.run("resume CliLogin").out, "CliLogin is resumed\n");
    assert_eq!(program.host.woken_all, 1);
    assert_eq!(program.run("pause Nope").code, 64);
}

#[test]
fn pruning_obeys_the_configuration() {
    let mut program = program();
    for _ in 0..3 {
        program.submit("CliIdle");
        run_next(&mut program.host.store, &End::default());
    }
    assert_eq!(program.run("prune").out, "0 finished jobs removed\n");
    let file = program.folder.path().join("c.toml");
    std::fs::write(&file, "version = 1\n[store.retention]\ncount = 1\n").unwrap();
    let ran = program.run(&format!("prune --config {} --json", file.display()));
    assert_eq!(json(&ran)["removed"], 2);
}

#[test]
fn list_shows_fields_options_and_queues() {
    let mut program = program();
    program.submit("CliLogin");
    let ran = program.run("list");
    assert!(
        ran.out
            .starts_with("NAME      WAITING  RUNNING  SCHEDULE  ABOUT\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("CliLogin        1        0            Logs in somewhere.\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("state: "));
    let ran = program.run("list cli.login");
    for part in [
        "CliLogin\n",
        "The token is never shown.",
        "aliases    cli.login",
        "user: String  Who.",
        "token: String (secret)",
        "timeout = 1m",
        "max_queue = 3",
        "1 waiting, 0 running",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    let value = json(&program.run("list --json"));
    assert_eq!(value[1]["name"], "CliLogin");
    assert_eq!(value[1]["fields"][1]["secret"], true);
    assert_eq!(value[1]["waiting"], 1);
    let page = program.run("list --markdown").out;
    assert!(
        page.starts_with("# Dispatchers of app\n\n## CliIdle\n"),
        "{page}"
    );
    assert!(
        page.contains("| `token` | `String` | Secret. |\n"),
        "{page}"
    );
    assert!(page.contains("| `max_queue` | 3 |\n"), "{page}");
    assert_eq!(program.run("list Nope").code, 64);
    assert_eq!(program.run("list --names").out, "CliIdle\nCliLogin\n");
}

/// With `schema` the payload's is shown, what a secret field is by default left out.
#[test]
fn list_shows_the_schema() {
    let schema = || {
        let token = json!({ "type": "string", "default": "hunter2" });
        json!({ "properties": { "user": { "default": "ann" }, "token": token } })
    };
    let described = Definition {
        schema: Some(schema),
        ..*Login::definition()
    };
    let mut program = program();
    let registry = Registry::builder().with(Box::leak(Box::new(described)));
    program.registry = registry.build().unwrap();
    let listed = json(&program.run("list CliLogin --json"));
    let properties = &listed[0]["schema"]["properties"];
    assert_eq!(properties["user"]["default"], "ann", "{listed:#}");
    assert_eq!(properties["token"]["default"], "***", "{listed:#}");
    assert_eq!(properties["token"]["type"], "string");
}

#[test]
fn list_works_without_a_store() {
    let mut program = program();
    program.host.broken = true;
    let ran = program.run("list");
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.contains("CliLogin        -        -"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.starts_with("error: no space is left for "),
        "{}",
        ran.err
    );
}

#[test]
fn status_tells_who_runs_and_what_waits() {
    let mut program = program();
    program.submit("CliIdle");
    drop(claim(&mut program.host.store));
    program.submit("CliIdle");
    let folder = program.state_folder();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("supervisor.log"), "ERROR no forks left\n").unwrap();
    let ran = program.run("status");
    assert!(
        ran.out
            .contains("1 waiting, 1 running, the oldest submitted "),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("supervisor 1 open\n"), "{}", ran.out);
    assert!(
        ran.out
            .contains("last error in supervisor.log:\n  ERROR no forks left\n"),
        "{}",
        ran.out
    );
    let value = json(&program.run("status --json"));
    assert_eq!(value["supervisors"][0]["pid"], 7);
    assert_eq!(value["supervisors"][0]["state"], "open");
    assert_eq!(value["last_error"], "ERROR no forks left");
    assert_eq!(value["dispatchers"][0]["waiting"], 1);
}

#[test]
fn a_lost_supervisor_is_not_called_open() {
    let mut program = program();
    program.submit("CliIdle");
    drop(claim(&mut program.host.store));
    program.host.lost = true;
    let value = json(&program.run("status --json"));
    assert_eq!(value["supervisors"][0]["state"], "lost");
    let ran = program.run("status");
    assert!(ran.out.contains("supervisor none; "), "{}", ran.out);
}

#[test]
fn the_doctor_answers_for_each_check() {
    let mut program = program();
    let value = program.run("doctor --json").out;
    let value: Value = serde_json::from_str(&value).unwrap();
    let subjects: Vec<_> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        subjects,
        [
            "state",
            "file system",
            "permissions",
            "SQLite",
            "journal",
            "cgroup",
            "/proc",
            "time zones",
            "build",
            "systemd"
        ]
    );
    program.host.broken = true;
    let ran = program.run("doctor");
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.starts_with("fail state: no space is left"),
        "{}",
        ran.out
    );
}

#[test]
fn reading_makes_no_state() {
    let mut program = program();
    program.host.fresh = true;
    let ran = program.run("jobs");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(
        ran.err.starts_with("no jobs yet: the first one makes "),
        "{}",
        ran.err
    );
    assert_eq!(json(&program.run("jobs --json")), serde_json::json!([]));
    let ran = program.run("status");
    assert!(
        ran.out.contains("not there yet") && ran.out.contains("0 waiting"),
        "{}",
        ran.out
    );
    for command in [
        "show abc",
        "logs abc",
        "output abc",
        "cancel abc",
        "retry abc",
    ] {
        let ran = program.run(command);
        assert_eq!(ran.code, 64, "{command}: {ran:?}");
        assert!(
            ran.err.contains("no job has the id abc"),
            "{command}: {}",
            ran.err
        );
    }
    assert_eq!(program.run("output --latest CliLogin").code, 1);
    assert_eq!(program.run("prune").out, "0 finished jobs removed\n");
    assert_eq!(program.run("list").code, 0);
}

#[test]
fn a_retry_that_is_dropped_for_a_duplicate_says_so() {
    let mut program = program();
    let old = program.submit("CliLogin --unique-key one --delay 0");
    let end = End {
        cause: failure("no"),
        next: Next::Fail,
        ..End::default()
    };
    run_next(&mut program.host.store, &end);
    let other = program.submit("CliLogin --unique-key one");
    let ran = program.run(&format!("retry {old}"));
    assert_eq!(ran.out.trim(), other.as_str());
    assert!(ran.err.contains("has the same identity"), "{}", ran.err);
}

#[test]
fn a_delay_is_not_waited_for_twice() {
    let mut program = program();
    let old = program.submit("CliLogin --delay 60");
    let by = "a test";
    program.host.store.cancel(&[old], by).unwrap();
    let ran = program.run(&format!("retry {old}"));
    let new: JobId = ran.out.trim().parse().unwrap();
    let record = program.host.store.job(new).unwrap().unwrap();
    assert_eq!(record.options.delay, None);
    let ran = program.run("retry --help");
    assert!(
        ran.out.contains("delay is not waited for a second time"),
        "{}",
        ran.out
    );
}
