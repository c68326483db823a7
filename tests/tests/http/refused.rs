//! The negative list: what is refused, each with its status, and always as a problem.

use std::io::{Read as _, Write as _};

use dispatcher_tests::http::{Answer, Letter, SECRET, connect, fresh_id, now};
use dispatcher_tests::{Home, PATIENCE, eventually};
use serde_json::{Value, json};

use crate::{FIXTURE, service};

/// The body of a job that is fine.
const FINE: &[u8] = br#"{"job":"Act","payload":{"deed":"succeed"}}"#;

fn fine() -> Letter {
    Letter::signed_as("/v1/jobs", &fresh_id(), now(), FINE)
}

/// Checks that it is a problem as RFC 9457 has it.
fn problem(answer: &Answer) -> Value {
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status, "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    problem
}

/// Letters of people who are not known, and of those who were caught changing something.
fn unknown_letters() -> Vec<(&'static str, Letter)> {
    let stranger = "Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v";
    let signature = fine().headers.pop().unwrap().1;
    let (id, time) = (fresh_id(), now());
    let mut changed_byte = fine();
    changed_byte.body[2] ^= 1;
    vec![
        ("no headers", Letter::post("/v1/jobs", FINE)),
        ("a changed byte", changed_byte),
        ("a changed id", fine().with("webhook-id", "other")),
        (
            "a changed time",
            fine().with("webhook-timestamp", &(now() - 7).to_string()),
        ),
        (
            "too old",
            Letter::signed_as("/v1/jobs", &id, time - 310, FINE),
        ),
        (
            "too new",
            Letter::signed_as("/v1/jobs", &id, time + 310, FINE),
        ),
        (
            "another secret",
            Letter::signed_with(stranger, "/v1/jobs", &id, time, FINE),
        ),
        (
            "a dot in the id",
            Letter::signed_as("/v1/jobs", "a.b", time, FINE),
        ),
        (
            "a comma in the id",
            Letter::signed_as("/v1/jobs", "a,b", time, FINE),
        ),
        (
            "a long id",
            Letter::signed_as("/v1/jobs", &"x".repeat(129), time, FINE),
        ),
        (
            "a plus in the time",
            fine().with("webhook-timestamp", &format!("+{time}")),
        ),
        (
            "a space in the time",
            fine().with("webhook-timestamp", &format!("{time} 0")),
        ),
        ("no signature", fine().with("webhook-signature", "")),
        ("17 signatures", {
            let all = format!("{}{signature}", "v1,x ".repeat(16));
            fine().with("webhook-signature", &all)
        }),
        ("the secret as a token", {
            let letter = Letter::post("/v1/jobs", FINE);
            letter.with("authorization", &format!("Bearer {SECRET}"))
        }),
        ("broken JSON", Letter::post("/v1/jobs", b"{{{{")),
    ]
}

#[test]
fn whoever_is_not_known_hears_one_answer() {
    let (home, _service, address) = service("");
    let letters = unknown_letters();
    let mut said = Vec::new();
    for (what, letter) in letters {
        let answer = letter.send(&address);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some(), "{what}");
        said.push(problem(&answer));
    }
    assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:?}");
    let twice = {
        let mut letter = fine();
        letter
            .headers
            .push(("webhook-id".to_owned(), "second".to_owned()));
        letter.send(&address)
    };
    assert_eq!(twice.status, 401, "a header that is there twice");
    let output = home.output(["jobs", "--ids"], b"");
    assert_eq!(output.stdout, b"");
}

#[test]
fn looks_take_a_token() {
    let (_home, _service, address) = service("");
    let id = fine().send(&address).id();
    for path in [
        format!("/v1/jobs/{id}"),
        format!("/v1/jobs/{id}/output"),
        format!("/v1/jobs/{id}/log"),
        "/openapi.json".to_owned(),
    ] {
        let bare = Letter::bare_get(&path);
        let answer = bare.send(&address);
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        problem(&answer);
        let secret = bare.with("authorization", &format!("Bearer {SECRET}"));
        assert_eq!(
            secret.send(&address).status,
            401,
            "{path}: the secret is no token"
        );
    }
    for path in [
        "/v1/jobs/0000000000000000",
        "/v1/jobs/x",
        "/v1/jobs/%00",
        "/v1/jobs/",
    ] {
        let answer = Letter::get(path).send(&address);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        problem(&answer);
    }
}

#[test]
fn routes_and_methods_are_exact() {
    let (_home, _service, address) = service("");
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/jobs/",
        "/metrics",
        "/dispatch/x",
        "/%ff",
    ] {
        let answer = Letter::signed_as(path, &fresh_id(), now(), FINE).send(&address);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        problem(&answer);
    }
    for (path, allow) in [
        ("/v1/jobs", "POST"),
        ("/v1/batches", "POST"),
        ("/dispatch", "POST"),
        ("/v1/jobs/x/cancel", "POST"),
        ("/v1/jobs/x", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
    ] {
        let wrong = Letter {
            method: "PUT".to_owned(),
            ..Letter::post(path, b"{}")
        };
        let answer = wrong.send(&address);
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allow)),
            "{path}"
        );
        problem(&answer);
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let (home, _service, address) = service("");
    let cases = [
        (json!([]), 422, ""),
        (json!({}), 422, "/job"),
        (json!({ "job": 7 }), 422, "/job"),
        (json!({ "job": "act" }), 422, "/job"),
        (json!({ "job": "Act" }), 422, "/payload"),
        (
            json!({ "job": "Act", "payload": { "deed": "fly" } }),
            422,
            "/payload",
        ),
        (json!({ "job": "OnRequest", "qeue": "x" }), 422, "/qeue"),
        (
            json!({ "job": "OnRequest", "queue": "nobody's" }),
            422,
            "/queue",
        ),
        (json!({ "job": "OnRequest", "queue": "" }), 422, "/queue"),
        (json!({ "job": "OnRequest", "delay": -1 }), 422, "/delay"),
        (json!({ "job": "OnRequest", "delay": 1e300 }), 422, "/delay"),
        (
            json!({ "job": "OnRequest", "timeout": "soon" }),
            422,
            "/timeout",
        ),
        (
            json!({ "job": "OnRequest", "retries": -1 }),
            422,
            "/retries",
        ),
        (
            json!({ "job": "OnRequest", "priority": 3_000_000_000_u64 }),
            422,
            "/priority",
        ),
        (json!({ "job": "OnRequest", "async": "no" }), 422, "/async"),
        (
            json!({ "job": "OnRequest", "callback_url": "http://evil.example" }),
            422,
            "/callback_url",
        ),
    ];
    for (body, status, pointer) in cases {
        let answer = Letter::signed("/v1/jobs", &body).send(&address);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        let problem = problem(&answer);
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    assert_eq!(home.output(["jobs", "--ids"], b"").stdout, b"");
}

#[test]
fn a_batch_that_does_not_fit_is_refused_whole() {
    let (home, _service, address) = service("");
    for (body, pointer) in [
        (json!({ "jobs": [] }), "/jobs"),
        (json!({}), "/jobs"),
        (json!({ "jobs": { "job": "Act" } }), "/jobs"),
        (json!({ "jobs": [{ "job": "OnRequest" }, 7] }), "/jobs/1"),
        (
            json!({ "jobs": [{ "job": "OnRequest" }, { "job": "x" }] }),
            "/jobs/1/job",
        ),
        (
            json!({ "jobs": [{ "job": "OnRequest", "async": false }] }),
            "/jobs/0/async",
        ),
        (
            json!({ "jobs": vec![json!({ "job": "Ten" }); 11] }),
            "/jobs",
        ),
    ] {
        let answer = Letter::signed("/v1/batches", &body).send(&address);
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        let problem = problem(&answer);
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let output = home.output(["jobs", "--ids"], b"");
    assert_eq!(output.stdout, b"", "all or nothing");
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let (_home, _service, address) = service("");
    let signed = |body: &[u8]| Letter::signed_as("/v1/jobs", &fresh_id(), now(), body);
    let deep = "[".repeat(65);
    let deeper = format!("{{\"job\":\"Act\",\"payload\":{}", "[".repeat(100_000));
    for body in ["", "{", "nonsense", "{\"job\":}", "\u{0}", &deep, &deeper] {
        let answer = signed(body.as_bytes()).send(&address);
        assert_eq!(answer.status, 400, "{body:.20}: {answer:?}");
        problem(&answer);
    }
    let answer = signed(b"\xff\xfe{}").send(&address);
    assert_eq!(answer.status, 400);
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let answer = fine().with("content-type", kind).send(&address);
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
        problem(&answer);
    }
    assert_eq!(fine().without("content-type").send(&address).status, 415);
    let utf8 = fine().with("content-type", "application/json; charset=utf-8");
    assert_eq!(utf8.send(&address).status, 202);
}

#[test]
fn bodies_have_a_limit_in_size_and_in_time() {
    let limits =
        "[sources.http.limits]\nbody_bytes = 10000\nread_timeout = \"1s\"\nbatch_jobs = 3\n";
    let (_home, _service, address) = service(limits);
    let large = vec![b' '; 10_001];
    let declared = Letter::signed_as("/v1/jobs", &fresh_id(), now(), &large);
    let answer = declared.send(&address);
    assert_eq!(answer.status, 413, "{answer:?}");
    problem(&answer);
    // Without a length, it is counted as it comes.
    let chunked = declared.with("transfer-encoding", "chunked");
    let mut stream = connect(&address);
    stream.write_all(&chunked.head(&address)).unwrap();
    let mut written = 0;
    while written < 100
        && stream
            .write_all(&[b"3e8\r\n", &[b' '; 1000][..], b"\r\n"].concat())
            .is_ok()
    {
        written += 1;
    }
    let answer = Answer::read(stream);
    assert_eq!(answer.status, 413, "{answer:?}");
    // A body that does not come holds nobody up.
    let slow = fine().with("content-length", "100");
    let mut stream = connect(&address);
    stream.write_all(&slow.head(&address)).unwrap();
    stream.write_all(b"{").unwrap();
    assert_eq!(
        fine().send(&address).status,
        202,
        "others are served meanwhile"
    );
    let answer = Answer::read(stream);
    assert_eq!(answer.status, 408, "{answer:?}");
    problem(&answer);
    let many = json!({ "jobs": vec![json!({ "job": "OnRequest" }); 4] });
    let answer = Letter::signed("/v1/batches", &many).send(&address);
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[test]
fn a_key_has_its_jobs_its_queues_and_its_pace() {
    let other = "Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v";
    let keys = format!(
        "[[sources.http.keys]]\nid = \"notes\"\nsecret = \"whsec_{other}\"\njobs = [\"Note\", \
         \"tests.exclusive\"]\nqueues = [\"default\"]\nrate = 0.001\nburst = 6\n[service]\n\
         queues = [\"default\", \"mail\"]\n"
    );
    let (_home, _service, address) = service(&keys);
    let send = |body: Value| {
        let body = body.to_string();
        Letter::signed_with(other, "/v1/jobs", &fresh_id(), now(), body.as_bytes()).send(&address)
    };
    let note = json!({ "job": "Note", "payload": { "file": "n", "text": "t" } });
    assert_eq!(send(note.clone()).status, 202);
    let exclusive = json!({ "job": "Exclusive", "payload": { "name": "n" } });
    assert_eq!(send(exclusive).status, 202, "an alias names its dispatcher");
    for body in [json!({ "job": "Act" }), json!({ "job": "there is none" })] {
        let answer = send(body);
        assert_eq!(answer.status, 403, "{answer:?}");
        problem(&answer);
    }
    let mut elsewhere = note.clone();
    elsewhere["queue"] = json!("mail");
    assert_eq!(send(elsewhere.clone()).status, 403);
    // The other key may, and has ids of its own.
    assert_eq!(
        Letter::signed("/v1/jobs", &elsewhere).send(&address).status,
        202
    );
    let act = json!({ "job": "Act", "payload": { "deed": "succeed" }, "delay": "1h" });
    let id = Letter::signed("/v1/jobs", &act).send(&address).id();
    let body = json!({ "action": "cancel", "id": id }).to_string();
    let path = format!("/v1/jobs/{id}/cancel");
    let cancel = Letter::signed_with(other, &path, &fresh_id(), now(), body.as_bytes());
    assert_eq!(cancel.send(&address).status, 403);
    let answer = send(note);
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    problem(&answer);
}

#[test]
fn two_keys_do_not_share_ids() {
    let other = "Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v";
    let keys = format!("[[sources.http.keys]]\nid = \"second\"\nsecret = \"{other}\"\n");
    let (_home, _service, address) = service(&keys);
    let one = Letter::signed_as("/v1/jobs", "same", now(), FINE).send(&address);
    let two = Letter::signed_with(other, "/v1/jobs", "same", now(), FINE).send(&address);
    assert_eq!((one.status, two.status), (202, 202));
    assert_ne!(one.id(), two.id());
}

#[test]
fn a_service_without_a_good_secret_does_not_start() {
    for (lines, says) in [
        ("is_backend = true\n", "there is no secret"),
        ("is_backend = true\nsecret = \"\"\n", "it is empty"),
        (
            "is_backend = true\nsecret = \"secret\"\n",
            "it is not base64",
        ),
        ("is_backend = true\nsecret = \"Zm9vZm9v\"\n", "24 to 96"),
        (
            "is_backend = true\nsecret = \"Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v\"\nread_tokens = [\"Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v\"]\n",
            "no read token",
        ),
        (
            "is_backend = true\naddress = \"0.0.0.0:0\"\nsecret = \"Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v\"\n",
            "without TLS",
        ),
        ("scret = \"x\"\n", "did you mean `secret`?"),
        ("[sources.http.limits]\nbdy = 1\n", "bdy"),
        (
            "[sources.http.limits]\nreplay_age = \"1h\"\nis_backend = true\n",
            "",
        ),
    ] {
        let home = Home::new(FIXTURE);
        let config = format!("version = 1\n[sources.http]\n{lines}");
        std::fs::write(home.file("dispatcher.toml"), config).unwrap();
        let output = home.output(["serve", "--config", "dispatcher.toml"], b"");
        let said = dispatcher_tests::said(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{lines}");
        assert!(said.contains(says), "{lines}: {said}");
        assert!(!said.contains("Zm9v"), "secrets are not told: {said}");
    }
}

#[test]
fn the_secret_may_stand_in_the_environment() {
    let home = Home::new(FIXTURE);
    let config = "version = 1\n[sources.http]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(home.file("dispatcher.toml"), config).unwrap();
    let config = home.file("dispatcher.toml");
    let arguments = ["--config", config.to_str().unwrap()];
    let variables = [
        ("DISPATCHER_BACKEND_SECRET", SECRET),
        ("DISPATCHER_IS_BACKEND", "true"),
    ];
    let service = dispatcher_tests::Serving::start_with(&home, &arguments, &variables);
    let address = service.http_address(&home);
    assert_eq!(fine().send(&address).status, 202);
    drop(service);
    // Without the other variable, nothing is received.
    let _service = dispatcher_tests::Serving::start_with(&home, &arguments, &variables[..1]);
    eventually("it says so", PATIENCE, || {
        home.read("service.log")
            .contains("nothing is received over HTTP")
            .then_some(())
    });
}

/// Strangers cost next to nothing: the service answers, and its memory stays as it was.
#[test]
fn a_hundred_thousand_strangers_change_nothing() {
    let (home, service, address) = service("");
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().split(' ').next().unwrap();
        kib.parse::<u64>().unwrap()
    };
    let count = dispatcher_tests::Size::get().pick(4_000, 100_000);
    let letter = Letter::signed_with(
        "Zm9vZm9vZm9vZm9vZm9vZm9vZm9vZm9v",
        "/v1/jobs",
        "m",
        now(),
        FINE,
    );
    let request = [letter.head(&address), FINE.to_vec()].concat();
    let request = String::from_utf8(request)
        .unwrap()
        .replace("connection: close\r\n", "");
    let knock = |count: u32| {
        let mut stream = connect(&address);
        let mut answer = [0; 4096];
        for _ in 0..count {
            stream.write_all(request.as_bytes()).unwrap();
            let read = stream.read(&mut answer).unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 401 "), "{read}");
        }
    };
    knock(500);
    let before = resident();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| knock(count / 8));
        }
    });
    let after = resident();
    assert!(after < before + 4096, "{before} KiB, then {after} KiB");
    assert_eq!(fine().send(&address).status, 202);
    assert!(
        home.read("service.log").len() < 100_000,
        "the log is not theirs to fill"
    );
}
