//! A worker in PHP and one in Python, asked directly: what each of the protocol's sentences means.

use dispatcher_tests::{Home, PATIENCE, Probe, eventually, exec, is_alive, refusal};
use serde_json::{Value, json};

use crate::{FIXTURE, Language, in_every_language, serve, wait_replaced, workers};

in_every_language!(
    says_hello,
    gets_context_and_body,
    finds_what_the_protocol_promises,
    lives_on_after_a_soft_error,
    is_replaced_when_it_exits,
    is_replaced_when_it_takes_too_long,
    is_relieved_of_a_task_that_it_does_not_want,
    is_relieved_at_most_three_times,
    prints_where_a_header_should_be,
    answers_in_pieces,
    answers_in_pieces_that_want_a_word,
    stops_a_stream_that_nobody_wants,
    takes_and_gives_sixteen_mebibytes,
    ends_with_zero_when_it_is_told_to,
);

const ONE: &str = "workers = 1\nstop_timeout = \"30s\"";

fn says_hello(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    assert_eq!(probe.reply("w", "Ann"), "hello Ann");
    let pid: i32 = probe.reply("w", "pid").parse().expect("a number");
    let workers = workers(&home, "w");
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert_eq!(
        (&workers[0]["pid"], &workers[0]["served"]),
        (&json!(pid), &json!(2))
    );
    let (kind, _, text) = probe.refusal("wx", "Ann");
    assert_eq!((&*kind, &*text), ("no_such_pool", "there is no pool `wx`"));
}

fn gets_context_and_body(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let mut ask = |context: &str, body: &str| {
        let question = json!({"exec": {"pool": "w", "context": context, "body": body, "flags": 4}});
        probe.try_ask(&question).expect("an answer")["reply"].take()
    };
    let reply = ask("{\"lastTick\":0}", "context of a tick");
    let expected = json!({"flags": 0, "context": "{\"lastTick\":0}", "body": "of a tick"});
    assert_eq!(reply, expected);
    assert_eq!(ask("", "context ")["context"], "");
}

fn finds_what_the_protocol_promises(language: Language) {
    let home = Home::new(FIXTURE);
    let keys = format!("{ONE}\nmode = \"ticker\"\nenv = {{ APP_ENV = \"test\" }}");
    let _service = serve(&home, &language.pool(&keys));
    let mut probe = Probe::connect(&home);
    for (variable, value) in [
        ("RR_RELAY", "pipes"),
        ("RR_MODE", "ticker"),
        ("RR_VERSION", env!("CARGO_PKG_VERSION")),
        ("APP_ENV", "test"),
        ("HOME", home.path().to_str().expect("UTF-8")),
    ] {
        assert_eq!(
            probe.reply("w", &format!("env {variable}")),
            value,
            "{variable}"
        );
    }
}

fn lives_on_after_a_soft_error(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    let (kind, _, text) = probe.refusal("w", "error no such customer");
    assert_eq!(
        (&*kind, &*text),
        ("refused", "the worker says: no such customer")
    );
    assert_eq!(probe.reply("w", "pid"), before);
}

fn is_replaced_when_it_exits(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    let (kind, cause, text) = probe.refusal("w", "exit 3");
    assert_eq!((&*kind, &*cause), ("worker_died", "exited"), "{text}");
    assert!(
        text.contains("exit code 3") || text.contains("code 3"),
        "{text}"
    );
    assert_ne!(probe.reply("w", "pid"), before);
    wait_replaced(&home, "w", "crashed");
}

fn is_replaced_when_it_takes_too_long(language: Language) {
    let home = Home::new(FIXTURE);
    let keys = "workers = 1\nexec_timeout = \"300ms\"\nstop_timeout = \"100ms\"";
    let _service = serve(&home, &language.pool(keys));
    let mut probe = Probe::connect(&home);
    let before: i32 = probe.reply("w", "pid").parse().expect("a number");
    let (kind, _, text) = probe.refusal("w", "sleep 1000");
    assert_eq!(kind, "exec_timeout", "{text}");
    assert!(text.contains("300ms"), "{text}");
    eventually("it is killed", PATIENCE, || !is_alive(before));
    assert_ne!(probe.reply("w", "pid"), before.to_string());
}

fn is_relieved_of_a_task_that_it_does_not_want(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    let mark = home.file("asked-once");
    let after = probe.reply("w", &format!("once {}", mark.display()));
    assert!(mark.exists() && after != before, "{before} {after}");
    wait_replaced(&home, "w", "asked");
}

fn is_relieved_at_most_three_times(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let (kind, _, text) = probe.refusal("w", "stop");
    assert_eq!(kind, "unwanted", "{text}");
    assert!(text.starts_with("4 workers"), "{text}");
    assert_eq!(probe.reply("w", "Ann"), "hello Ann");
}

fn prints_where_a_header_should_be(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    let (kind, cause, text) = probe.refusal("w", "echo debug: $x is 7");
    assert_eq!(
        (&*kind, &*cause),
        ("worker_died", "protocol_error"),
        "{text}"
    );
    assert!(text.contains("debug: $x"), "{text}");
    assert_ne!(probe.reply("w", "pid"), before);
}

/// Of a streamed answer so many pieces.
fn pieces(probe: &mut Probe, body: &str, most: usize) -> Value {
    let question = json!({"exec": {"pool": "w", "body": body, "stream": most}});
    probe.try_ask(&question).expect("an answer")["chunks"].take()
}

fn answers_in_pieces(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    assert_eq!(pieces(&mut probe, "stream 3", 100), json!(["1", "2", "3"]));
    assert_eq!(probe.reply("w", "stream 3"), "123", "put together");
    assert_eq!(probe.reply("w", "pid"), before);
}

fn answers_in_pieces_that_want_a_word(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    assert_eq!(pieces(&mut probe, "ping 3", 100), json!(["1", "2", "3"]));
    assert_eq!(probe.reply("w", "Ann"), "hello Ann");
}

fn stops_a_stream_that_nobody_wants(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    for endless in ["stream 1000000000", "ping 1000000000"] {
        assert_eq!(pieces(&mut probe, endless, 2), json!(["1", "2"]));
        assert_eq!(probe.reply("w", "pid"), before, "it serves the next task");
    }
}

fn takes_and_gives_sixteen_mebibytes(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool(ONE));
    let mut probe = Probe::connect(&home);
    let large: String = ('a'..='z').cycle().take(16 << 20).collect();
    let back = probe.reply("w", &format!("large {large}"));
    assert!(large.bytes().rev().eq(back.bytes()), "{} bytes", back.len());
}

fn ends_with_zero_when_it_is_told_to(language: Language) {
    let home = Home::new(FIXTURE);
    let codes = home.file("codes");
    let script = format!(
        "{} {}; echo $? >> {}",
        language.program,
        language.script().display(),
        codes.display()
    );
    let config = format!("[pools.w]\ncommand = [\"sh\", \"-c\", {script:?}]\n{ONE}\nmax_jobs = 2");
    let service = serve(&home, &config);
    let mut probe = Probe::connect(&home);
    for _ in 0..5 {
        probe.reply("w", "pid");
    }
    eventually("two have served enough", PATIENCE, || {
        home.read("codes") == "0\n0\n"
    });
    drop(probe);
    dispatcher_tests::terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.read("codes"), "0\n0\n0\n");
}

#[test]
fn both_sides_may_write_sixteen_mebibytes_at_once() {
    let home = Home::new(FIXTURE);
    let eager = Language {
        program: "python3",
        worker: "worker.py",
        file: "eager.py",
    };
    let _service = serve(&home, &eager.pool(ONE));
    let mut probe = Probe::connect(&home);
    let large = "x".repeat(16 << 20);
    let back = probe.reply("w", &large);
    assert!(back.len() == large.len() && back.bytes().all(|it| it == b'0'));
    assert_eq!(probe.reply("w", "four"), "0000");
}

#[test]
fn requests_of_one_pool_are_answered_to_whoever_asked() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &crate::PYTHON.pool("workers = 3"));
    let mut probes: Vec<Probe> = (0..6).map(|_| Probe::connect(&home)).collect();
    for round in 0..20 {
        for (at, probe) in probes.iter_mut().enumerate() {
            let question = match (round + at) % 4 {
                3 => exec("w", &format!("error {at}.{round}")),
                _ => exec("w", &format!("context {at}.{round}")),
            };
            probe.tell(&question).expect("it listens");
        }
        for (at, probe) in probes.iter_mut().enumerate() {
            let answer = probe.hear().expect("an answer");
            match (round + at) % 4 {
                3 => assert_eq!(refusal(&answer).2, format!("the worker says: {at}.{round}")),
                _ => assert_eq!(answer["reply"]["body"], format!("{at}.{round}")),
            }
        }
    }
}
