//! The official libraries sign for us and verify what we have signed, with short and long secrets;
//! so does a shell with curl and openssl, as the guide says.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use dispatcher_runner::http::Secret;
use dispatcher_tests::http::{Letter, TOKEN, fresh_id, hear, now};
use dispatcher_tests::{Home, Serving, begin, said, workspace};
use serde_json::{Value, json};

use crate::FIXTURE;
use crate::sent::end_of;

/// A library in its own language.
#[derive(Debug, Clone, Copy)]
enum Library {
    Python,
    JavaScript,
}

impl Library {
    const ALL: [Self; 2] = [Self::Python, Self::JavaScript];

    fn run(self, arguments: &[&str], body: &[u8]) -> Output {
        let (program, script) = match self {
            Self::Python => (
                workspace().join("target/tools/python/bin/python"),
                "official.py",
            ),
            Self::JavaScript => ("node".into(), "official.cjs"),
        };
        let script = workspace().join("tests/fixtures/http").join(script);
        let mut command = Command::new(program);
        command.arg(script).args(arguments).env(
            "NODE_PATH",
            workspace().join("target/tools/node/node_modules"),
        );
        let child = begin(&mut command, body);
        child.wait_with_output().expect("it ends")
    }

    fn sign(self, secret: &str, id: &str, time: u64, body: &[u8]) -> String {
        let output = self.run(&["sign", secret, id, &time.to_string()], body);
        assert!(
            output.status.success(),
            "{self:?}: {}",
            said(&output.stderr)
        );
        said(&output.stdout).trim().to_owned()
    }

    fn verifies(self, secret: &str, id: &str, time: u64, signature: &str, body: &[u8]) -> bool {
        let time = time.to_string();
        let output = self.run(&["verify", secret, id, &time, signature], body);
        output.status.success()
    }
}

/// Secrets of 32, 64 and 128 characters.
fn secrets() -> [String; 3] {
    [32, 64, 128].map(|length: usize| "aB3xZ9".repeat(22)[..length].to_owned())
}

fn keys(secrets: &[String]) -> String {
    let keys = secrets.iter().enumerate().map(|(at, secret)| {
        format!("[[sources.http.keys]]\nid = \"key{at}\"\nsecret = \"{secret}\"\n")
    });
    keys.collect()
}

#[test]
fn official_libraries_sign_for_us() {
    let secrets = secrets();
    let (home, _service, address) = crate::service(&keys(&secrets));
    let note = json!({ "job": "Note", "payload": { "file": "notes", "text": "ä€😀 \"\\" } });
    let body = note.to_string();
    for secret in &secrets {
        for library in Library::ALL {
            let (id, time) = (fresh_id(), now());
            let signature = library.sign(secret, &id, time, body.as_bytes());
            let letter = Letter::post("/v1/jobs", body.as_bytes())
                .with("webhook-id", &id)
                .with("webhook-timestamp", &time.to_string())
                .with("webhook-signature", &signature);
            let answer = letter.send(&address);
            assert_eq!(
                answer.status,
                202,
                "{library:?} {}: {answer:?}",
                secret.len()
            );
            end_of(&address, &answer.id());
        }
    }
    assert_eq!(home.read("notes").lines().count(), 6);
}

#[test]
fn official_libraries_verify_what_we_sign() {
    let body = "{\"text\":\"ä€😀\"}".as_bytes();
    for secret in secrets() {
        let (id, time) = (fresh_id(), now());
        let signature = Secret::parse(&secret).unwrap().sign(&id, time, body);
        for library in Library::ALL {
            assert!(
                library.verifies(&secret, &id, time, &signature, body),
                "{library:?}"
            );
            assert!(
                !library.verifies(&secret, &id, time, &signature, b"{}"),
                "{library:?}"
            );
        }
    }
}

#[test]
fn callbacks_are_signed_retried_and_verified_by_official_libraries() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/done", listener.local_addr().unwrap());
    let [short, secret, _] = secrets();
    let home = Home::new(FIXTURE);
    let config = format!(
        "callbacks = [\"{url}\"]\n{}",
        keys(&[short, secret.clone()])
    );
    let service = Serving::http(&home, &config);
    let address = service.http_address(&home);
    let hearing = thread::spawn(move || {
        [
            "503 Busy",
            "302 Found\r\nLocation: http://127.0.0.1:1/",
            "204 No Content",
        ]
        .map(|status| {
            let answer =
                format!("HTTP/1.1 {status}\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
            hear(&listener, &answer)
        })
    });
    let body = json!({
        "job": "Act", "payload": { "deed": { "output": 7 } }, "callback_url": url,
    });
    let body = body.to_string();
    let letter = Letter::signed_with(&secret, "/v1/jobs", "m1", now(), body.as_bytes());
    let sent = letter.send(&address);
    assert_eq!(sent.status, 202, "{sent:?}");
    let heard = hearing.join().unwrap();
    let ids: Vec<_> = heard.iter().map(|it| it.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for heard in &heard {
        assert!(
            heard.head.starts_with("POST /done HTTP/1.1"),
            "{}",
            heard.head
        );
        let told: Value = serde_json::from_slice(&heard.body).unwrap();
        assert_eq!(told["id"], sent.id());
        assert_eq!(
            (&told["status"], &told["output"]),
            (&json!("succeeded"), &json!(7))
        );
        let time = heard.header("webhook-timestamp").parse().unwrap();
        let signature = heard.header("webhook-signature");
        for library in Library::ALL {
            assert!(library.verifies(&secret, ids[0], time, signature, &heard.body));
        }
    }
}

/// The commands of the guide below a heading.
fn recipe(heading: &str) -> String {
    let guide = std::fs::read_to_string(workspace().join("docs/guide/http.md")).unwrap();
    let (_, section) = guide
        .split_once(heading)
        .expect("the guide has that section");
    let (_, from) = section.split_once("```sh\n").expect("it has commands");
    let (commands, _) = from.split_once("```").expect("they end");
    commands.to_owned()
}

#[test]
fn the_recipe_with_curl_and_openssl_works() {
    for (number, secret) in secrets().iter().enumerate() {
        let home = Home::new(FIXTURE);
        let report = "[dispatchers.MakeReport]\ncommand = [\"true\"]\n";
        let config = format!("{}{report}", keys(std::slice::from_ref(secret)));
        let service = Serving::http(&home, &config);
        let address = service.http_address(&home);
        let commands = recipe("## With curl and openssl").replace("https://b.example", "$URL");
        let given = if number == 1 {
            format!("whsec_{secret}")
        } else {
            secret.clone()
        };
        let output = home
            .command_of("sh", ["-eu", "-c", &commands])
            .env("URL", format!("http://{address}"))
            .env("DISPATCHER_BACKEND_SECRET", given)
            .env("DISPATCHER_BACKEND_TOKEN", TOKEN)
            .output()
            .unwrap();
        let told = said(&output.stdout);
        assert!(output.status.success(), "{told} {}", said(&output.stderr));
        assert!(
            told.contains("\"status\":\"queued\""),
            "{told} {}",
            said(&output.stderr)
        );
        assert!(told.contains("\"attempts\""), "it looks at the job: {told}");
    }
}
