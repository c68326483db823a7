//! Jobs over HTTP on one database: what a service has accepted outlives it, and the others know.

use std::net::TcpListener;
use std::thread;

use dispatcher_runner::http::Secret;
use dispatcher_tests::http::{Letter, SECRET, address_in, hear, http_section, now};
use dispatcher_tests::{HostService, PATIENCE, configure_host, eventually, kill};
use serde_json::{Value, json};

use super::Site;

/// A service that receives jobs and runs two at once, and where.
fn receiving(site: &Site<'_>, host: &str, more: &str) -> (HostService, String) {
    let section = http_section(more);
    let config = format!("[service]\nworkers = 2\n{section}");
    configure_host(&site.home, host, &config);
    let service = site.serve_leased(host);
    let address = eventually("it receives jobs", PATIENCE, || address_in(&service.log()));
    (service, address)
}

fn held(gate: &str) -> Value {
    json!({ "job": "Storm", "payload": { "gate": gate } })
}

fn note(text: &str) -> Value {
    json!({ "job": "Note", "payload": { "file": "notes", "text": text } })
}

#[test]
fn a_message_is_acted_on_once_though_its_service_was_killed() {
    let site = Site::new();
    let (one, address) = receiving(&site, "one", "");
    let body = held("gate").to_string();
    let letter = Letter::signed_as("/v1/jobs", "m1", now(), body.as_bytes());
    let first = letter.send(&address);
    assert_eq!(first.status, 202, "{first:?}");
    kill(one.pid());
    drop(one);
    let (_two, address) = receiving(&site, "two", "");
    let again = letter.send(&address);
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, Some("true"))
    );
    assert_eq!(again.json(), first.json());
    let other = Letter::signed_as("/v1/jobs", "m1", now(), b"{}").send(&address);
    assert_eq!(
        (other.status, &other.json()["code"]),
        (422, &json!("id-reused"))
    );
    assert_eq!(site.psql("SELECT count(*) FROM dispatcher.requests"), "1");
    site.home.open_gate("gate");
    eventually("it has run", PATIENCE, || {
        let look = Letter::get(&format!("/v1/jobs/{}", first.id()));
        look.send(&address).json()["status"] == "succeeded"
    });
    assert_eq!(site.home.read("violations"), "");
}

#[test]
fn twins_through_two_services_are_one() {
    let site = Site::new();
    let (_one, first) = receiving(&site, "one", "");
    let (_two, second) = receiving(&site, "two", "");
    for round in 0..10 {
        let body = note(&format!("{round}")).to_string();
        let letter = Letter::signed_as("/v1/jobs", &format!("m{round}"), now(), body.as_bytes());
        let answers: Vec<_> = thread::scope(|scope| {
            let sent: Vec<_> = [&first, &second, &first, &second]
                .map(|address| scope.spawn(|| letter.send(address)))
                .into();
            sent.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for answer in &answers {
            assert_eq!(answer.status, 202, "{answer:?}");
            assert_eq!(answer.json(), answers[0].json());
        }
        let fresh = answers.iter();
        let fresh = fresh.filter(|it| it.header("idempotent-replayed").is_none());
        assert_eq!(fresh.count(), 1, "round {round}");
    }
    assert_eq!(site.psql("SELECT count(*) FROM dispatcher.requests"), "10");
}

#[test]
fn a_batch_that_two_services_run_is_followed_once() {
    let site = Site::new();
    let (_one, first) = receiving(&site, "one", "");
    let (_two, second) = receiving(&site, "two", "");
    let look = |address: &str| Letter::get("/v1/batches/mine").send(address).json();
    let jobs: Vec<_> = (0..12).map(|_| held("gate")).collect();
    let body = json!({ "id": "mine", "jobs": jobs, "on_finished": note("all") });
    let sent = Letter::signed("/v1/batches", &body).send(&first);
    assert_eq!(sent.status, 202, "{sent:?}");
    let again = Letter::signed("/v1/batches", &body).send(&second);
    assert_eq!(
        (again.status, &again.json()["code"]),
        (409, &json!("batch-exists"))
    );
    eventually("both run some of it", PATIENCE, || {
        let held = "SELECT count(DISTINCT supervisor) FROM dispatcher.jobs WHERE state = 1";
        site.psql(held) == "2"
    });
    let batch = look(&second);
    assert_eq!(
        (&batch["total"], &batch["pending"]),
        (&json!(12), &json!(12))
    );
    let member = batch["jobs"][0].as_str().expect("an id");
    let shown = site.answer("one", &["show", member, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["batch"], "mine");
    site.home.open_gate("gate");
    let batch = eventually("it is finished", PATIENCE, || {
        let batch = look(&first);
        (batch["status"] == "finished").then_some(batch)
    });
    assert_eq!(look(&second), batch);
    assert_eq!(
        (&batch["processed"], &batch["failed"]),
        (&json!(12), &json!(0))
    );
    let last = batch["on_finished"].as_str().expect("an id");
    eventually("what follows has run", PATIENCE, || {
        let look = Letter::get(&format!("/v1/jobs/{last}")).send(&second);
        look.status == 200 && look.json()["status"] == "succeeded"
    });
    assert_eq!(site.home.read("notes"), "all\n");
    assert_eq!(site.home.read("violations"), "");
    assert_eq!(site.psql("SELECT count(*) FROM dispatcher.requests"), "13");
}

#[test]
fn a_callback_comes_though_the_service_that_took_the_job_was_killed() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let done = format!("http://{}/done", listener.local_addr().expect("an address"));
    let callbacks = format!("callbacks = [\"{done}\"]\n");
    let (one, address) = receiving(&site, "one", &callbacks);
    let mut body = held("gate");
    body["callback_url"] = json!(done);
    let sent = Letter::signed("/v1/jobs", &body).send(&address);
    assert_eq!(sent.status, 202, "{sent:?}");
    eventually("it runs", PATIENCE, || {
        site.home.file(&format!("{}.1.running", sent.id())).exists()
    });
    kill(one.pid());
    let (_two, _) = receiving(&site, "two", &callbacks);
    site.home.open_gate("gate");
    let heard = hear(&listener, "HTTP/1.1 204 No Content\r\n\r\n");
    let told: Value = serde_json::from_slice(&heard.body).expect("JSON");
    assert_eq!(
        (&told["id"], &told["status"]),
        (&json!(sent.id()), &json!("succeeded"))
    );
    let (id, time) = (
        heard.header("webhook-id"),
        heard.header("webhook-timestamp"),
    );
    let secret = Secret::parse(SECRET).expect("a secret");
    let signed = secret.sign(id, time.parse().expect("seconds"), &heard.body);
    assert_eq!(heard.header("webhook-signature"), signed);
    eventually("it is settled", PATIENCE, || {
        site.psql("SELECT count(*) FROM dispatcher.callbacks") == "0"
    });
}
